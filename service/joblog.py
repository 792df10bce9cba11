"""Reads the log of a job, from any place on: for who polls, for who comes late, and for the feed.

One way for all three, so that they tell the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from descend.errors import JobNotFound
from descend.events import (
    MAX_POINTS,
    SPAN_ROWS,
    HistoryEvent,
    HistoryPoints,
    JobEvent,
    ProgressEvent,
    Standing,
    StateEvent,
    WarningEvent,
    WarningText,
)
from descend.history import COLUMNS, History
from descend.jobs import JobState
from service.downsampling import downsample
from service.feed import Batch, Look, frames
from service.places import JobPlace
from storage.database import Database, Transaction
from storage.job_log import Change, JobLog

__all__ = ["JobLogs"]

# Of which history each may need SPAN_ROWS rows to be read.
MOST_ENTRIES = 8
LOOKS_PER_POSITION = 10  # a place in the queue is counted anew once a second
NOTHING = 0  # no job's version

JobBatch = Batch[JobPlace]


class JobLogs:
    """The logs of all jobs, as service.feed reads them: `look` by one thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._told: dict[str, tuple[int, Standing]] = {}
        self._looks = 0

    def read(
        self,
        job_id: str,
        place: JobPlace,
        *,
        until: JobPlace | None = None,
        limit: int = MOST_ENTRIES,
    ) -> JobBatch:
        """Read up to `limit` events after a place, and none that is after `until`.

        Raises:
            JobNotFound: when there is none with this id.
        """
        with self._database.read() as tx:
            log = tx.logs.logs([job_id]).get(job_id)
            if log is None:
                raise JobNotFound(f"there is no job {job_id}")
            if until is not None:
                log = _until(log, until)
            return _batch(tx, log, place, limit=limit)

    def look(self, heads: Mapping[str, JobPlace | None]) -> dict[str, Look[JobPlace]]:
        """See what is new since these heads; where there is none yet, only where the log ends."""
        # What a channel's earlier viewers were told says nothing to one that has just been opened.
        known = {job_id for job_id, head in heads.items() if head is not None}
        self._told = {job_id: told for job_id, told in self._told.items() if job_id in known}
        self._looks += 1
        with self._database.read() as tx:
            states = tx.jobs.states(heads)
            logs = tx.logs.logs([id_ for id_, (_, v) in states.items() if self._is_due(id_, v)])
            queued = [id_ for id_, log in logs.items() if log.standing.state is JobState.QUEUED]
            positions = tx.jobs.positions(queued)
            found = {
                id_: self._seen(tx, log, heads[id_], position=positions.get(id_))
                for id_, log in logs.items()
            }
        return found | {id_: Look(None, ended=True) for id_ in heads if id_ not in states}

    def _is_due(self, job_id: str, version: int) -> bool:
        """Whether there is something new; a place in the queue moves without a new version."""
        told = self._told.get(job_id)
        if told is None or told[0] != version:
            return True
        return told[1].state is JobState.QUEUED and self._looks % LOOKS_PER_POSITION == 0

    def _seen(
        self, tx: Transaction, log: JobLog, head: JobPlace | None, *, position: int | None
    ) -> Look[JobPlace]:
        end = Batch((), JobPlace.end_of(log), ended=log.standing.state.is_terminal)
        batch = end if head is None else _batch(tx, log, head, limit=MOST_ENTRIES)
        standing = log.standing.model_copy(update={"queue_position": position})
        told = self._told.get(log.job_id)
        self._told[log.job_id] = (NOTHING if batch.has_more else log.version, standing)
        if batch.ended or (told is not None and told[1] == standing):
            return Look(batch.place, frames(batch.events), ended=batch.ended)
        now = frames((ProgressEvent(id=None, job_id=log.job_id, at=log.at, data=standing),))
        return Look(batch.place, frames(batch.events) + now, now)


def _until(log: JobLog, place: JobPlace) -> JobLog:
    """Leave out what comes after a place."""
    return replace(
        log,
        changes=tuple(change for change in log.changes if change.seq <= place.seq),
        warnings=log.warnings[: place.warnings],
        history_rows=min(log.history_rows, place.rows),
    )


def _batch(tx: Transaction, log: JobLog, place: JobPlace, *, limit: int) -> JobBatch:
    told = list(islice(_following(tx, log, place), limit))
    reached = told[-1][0] if told else place
    end = JobPlace.end_of(log)
    return Batch(
        tuple(event for _, event in told),
        reached,
        has_more=any(here < there for here, there in zip(reached, end, strict=True)),
        ended=log.changes[-1].data.state.is_terminal and reached.seq >= end.seq,
    )


def _following(
    tx: Transaction, log: JobLog, place: JobPlace
) -> Iterator[tuple[JobPlace, JobEvent]]:
    """Go through what comes after a place; a job's end is told last, after all of its history."""
    for change in log.changes:
        if change.seq > place.seq and not change.data.state.is_terminal:
            place = place._replace(seq=change.seq)
            yield place, _state(place, change)
    for message in log.warnings[place.warnings :]:
        place = place._replace(warnings=place.warnings + 1)
        yield (
            place,
            WarningEvent(
                id=str(place), job_id=log.job_id, at=log.at, data=WarningText(message=message)
            ),
        )
    # After a lost worker rows are computed again, and are the same: they are not told again.
    while place.rows < log.history_rows:
        stop = min(place.rows + SPAN_ROWS, log.history_rows)
        history = tx.jobs.history(log.job_id, place.rows, stop)
        if len(history) == 0:
            return  # PostgreSQL: cut since the log was read
        points = _points(history, place.rows)
        place = place._replace(rows=points.stop)
        yield place, HistoryEvent(id=str(place), job_id=log.job_id, at=log.at, data=points)
    for change in log.changes:
        if change.seq > place.seq and change.data.state.is_terminal:
            place = place._replace(seq=change.seq)
            yield place, _state(place, change)


def _state(place: JobPlace, change: Change) -> StateEvent:
    return StateEvent(id=str(place), job_id=change.job_id, at=change.at, data=change.data)


def _points(history: History, start: int) -> HistoryPoints:
    columns: dict[str, Any] = dict(downsample(history, MAX_POINTS).to_json())
    # Every number was checked when it was stored.
    return HistoryPoints.model_construct(
        start=start,
        stop=start + len(history),
        total=history.total,
        **{name: columns[name] for name in COLUMNS if any(v is not None for v in columns[name])},
    )
