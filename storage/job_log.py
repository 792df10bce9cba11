"""What logs of jobs are made from: changes of state as rows say them, and how far a job is."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    RowMapping,
    Select,
    bindparam,
    case,
    func,
    literal,
    select,
    tuple_,
)

from descend.events import Standing, StateChange
from descend.jobs import JobError, JobKind, JobState, Metrics, StopReason
from storage.dialects import instant, is_settled
from storage.job_statements import my_jobs
from storage.job_views import estimated_finish, progress_of
from storage.leases import REBALANCED
from storage.tables import job_events, jobs

__all__ = ["Change", "ChangePlace", "JobLog", "JobLogRepository"]


class ChangePlace(NamedTuple):
    """Where a change stands in the log of all jobs, in the order in which it may be told."""

    place: int = 0
    job_id: str = ""
    seq: int = 0


@dataclass(frozen=True)
class Change:
    """A change of a job's state.

    Attributes:
        seq: the job's version after it: grows within a job.
    """

    job_id: str
    seq: int
    at: datetime
    data: StateChange


@dataclass(frozen=True)
class JobLog:
    """All that one job's log says, at one moment; its history by the number of rows only.

    Attributes:
        at: when it last changed or reported.
        standing: without the queue position, which depends on other jobs.
    """

    job_id: str
    version: int
    at: datetime
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]
    history_rows: int
    standing: Standing


class JobLogRepository:
    """The logs of one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def changes(
        self,
        kind: JobKind,
        after: ChangePlace,
        *,
        until: ChangePlace | None = None,
        limit: int,
    ) -> list[tuple[ChangePlace, Change]]:
        """Read changes of all jobs of a kind, in the order of their places."""
        statement = _CHANGES_OF_ALL.where(_place > _bound(after)).order_by(*_ORDER).limit(limit)
        if until is not None:
            statement = statement.where(_place <= _bound(until))
        return self._told(statement, kind)

    def latest(self, kind: JobKind, *, limit: int) -> list[tuple[ChangePlace, Change]]:
        """Read the newest changes of all jobs of a kind, in the order of their places."""
        backwards = [column.desc() for column in _ORDER]
        return self._told(_CHANGES_OF_ALL.order_by(*backwards).limit(limit), kind)[::-1]

    def _told(self, statement: Select[Any], kind: JobKind) -> list[tuple[ChangePlace, Change]]:
        rows = self._connection.execute(statement, {"my_kind": kind.value}).mappings()
        return [
            (
                ChangePlace(row["place"], row["job_id"], row["seq"]),
                _change(row, row, attempt=row["attempt"]),
            )
            for row in rows
        ]

    def logs(self, job_ids: Collection[str]) -> dict[str, JobLog]:
        """Read the logs of these jobs; who is gone is absent."""
        asked = {"my_jobs": list(job_ids)}
        rows = {row["id"]: row for row in self._connection.execute(_STANDINGS, asked).mappings()}
        changes: dict[str, list[Change]] = {job_id: [] for job_id in rows}
        attempts = dict.fromkeys(rows, 0)
        for event in self._connection.execute(_CHANGES, asked).mappings():
            job_id = event["job_id"]
            if job_id not in rows:
                continue  # deleted between the two statements (PostgreSQL reads them apart)
            attempts[job_id] += event["to_state"] == JobState.RUNNING
            attempts[job_id] -= event["reason"] == REBALANCED
            changes[job_id].append(_change(event, rows[job_id], attempt=attempts[job_id]))
        return {job_id: _log(row, changes[job_id]) for job_id, row in rows.items()}


def _log(row: RowMapping, changes: list[Change]) -> JobLog:
    # A change that was committed after the row was read comes with the next reading.
    known = tuple(change for change in changes if change.seq <= row["version"])
    return JobLog(
        job_id=row["id"],
        version=row["version"],
        at=instant(max(row["changed_at"], row["reported_at"] or 0)),
        changes=known,
        warnings=tuple(json.loads(row["warnings"])),
        history_rows=row["history_rows"],
        standing=_standing(row),
    )


def _standing(row: RowMapping) -> Standing:
    state = JobState(row["state"])
    asked = row["cancel_requested_at"] is not None
    return Standing(
        state=state,
        intent="cancel" if asked and not state.is_terminal else None,
        attempt=row["attempts"],
        progress=progress_of(row),
        history_rows=row["history_rows"],
        estimated_finish=estimated_finish(row),
    )


def _change(event: RowMapping, job: RowMapping, *, attempt: int) -> Change:
    state = JobState(event["to_state"])
    data = StateChange(
        state=state,
        previous=JobState(event["from_state"]) if event["from_state"] else None,
        reason=event["reason"],
        attempt=attempt,
        kind=JobKind(job["kind"]),
        name=job["name"],
        **(_ending(job) if state.is_terminal else {}),
    )
    return Change(event["job_id"], event["seq"], instant(event["at"]), data)


def _ending(job: RowMapping) -> dict[str, Any]:
    """What only a terminal row says: it never changes, and so neither does its event."""
    return {
        "stop_reason": StopReason(job["stop_reason"]) if job["stop_reason"] else None,
        "progress": progress_of(job),
        "metrics": Metrics.model_validate_json(job["metrics"]) if job["metrics"] else None,
        "error": JobError.model_validate_json(job["error"]) if job["error"] else None,
        "model_id": job["model_id"],
    }


_OF_JOB = (
    jobs.c.kind,
    jobs.c.name,
    jobs.c.stop_reason,
    jobs.c.epochs_done,
    jobs.c.max_epochs,
    jobs.c.phase,
    jobs.c.metrics,
    jobs.c.error,
    jobs.c.model_id,
)
_STANDINGS = select(
    jobs.c.id,
    jobs.c.version,
    jobs.c.state,
    jobs.c.changed_at,
    jobs.c.reported_at,
    jobs.c.claimed_at,
    jobs.c.work_started_at,
    jobs.c.claimed_epochs,
    jobs.c.cancel_requested_at,
    jobs.c.attempts,
    jobs.c.warnings,
    jobs.c.history_rows,
    *_OF_JOB,
).where(jobs.c.id.in_(my_jobs))
_OF_CHANGE = (
    job_events.c.job_id,
    job_events.c.seq,
    job_events.c.from_state,
    job_events.c.to_state,
    job_events.c.at,
    job_events.c.reason,
)
_CHANGES = (
    select(*_OF_CHANGE)
    .where(job_events.c.job_id.in_(my_jobs))
    .order_by(job_events.c.job_id, job_events.c.seq)
)
_ORDER = (job_events.c.place, job_events.c.job_id, job_events.c.seq)
_place = tuple_(*_ORDER)
_earlier = job_events.alias("earlier")
# A claim that was given back before it began is not counted.
_counted = case(
    (_earlier.c.to_state == JobState.RUNNING.value, 1),
    (_earlier.c.reason == REBALANCED, -1),
    else_=0,
)
_ATTEMPT = (
    select(func.sum(_counted))
    .where(_earlier.c.job_id == job_events.c.job_id, _earlier.c.seq <= job_events.c.seq)
    .scalar_subquery()
    .label("attempt")
)
_CHANGES_OF_ALL = (
    select(job_events.c.place, *_OF_CHANGE, _ATTEMPT, *_OF_JOB)
    .join(jobs, jobs.c.id == job_events.c.job_id)
    .where(jobs.c.kind == bindparam("my_kind"), is_settled(job_events.c.place))
)


def _bound(place: ChangePlace) -> Any:
    return tuple_(literal(place.place), literal(place.job_id), literal(place.seq))
