"""What is read of jobs: one, a page of them, their history, the queue."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, or_, select, tuple_
from sqlalchemy import literal as literal_of

from descend.errors import IdempotencyKeyReused, JobNotFound
from descend.history import History
from descend.jobs import Job, JobKind, JobOrder, JobState, Page, Transition
from storage import job_statements as sql
from storage.dialects import instant
from storage.dialects import state as literal
from storage.history import CHUNK_ROWS, joined
from storage.job_views import job_of
from storage.tables import job_metadata, jobs

__all__ = ["JobReading"]


class JobReading:
    """The part of JobRepository that only reads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name

    def get(self, job_id: str) -> Job:
        """Read one job.

        Raises:
            JobNotFound: when there is none with this id.
        """
        row = self._connection.execute(sql.GET, {"my_job": job_id}).mappings().first()
        if row is None:
            raise JobNotFound(f"there is no job {job_id}")
        return self._jobs([row])[0]

    def unwritten_epochs(self) -> int:
        """Count the epochs that jobs which have not ended may still write down."""
        return int(self._connection.scalar(sql.UNWRITTEN_EPOCHS) or 0)

    def page(
        self,
        *,
        after: str | None = None,
        limit: int = 20,
        state: JobState | None = None,
        kind: JobKind | None = JobKind.TRAIN,
        dataset: str | None = None,
        q: str | None = None,
        metadata: Mapping[str, str] = {},
        sort: JobOrder = JobOrder.NEWEST,
    ) -> Page[Job]:
        """List jobs in an order, from after the job `after`; of all kinds where `kind` is None.

        `q` is looked for in names, whatever the case, and at the beginning of ids.
        """
        statement = self._in_order(sort, after).limit(limit + 1)
        if state is not None:
            statement = statement.where(jobs.c.state == literal(state))
        if state is not None and state.is_terminal:
            statement = statement.where(jobs.c.finished_at.is_not(None))  # as the index says
        if kind is not None:
            statement = statement.where(jobs.c.kind == kind.value)
        if dataset is not None:
            statement = statement.where(jobs.c.dataset_id == dataset)
        if q is not None:
            statement = statement.where(
                or_(
                    jobs.c.name.icontains(q, autoescape=True),
                    jobs.c.id.startswith(q, autoescape=True),
                )
            )
        for key, value in metadata.items():
            holders = select(job_metadata.c.job_id).where(
                and_(job_metadata.c.key == key, job_metadata.c.value == value)
            )
            statement = statement.where(jobs.c.id.in_(holders))
        rows = self._connection.execute(statement).mappings().all()
        data = self._jobs(rows[:limit])
        return Page(data=data, has_more=len(rows) > limit, last_id=data[-1].id if data else None)

    def _in_order(self, sort: JobOrder, after: str | None) -> Select[Any]:
        """Go on from a job's place in the order, which it keeps: ids and ends never change."""
        columns: list[ColumnElement[Any]] = [jobs.c.id]
        place: list[Any] = [after]
        statement = sql.VIEW
        if sort in {JobOrder.FINISHED, JobOrder.LAST_FINISHED}:
            statement = statement.where(jobs.c.finished_at.is_not(None))
            columns.insert(0, jobs.c.finished_at)
            place.insert(0, after and self._finished_at(after))
        backwards = sort in {JobOrder.NEWEST, JobOrder.LAST_FINISHED}
        if after is not None:
            here, there = tuple_(*columns), tuple_(*map(literal_of, place))
            statement = statement.where(here < there if backwards else here > there)
        return statement.order_by(*(c.desc() if backwards else c.asc() for c in columns))

    def _finished_at(self, job_id: str) -> int:
        found = self._connection.scalar(select(jobs.c.finished_at).where(jobs.c.id == job_id))
        if found is None:
            raise JobNotFound("is no job that has ended: begin again without it", param="after")
        return int(found)

    def counts(self, kind: JobKind) -> dict[JobState, int]:
        """Count the jobs of a kind in each state; reads every job's row."""
        found = dict.fromkeys(JobState, 0)
        for state, n in self._connection.execute(sql.COUNTS, {"my_kind": kind.value}):
            found[JobState(state)] = n
        return found

    def _jobs(self, rows: Sequence[RowMapping]) -> list[Job]:
        if not rows:
            return []
        ids = [row["id"] for row in rows]
        transitions: dict[str, list[Transition]] = {job_id: [] for job_id in ids}
        for event in self._connection.execute(sql.EVENTS, {"my_jobs": ids}):
            transitions[event.job_id].append(
                Transition(state=event.to_state, at=instant(event.at), reason=event.reason)
            )
        queued = [row["id"] for row in rows if row["state"] == JobState.QUEUED]
        positions = self.positions(queued)
        return [
            job_of(row, transitions=transitions[row["id"]], queue_position=positions.get(row["id"]))
            for row in rows
        ]

    def positions(self, queued: list[str]) -> dict[str, int]:
        """The place in the queue of each of these jobs that waits, counted from 1."""
        if not queued:
            return {}
        statement = sql.POSITION if len(queued) == 1 else sql.POSITIONS
        rows = self._connection.execute(statement, {"my_jobs": queued}).all()
        return {job_id: place for job_id, place in rows}  # noqa: C416  rows are no pairs to mypy

    def states(self, job_ids: Collection[str]) -> dict[str, tuple[JobState, int]]:
        """State and version of each job that exists; the version grows with every change."""
        rows = self._connection.execute(sql.STATES, {"my_jobs": list(job_ids)})
        return {row.id: (JobState(row.state), row.version) for row in rows}

    def history(self, job_id: str, start: int = 0, stop: int | None = None) -> History:
        """Read the rows [start, stop) of a job's history, counted from 0.

        Raises:
            JobNotFound: when there is none with this id.
        """
        total = self._connection.scalar(sql.HISTORY_ROWS, {"my_job": job_id})
        if total is None:
            raise JobNotFound(f"there is no job {job_id}")
        stop = total if stop is None else min(stop, total)
        stored = self._connection.execute(
            sql.CHUNKS, {"my_job": job_id, "my_after": start - CHUNK_ROWS, "my_stop": stop}
        )
        return joined(stored, start=start, stop=stop, total=total)

    def queue_depth(self) -> dict[str, int]:
        """Queued jobs by queue; a queue without any is absent."""
        return {queue: depth for queue, depth in self._connection.execute(sql.DEPTH)}  # noqa: C416

    def oldest_queued_seconds(self, queue: str) -> float | None:
        """For how long the first of this queue has been waiting; None where none waits."""
        waited = self._connection.scalar(sql.OLDEST, {"my_queue": queue})
        return None if waited is None else max(waited, 0) / 1e6

    def earlier(self, idempotency_key: str | None, request_sha256: str) -> Job | None:
        """The job that this key made before; None where the key is new or there is none."""
        if idempotency_key is None:
            return None
        row = self._connection.execute(sql.BY_KEY, {"my_key": idempotency_key}).first()
        if row is None:
            return None
        if row.request_sha256 != request_sha256:
            raise IdempotencyKeyReused
        with suppress(JobNotFound):  # PostgreSQL: deleted since the statement above
            return self.get(row.id)
        return None
