"""A tick in every API process: lost leases are given back, unheard bells are rung again.

The statements are idempotent: any number of processes may tick.
"""

import random
import threading

import structlog

from descend.errors import Unavailable
from service.doorbell import Doorbell
from storage.database import Database
from storage.reconcile import reconcile

__all__ = ["Reconciler"]

logger = structlog.get_logger(__name__)


class Reconciler:
    """A thread that ticks every `seconds`, give or take half."""

    def __init__(self, database: Database, doorbell: Doorbell, *, seconds: float) -> None:
        self._database = database
        self._doorbell = doorbell
        self._seconds = seconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._closing.wait(self._seconds * random.uniform(0.5, 1.5)):  # noqa: S311
            self._tick()

    def _tick(self) -> None:
        try:
            self._database.check()
            queues = reconcile(self._database)
        except Unavailable as error:
            logger.warning("reconcile_failed", reason=error.message)
            return
        for queue in queues:
            self._doorbell.ring(queue)
