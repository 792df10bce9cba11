"""What has happened, counted for ever: a deleted job and an ended worker stay counted.

A transaction counts what it writes in its own commit, so that a count is neither lost nor doubled.
Names and labels are words of the house, never of users: there are some dozens of rows.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection, Insert, bindparam, select

from storage.dialects import insert_for
from storage.tables import counters

__all__ = [
    "CLAIM_WAIT",
    "CLAIM_WAIT_BUCKETS",
    "CLAIM_WAIT_SECONDS",
    "EPOCHS",
    "JOBS_ENDED",
    "JOBS_REQUEUED",
    "JOB_FAILURES",
    "LEASES_LOST",
    "RUNNER_RESTARTS",
    "Count",
    "Tally",
    "counts",
]

JOBS_ENDED = "jobs_ended"  # kind, state, engine
JOB_FAILURES = "job_failures"  # code
JOBS_REQUEUED = "jobs_requeued"  # cause
LEASES_LOST = "leases_lost"
CLAIM_WAIT = "claim_wait"  # queue, the bucket's upper end
CLAIM_WAIT_SECONDS = "claim_wait_seconds"  # queue: their sum
EPOCHS = "epochs"
RUNNER_RESTARTS = "runner_restarts"  # cause

CLAIM_WAIT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)

_BETWEEN_LABELS = "/"


class Count(NamedTuple):
    """One counter as it stands."""

    name: str
    labels: tuple[str, ...]
    value: float


class Tally:
    """What one transaction, or one process until its next one, has counted."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, name: str, *labels: str, n: float = 1) -> None:
        if n:
            self._counts[name, _BETWEEN_LABELS.join(labels)] += n  # type: ignore[assignment]

    def waited(self, queue: str, seconds: float) -> None:
        """Count a claim under the first bucket that holds it."""
        bucket = next((end for end in CLAIM_WAIT_BUCKETS if seconds <= end), float("inf"))
        self.add(CLAIM_WAIT, queue, str(bucket))
        self.add(CLAIM_WAIT_SECONDS, queue, n=seconds)

    def move_to(self, other: "Tally") -> None:
        """Have another tally write it; this one keeps it until it is cleared."""
        for (name, labels), value in self._counts.items():
            other.add(name, labels, n=value)

    def clear(self) -> None:
        self._counts.clear()

    def write(self, connection: Connection) -> None:
        """Add it all to the rows, last in a transaction: other writers wait for rows of counters.

        In one order everywhere, lest two of them wait for each other.
        """
        if self._counts:
            connection.execute(
                _ADD[connection.dialect.name],
                [
                    {"name": name, "labels": labels, "value": value}
                    for (name, labels), value in sorted(self._counts.items())
                ],
            )
            self.clear()


def counts(connection: Connection) -> Iterator[Count]:
    """Read all counters."""
    for name, labels, value in connection.execute(_ALL):
        yield Count(name, tuple(labels.split(_BETWEEN_LABELS)) if labels else (), value)


def _add(dialect: str) -> Insert:
    statement = insert_for(dialect, counters).values(
        {name: bindparam(name) for name in ("name", "labels", "value")}
    )
    return statement.on_conflict_do_update(
        index_elements=[counters.c.name, counters.c.labels],
        set_={"value": counters.c.value + statement.excluded.value},
    )


_ADD = {dialect: _add(dialect) for dialect in ("sqlite", "postgresql")}
_ALL = select(counters.c.name, counters.c.labels, counters.c.value)
