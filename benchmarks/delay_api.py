"""The peer of the submission benchmark: the same API with `.delay()` in the handler.

The same routes, the same database, the same durability; only the doorbell differs: each request
publishes its own Celery message before it answers, as most services of this kind do.
`python -m benchmarks.delay_api` reads the same settings as `python -m service`.
"""

import uvicorn
from celery import Celery, Task

from descend.jobs import QUEUES, WAKE_TASK
from service.app import create_app, settle_collector
from service.doorbell import Doorbell
from service.settings import ServiceSettings
from storage import logs


class DelayDoorbell(Doorbell):
    """Publishes in the caller's thread, once for every submission."""

    def __init__(self, broker_url: str) -> None:
        super().__init__("")
        celery = Celery("peer", broker=broker_url, set_as_current=False)
        celery.conf.update(
            task_ignore_result=True,
            task_routes={f"{WAKE_TASK}.{queue}": f"descend.{queue}" for queue in QUEUES},
        )
        self._tasks: dict[str, Task] = {
            queue: celery.task(_wake, name=f"{WAKE_TASK}.{queue}") for queue in QUEUES
        }

    def ring(self, queue: str) -> None:
        self._tasks[queue].delay(queue)


def _wake(queue: str) -> None:
    """Stand where the worker's task is: only its name and argument are sent from here."""


if __name__ == "__main__":
    settings = ServiceSettings()
    logs.configure("api", form=settings.log_format, level=settings.log_level)  # as the service does
    app = create_app(settings, doorbell=DelayDoorbell(settings.broker_url))
    settle_collector()
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        http="httptools",
        loop="uvloop",
    )
