"""Reads the log of all jobs: the changes of their states, kind by kind."""

from collections.abc import Mapping

from fastapi.sse import format_sse_event

from descend.events import StateEvent
from descend.jobs import JobKind
from service.feed import Batch, Look, frames
from service.places import change_id
from storage.database import Database, Transaction
from storage.job_log import Change, ChangePlace

__all__ = ["ChangeLogs"]

MOST_CHANGES = 100

ChangeBatch = Batch[ChangePlace]


class ChangeLogs:
    """The logs of all jobs, one for each kind, as service.feed reads them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(
        self,
        key: str,
        place: ChangePlace,
        *,
        until: ChangePlace | None = None,
        limit: int = MOST_CHANGES,
    ) -> ChangeBatch:
        """Read up to `limit` changes of a kind after a place, and none that is after `until`."""
        with self._database.read() as tx:
            return _batch(tx, JobKind(key), place, until=until, limit=limit)

    def latest(self, kind: JobKind, *, limit: int) -> ChangeBatch:
        """Read the newest changes of a kind."""
        with self._database.read() as tx:
            found = tx.logs.latest(kind, limit=limit)
        return Batch(_events(found), found[-1][0] if found else ChangePlace())

    def look(self, heads: Mapping[str, ChangePlace | None]) -> dict[str, Look[ChangePlace]]:
        """See what is new since these heads; where there is none yet, only where the log ends."""
        looks = {}
        with self._database.read() as tx:
            for key, head in heads.items():
                if head is None:
                    newest = tx.logs.latest(JobKind(key), limit=1)
                    batch = Batch((), newest[-1][0] if newest else ChangePlace())
                else:
                    batch = _batch(tx, JobKind(key), head, until=None, limit=MOST_CHANGES)
                if head != batch.place:
                    looks[key] = _look(batch)
        return looks


def _look(batch: ChangeBatch) -> Look[ChangePlace]:
    # An id without data: who is told nothing before a disconnect still knows where it was.
    here = format_sse_event(id=change_id(batch.place))
    return Look(batch.place, frames(batch.events), here)


def _batch(
    tx: Transaction, kind: JobKind, place: ChangePlace, *, until: ChangePlace | None, limit: int
) -> ChangeBatch:
    found = tx.logs.changes(kind, place, until=until, limit=limit + 1)
    has_more = len(found) > limit
    reached = found[:limit][-1][0] if found else place
    if until is not None and not has_more:
        reached = max(reached, until)  # what stood there may have been deleted
    return Batch(_events(found[:limit]), reached, has_more=has_more)


def _events(found: list[tuple[ChangePlace, Change]]) -> tuple[StateEvent, ...]:
    return tuple(
        StateEvent(id=change_id(place), job_id=change.job_id, at=change.at, data=change.data)
        for place, change in found
    )
