"""What every API process does beside its requests: any number of processes may.

Each tick lost leases are given back and unheard bells rung again; each hour what killed uploads
left behind is deleted. What deletions freed of a SQLite file goes back to the disk, bit by bit.
"""

import math
import random
import threading
import time
from collections.abc import Callable

import structlog

from descend.errors import DescendError
from service.doorbell import Doorbell
from service.uploads import Uploads
from storage.artefacts import LocalArtefacts
from storage.database import Database
from storage.reconcile import reconcile, sweep
from storage.shrinking import give_back
from storage.vigil import Vigil
from storage.vital_threads import VitalThread

__all__ = ["Reconciler"]

logger = structlog.get_logger(__name__)

SWEEP_SECONDS = 3600.0
STEP_SECONDS = 0.5


class Reconciler:
    """A thread that ticks every `seconds`, give or take half."""

    def __init__(
        self,
        database: Database,
        doorbell: Doorbell,
        *,
        artefacts: LocalArtefacts,
        uploads: Uploads,
        seconds: float,
    ) -> None:
        self._database = database
        self._doorbell = doorbell
        self._artefacts = artefacts
        self._uploads = uploads
        self._seconds = seconds
        self._next_sweep = 0.0
        self._vigil = Vigil()
        self._closing = threading.Event()
        self._thread = VitalThread(self._run, "reconciler")
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._closes_within(self._seconds * random.uniform(0.5, 1.5)):  # noqa: S311
            self._try(self._tick)
            # On its own: a disk too full for a tick's rows is what a sweep makes room on.
            self._try(self._sweep)
            self._try(self._shrink)

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (DescendError, OSError) as error:
            self._vigil.begin_again()  # nobody could renew
            logger.warning("reconcile_failed", reason=str(error))
        except Exception:
            # Nobody starts the thread again: without it lost leases stay lost.
            logger.exception("reconcile_failed", reason="unexpected")

    def _closes_within(self, seconds: float) -> bool:
        """Wait in short steps: the longer one sleeps, the less one knows of having been stopped."""
        steps = math.ceil(seconds / STEP_SECONDS)
        for _ in range(steps):
            if self._closing.wait(seconds / steps):
                return True
            self._vigil.woke(seconds / steps)
        return False

    def _tick(self) -> None:
        self._database.check()
        for queue in reconcile(self._database, self._vigil):
            self._doorbell.ring(queue)

    def _shrink(self) -> None:
        give_back(self._database)

    def _sweep(self) -> None:
        if time.monotonic() < self._next_sweep:
            return
        self._database.check()
        self._next_sweep = time.monotonic() + SWEEP_SECONDS
        uploads = self._uploads.sweep()
        swept = sweep(self._database, self._artefacts)
        logger.info("swept", artefacts=len(swept), uploads=uploads)
