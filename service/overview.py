"""What a list of jobs says beside its rows: small curves, and how many jobs are in each state."""

import math
import threading
import time
from collections import OrderedDict

from descend.jobs import Job, JobKind, JobState
from service.downsampling import places
from storage.database import Transaction

__all__ = ["POINTS", "Overview"]

POINTS = 32
KEPT = 10_000  # curves of jobs that have ended: they never change
# Counting reads all rows: so it may take a fiftieth of the time, and is so much older at most.
SHARE = 0.02

Curve = list[float | None]


class Overview:
    """One per process, used from its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._curves: OrderedDict[str, Curve] = OrderedDict()
        self._counted: dict[JobKind, tuple[float, dict[JobState, int]]] = {}

    def with_curves(self, tx: Transaction, jobs: list[Job]) -> list[Job]:
        """Give each job its sparkline: at most POINTS of its train losses, in order."""
        with self._lock:
            known = {job.id: self._curves[job.id] for job in jobs if job.id in self._curves}
        losses = tx.sparklines.losses([j.id for j in jobs if j.id not in known], points=POINTS)
        read = {
            job_id: [
                value if math.isfinite(value) else None
                for value in found[places(found, POINTS)].tolist()
            ]
            for job_id, found in losses.items()
        }
        self._keep(
            {job.id: read[job.id] for job in jobs if job.state.is_terminal and job.id in read}
        )
        curves = known | read
        return [job.model_copy(update={"sparkline": curves.get(job.id, [])}) for job in jobs]

    def counts(self, tx: Transaction, kind: JobKind) -> dict[JobState, int]:
        """Count the jobs of a kind in each state."""
        with self._lock:
            until, counted = self._counted.get(kind, (0.0, {}))
            began = time.monotonic()
            if began >= until:
                counted = tx.jobs.counts(kind)
                ended = time.monotonic()
                self._counted[kind] = (ended + (ended - began) / SHARE, counted)
        return counted

    def _keep(self, curves: dict[str, Curve]) -> None:
        with self._lock:
            self._curves |= curves
            while len(self._curves) > KEPT:
                self._curves.popitem(last=False)
