"""`python -m service [--fd N]`: serve with uvicorn, on an inherited socket where one is given."""

import gc

gc.disable()  # imports make much and leave no garbage: a sixth of the start

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Sequence
from typing import NoReturn

import structlog
import uvicorn
from pydantic import ValidationError

from service.app import create_app, settle_collector
from service.dependencies import Parts
from service.descriptors import fitted
from service.protocol import Crowd, protocol_for
from service.security import is_loopback
from service.settings import ServiceSettings
from storage import logs
from storage.private_files import keep_private
from storage.vital_threads import FAILED, has_failed

gc.enable()

__all__ = ["main"]

REFUSED = 2
BACKLOG = 2048
# What still runs after a signal and this time is cut off.
SHUTDOWN_SECONDS = 2
TICKS_A_SECOND = 10  # uvicorn's


class Refused(Exception):
    """The service cannot be started like this; the message says why."""


class Server(uvicorn.Server):
    """Lets long-polls and streams go with what is known, where uvicorn would wait for them.

    Once a second it closes the connections that keep it waiting.
    """

    def __init__(self, config: uvicorn.Config, *, parts: Parts, crowd: Crowd | None = None) -> None:
        super().__init__(config)
        self._parts, self._crowd = parts, crowd

    async def on_tick(self, counter: int) -> bool:
        if self._crowd is not None and counter % TICKS_A_SECOND == 0:
            self._crowd.expire(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._parts.close_waiting()
        await super().shutdown(sockets)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; 2 where settings or address do not allow it."""
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__)
    parser.add_argument("--fd", type=int, help="a listening socket to serve, inherited")
    options = parser.parse_args(arguments)
    keep_private()
    try:
        _serve(ServiceSettings(), options.fd)
    except (Refused, ValidationError, ValueError, OSError) as error:
        sys.stderr.write(f"descend: the service does not start: {error}\n")
        return REFUSED
    return 0


def _serve(settings: ServiceSettings, fd: int | None) -> None:
    logs.configure("api", form=settings.log_format, level=settings.log_level)
    settings = fitted(settings)
    listening = _listen(settings, fd)
    app = create_app(settings)
    crowd = Crowd(
        most=settings.most_connections,
        head_seconds=settings.head_seconds,
        body_seconds=settings.body_seconds,
    )
    host, port = listening.getsockname()[:2]
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=protocol_for(crowd),
        ws="none",
        access_log=False,  # service.witness writes a line a request, with its ids
        log_config=None,  # the root's handler writes what uvicorn has to say
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    # uvicorn raises its signal again when it has shut down in order; that is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    app.state.parts.files.warm()
    settle_collector()
    structlog.get_logger("service").info("serving", host=host, port=port)
    Server(config, parts=app.state.parts, crowd=crowd).run(sockets=[listening])


def _leave(*_: object) -> NoReturn:
    raise SystemExit(FAILED if has_failed() else 0)


def _listen(settings: ServiceSettings, fd: int | None) -> socket.socket:
    if fd is not None:
        listening = socket.socket(fileno=fd)
    else:
        _refuse_open_door(settings, settings.host)
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listening = socket.create_server(
            (settings.host, settings.port), family=family, backlog=BACKLOG
        )
    _refuse_open_door(settings, listening.getsockname()[0])
    return listening


def _refuse_open_door(settings: ServiceSettings, host: str) -> None:
    if settings.api_key_file is None and not is_loopback(host):
        raise Refused(
            f"{host} can be reached from other machines and no API key is set: write a key,"
            " dsc_<id>_<secret>, into a file and name it in DESCEND_API_KEY_FILE, or stay on"
            " 127.0.0.1"
        )


if __name__ == "__main__":
    sys.exit(main())
