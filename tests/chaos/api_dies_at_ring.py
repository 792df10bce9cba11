"""An API that is killed between commit and ring: after the row is there, before anybody is told.

Run as `python -m tests.chaos.api_dies_at_ring` with the API's environment.
"""

import os

import uvicorn

from service.app import create_app
from service.doorbell import Doorbell
from service.settings import ServiceSettings

KILLED = 137


class LastRing(Doorbell):
    """Its first ring is the end of the process, as by SIGKILL."""

    def ring(self, queue: str) -> None:
        os._exit(KILLED)


if __name__ == "__main__":
    settings = ServiceSettings()
    app = create_app(settings, doorbell=LastRing(""))
    uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning")
