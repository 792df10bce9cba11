"""How the whole fleet is doing: queues, workers, counters, as every process sees them.

Read at each scrape of /metrics, hence cheap whatever has been kept: only queued and running jobs
are counted, by partial indexes; of ended ones the counters tell.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, literal, select, union_all

from descend.jobs import JobState
from storage.counters import Count, counts
from storage.dialects import now
from storage.job_statements import QUEUED, RUNNING
from storage.tables import jobs, workers

__all__ = ["Fleet", "FleetRepository", "QueueLoad", "WorkerSeen"]


@dataclass(frozen=True)
class QueueLoad:
    """A queue that is not empty. `oldest_seconds`: since the first could have been claimed."""

    queue: str
    state: JobState
    jobs: int
    oldest_seconds: float


@dataclass(frozen=True)
class WorkerSeen:
    """A worker that was seen today; `stats` as it told them itself."""

    worker_id: str
    queues: tuple[str, ...]
    seconds: float
    stats: Mapping[str, float]


@dataclass(frozen=True)
class Fleet:
    """One consistent look."""

    loads: tuple[QueueLoad, ...]
    workers: tuple[WorkerSeen, ...]
    counts: tuple[Count, ...]


_servable_since = case(
    (jobs.c.not_before > jobs.c.changed_at, jobs.c.not_before), else_=jobs.c.changed_at
)
_LOADS = union_all(
    select(
        jobs.c.queue,
        literal(JobState.QUEUED.value).label("state"),
        func.count().label("jobs"),
        (now() - func.min(_servable_since)).label("oldest"),
    )
    .where(jobs.c.state == QUEUED)
    .group_by(jobs.c.queue),
    select(
        jobs.c.queue,
        literal(JobState.RUNNING.value),
        func.count(),
        now() - func.min(jobs.c.claimed_at),
    )
    .where(jobs.c.state == RUNNING)
    .group_by(jobs.c.queue),
)
_WORKERS = select(
    workers.c.id, workers.c.queues, (now() - workers.c.last_seen).label("ago"), workers.c.stats
)


class FleetRepository:
    """Reads the state of the fleet, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self) -> Fleet:
        """Look at queues, workers and counters: three statements, some milliseconds."""
        return Fleet(
            loads=tuple(
                QueueLoad(queue, JobState(state), n, max(0.0, (oldest or 0) / 1e6))
                for queue, state, n, oldest in self._connection.execute(_LOADS)
            ),
            workers=tuple(
                WorkerSeen(
                    id_, tuple(queues.strip(",").split(",")), max(0.0, ago / 1e6), json.loads(stats)
                )
                for id_, queues, ago, stats in self._connection.execute(_WORKERS)
            ),
            counts=tuple(counts(self._connection)),
        )
