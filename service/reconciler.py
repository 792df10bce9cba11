"""A tick in every API process: lost leases are given back, unheard bells are rung again, and once
a day the artefacts that no row names are swept away.

The statements are idempotent: any number of processes may tick.
"""

import random
import threading
import time

import structlog

from descend.errors import Unavailable
from service.doorbell import Doorbell
from storage.artefacts import LocalArtefacts
from storage.database import Database
from storage.reconcile import ORPHAN_SECONDS, reconcile, sweep

__all__ = ["Reconciler"]

logger = structlog.get_logger(__name__)


class Reconciler:
    """A thread that ticks every `seconds`, give or take half."""

    def __init__(
        self,
        database: Database,
        doorbell: Doorbell,
        *,
        seconds: float,
        artefacts: LocalArtefacts | None = None,
    ) -> None:
        self._database = database
        self._artefacts = artefacts
        self._sweep_at = time.monotonic()
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
            self._sweep()
        except Unavailable as error:
            logger.warning("reconcile_failed", reason=error.message)
            return
        for queue in queues:
            self._doorbell.ring(queue)

    def _sweep(self) -> None:
        if self._artefacts is None or time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + ORPHAN_SECONDS
        swept = sweep(self._database, self._artefacts)
        if swept:
            logger.info("artefacts_swept", count=len(swept))
