"""The verbs of a job's life. A repository never commits: the transaction around it does."""

import json
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, func, or_, select

from descend.datasets import Dataset
from descend.errors import IdempotencyKeyReused, JobNotFound, QueueFull, WrongState
from descend.history import History
from descend.ids import new_id
from descend.jobs import (
    Hyperparameters,
    Job,
    JobError,
    JobSpec,
    JobState,
    Page,
    Transition,
    queue_of,
)
from storage import job_statements as sql
from storage.dialects import instant
from storage.history import CHUNK_ROWS, chunks, joined
from storage.job_views import job_of, queued_job
from storage.leases import Beat, Claim, Outcome, Report, StoredData
from storage.models import ModelRepository
from storage.tables import job_metadata, jobs

__all__ = ["Beat", "Claim", "JobRepository", "Outcome", "Report", "StoredData"]


class JobRepository:
    """Jobs of one transaction.

    Every write of a running job is guarded by its fence, in one place: `mine`. A test of the
    protocol can see what the fence prevents by a subclass that compares with >= instead.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name
        self._held = _held(type(self))

    @staticmethod
    def mine(fence: ColumnElement[Any]) -> ColumnElement[bool]:
        """The row is still held under this fence: no other claim came after mine."""
        return jobs.c.fence == fence

    # Submission

    def add(
        self,
        spec: JobSpec,
        dataset: Dataset,
        *,
        job_id: str,
        targets: Sequence[str],
        features: Sequence[str],
        weight: str | None,
        seed: int,
        idempotency_key: str | None,
        request_sha256: str,
        max_queued: int,
    ) -> tuple[Job, bool]:
        """Queue a job; the same key with the same request gives the earlier job.

        Data that came with the request is stored after this, where `created` says so: a repeated
        request then leaves nothing behind.

        Returns:
            The job, and whether it was created by this call.

        Raises:
            IdempotencyKeyReused: when the key was used for another request.
            QueueFull: when `max_queued` jobs wait already.
        """
        earlier = self.earlier(idempotency_key, request_sha256)
        if earlier is not None:
            return earlier, False
        queue = queue_of(spec)
        waiting, ahead = self._connection.execute(
            sql.WAITING, {"my_queue": queue, "my_priority": spec.priority}
        ).one()
        if waiting >= max_queued:
            raise QueueFull(f"{max_queued} jobs are waiting already", retry_after_seconds=5)
        spec = spec.model_copy(update={"dataset": dataset.id})
        hyperparameters = spec.hyperparameters.resolved(seed)
        cost = dataset.n_rows * (len(features) + 1) * len(targets) * hyperparameters.max_epochs
        row = {
            "id": job_id,
            "idempotency_key": idempotency_key,
            "request_sha256": request_sha256,
            "queue": queue,
            "priority": spec.priority,
            "cost": min(cost, 2**62),
            "timeout_seconds": spec.timeout_seconds,
            "name": spec.name,
            "dataset_id": dataset.id,
            "dataset_sha256": dataset.sha256,
            "seed": seed,
            "max_epochs": hyperparameters.max_epochs,
        }
        created_at = self._connection.scalar(sql.ADD[self._dialect], row)
        if created_at is None:  # PostgreSQL: another transaction with this key was faster
            return self._repeated(idempotency_key, request_sha256), False
        self._connection.execute(
            sql.ADD_SPEC,
            {
                "job_id": job_id,
                "spec": spec.model_dump_json(exclude_unset=True),
                "hyperparameters": hyperparameters.model_dump_json(),
                "targets": json.dumps(list(targets)),
                "features": json.dumps(list(features)),
                "weight": weight,
            },
        )
        if spec.metadata:
            self._connection.execute(
                sql.ADD_METADATA,
                [{"job_id": job_id, "key": k, "value": v} for k, v in spec.metadata.items()],
            )
        return queued_job(
            row,
            spec,
            hyperparameters=hyperparameters,
            created_at=instant(created_at),
            queue_position=ahead + 1,
        ), True

    def earlier(self, idempotency_key: str | None, request_sha256: str) -> Job | None:
        """The job that this key made before; None where the key is new or there is none."""
        if idempotency_key is None:
            return None
        row = self._connection.execute(sql.BY_KEY, {"my_key": idempotency_key}).first()
        if row is None:
            return None
        if row.request_sha256 != request_sha256:
            raise IdempotencyKeyReused
        return self.get(row.id)

    def _repeated(self, idempotency_key: str | None, request_sha256: str) -> Job:
        job = self.earlier(idempotency_key, request_sha256)
        if job is None:
            raise JobNotFound
        return job

    # Reading

    def get(self, job_id: str) -> Job:
        """Read one job.

        Raises:
            JobNotFound: when there is none with this id.
        """
        row = self._connection.execute(sql.GET, {"my_job": job_id}).mappings().first()
        if row is None:
            raise JobNotFound(f"there is no job {job_id}")
        return self._jobs([row])[0]

    def page(
        self,
        *,
        after: str | None = None,
        limit: int = 20,
        state: JobState | None = None,
        dataset: str | None = None,
        q: str | None = None,
        metadata: Mapping[str, str] = {},
    ) -> Page[Job]:
        """List jobs, newest first, from below the id `after`.

        `q` is looked for in names, whatever the case, and at the beginning of ids.
        """
        statement = sql.VIEW.order_by(jobs.c.id.desc()).limit(limit + 1)
        if after is not None:
            statement = statement.where(jobs.c.id < after)
        if state is not None:
            statement = statement.where(jobs.c.state == state.value)
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
        positions = (
            dict(self._connection.execute(sql.POSITION, {"my_jobs": queued}).tuples().all())
            if queued
            else {}
        )
        return [
            job_of(row, transitions=transitions[row["id"]], queue_position=positions.get(row["id"]))
            for row in rows
        ]

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
        ).tuples()
        return joined(stored, start=start, stop=stop, total=total)

    def queue_depth(self) -> dict[str, int]:
        """Queued jobs by queue; a queue without any is absent."""
        return dict(self._connection.execute(sql.DEPTH).tuples().all())

    def oldest_queued_seconds(self, queue: str) -> float | None:
        """For how long the first of this queue has been waiting; None where none waits."""
        waited = self._connection.scalar(sql.OLDEST, {"my_queue": queue})
        return None if waited is None else max(waited, 0) / 1e6

    # Ending from outside

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended, with its history; its model stays.

        Raises:
            JobNotFound, WrongState: when there is none; when it has not ended.
        """
        if self._connection.execute(sql.DELETE_ENDED, {"my_job": job_id}).rowcount == 0:
            state = self.get(job_id).state
            raise WrongState(f"job {job_id} is {state}: cancel it before deleting it")

    def request_cancel(self, job_id: str) -> Job:
        """End a queued job now, and a running one at its worker's next heartbeat.

        Raises:
            JobNotFound: when there is none with this id.
        """
        self._connection.execute(sql.CANCEL, {"my_job": job_id})
        return self.get(job_id)

    # A worker's side

    def has_queued(self, queues: Collection[str]) -> bool:
        """Whether a claim would find something; takes no lock."""
        return bool(self._connection.scalar(sql.HAS_QUEUED, {"my_queues": list(queues)}))

    def claim(
        self, worker_id: str, limit: int, *, queues: Collection[str], lease_seconds: float
    ) -> list[Claim]:
        """Take up to `limit` small jobs, or one large or twice crashed one, in the queue's order.

        The history that was reported after a job's checkpoint is deleted: it comes again.
        """
        taken = self._connection.execute(
            sql.CLAIM,
            {
                "my_worker": worker_id,
                "at_most": limit,
                "my_queues": list(queues),
                "my_lease": _microseconds(lease_seconds),
            },
        ).all()
        if not taken:
            return []
        again = [row.id for row in taken if row.attempts > 1]
        if again:
            self._connection.execute(sql.CUT_HISTORY, {"my_jobs": again})
        rows = self._connection.execute(sql.CLAIMED, {"my_jobs": [row.id for row in taken]})
        return [_claim_of(row) for row in rows.mappings()]

    def beat(self, worker_id: str, held: Mapping[str, int], *, lease_seconds: float) -> Beat:  # noqa: ARG002
        """Renew the leases of all held jobs (id -> fence); learn what became of them."""
        if not held:
            return Beat(frozenset(), frozenset(), frozenset())
        rows = self._connection.execute(
            self._held.beat,
            {
                "my_jobs": list(held),
                "my_held": json.dumps(dict(held)),
                "my_lease": _microseconds(lease_seconds),
            },
        ).all()
        return Beat(
            lost=frozenset(held) - {row.id for row in rows},
            cancel=frozenset(row.id for row in rows if row.cancel_requested_at is not None),
            expired=frozenset(
                row.id
                for row in rows
                if row.timeout_seconds is not None and row.ran > row.timeout_seconds * 1_000_000
            ),
        )

    def report(self, report: Report) -> bool:
        """Store progress, new history and checkpoint of a running job; False: fenced."""
        changed = self._connection.execute(self._held.report, _progress(report))
        if changed.rowcount == 0:
            return False
        self._store(report)
        if report.checkpoint is not None:
            self._connection.execute(
                sql.SAVE_CHECKPOINT[self._dialect],
                {"job_id": report.job_id, "data": report.checkpoint},
            )
        return True

    def finish(self, outcome: Outcome) -> bool:
        """End a running job: state, weights and the last history in this one transaction.

        A job whose cancel was accepted ends as cancelled, never as succeeded. False: fenced. A
        finish that is repeated, because its commit's fate was unknown, is True again.
        """
        keeps = outcome.model is not None and outcome.state is JobState.SUCCEEDED
        model_id = new_id("mdl") if keeps else None
        values = _progress(outcome) | _ending(outcome) | {"my_model_id": model_id}
        ended = self._connection.scalar(self._held.finish, values)
        if ended is None:
            held = {"my_job": outcome.job_id, "my_fence": outcome.fence}
            return self._connection.scalar(self._held.ended, held) is not None
        self._store(outcome)
        if ended == JobState.SUCCEEDED and outcome.model is not None and model_id is not None:
            ModelRepository(self._connection).add(
                outcome.model, model_id=model_id, job_id=outcome.job_id
            )
        return True

    def release(
        self,
        job_id: str,
        fence: int,
        *,
        reason: str,
        report: Report | None = None,
        delay_seconds: float = 0,
    ) -> bool:
        """Give a running job back: queued again, no crash counted; False: fenced.

        `delay_seconds` keeps it from being claimed at once, where the fault is not the job's.
        """
        if report is not None and not self.report(report):
            return False
        values = {
            "my_job": job_id,
            "my_fence": fence,
            "my_reason": reason,
            "my_delay": _microseconds(delay_seconds),
        }
        return self._connection.scalar(self._held.release, values) is not None

    def crashed(self, job_id: str, fence: int, *, reason: str) -> JobState | None:
        """Count a crash: queued again, or quarantined at the third. None: fenced."""
        values = {"my_job": job_id, "my_fence": fence} | _crash(reason)
        state = self._connection.scalar(self._held.crashed, values)
        return None if state is None else JobState(state)

    def rescue(self, *, limit: int = 100) -> list[str]:
        """Take jobs from workers that let their lease run out; as crashed. Returns their ids."""
        values = {"at_most": limit} | _crash("lease expired")
        return list(self._connection.scalars(sql.RESCUE, values))

    def _store(self, of: Report | Outcome) -> None:
        if of.history is not None and len(of.history):
            self._connection.execute(
                sql.SAVE_CHUNK[self._dialect],
                [
                    {"job_id": of.job_id, "start": start, "data": data}
                    for start, data in chunks(of.history)
                ],
            )
        if of.resolved is not None:
            self._connection.execute(
                sql.SAVE_RESOLVED,
                {"my_job": of.job_id, "my_resolved": of.resolved.model_dump_json()},
            )


@cache
def _held(repository: type[JobRepository]) -> sql.Held:
    return sql.Held.by(repository.mine)


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _progress(of: Report | Outcome) -> dict[str, Any]:
    rows = of.history.total if of.history is not None and len(of.history) else None
    saved = isinstance(of, Report) and of.checkpoint is not None
    return {
        "my_job": of.job_id,
        "my_fence": of.fence,
        "my_epochs": of.epochs_done,
        "my_history_rows": rows,
        "my_checkpoint_epochs": of.epochs_done if saved else None,
        "my_engine": of.engine,
        "my_device": of.device,
        "my_warnings": json.dumps(list(of.warnings)) if of.warnings else None,
    }


def _ending(outcome: Outcome) -> dict[str, Any]:
    return {
        "my_state": outcome.state.value,
        "my_stop_reason": outcome.stop_reason.value,
        "my_reason": outcome.stop_reason.value,
        "my_metrics": outcome.metrics.model_dump_json() if outcome.metrics else None,
        "my_error": outcome.error.model_dump_json() if outcome.error else None,
    }


def _crash(reason: str) -> dict[str, str]:
    error = JobError(
        code="crashed",
        message=f"the training process was lost {sql.MAX_CRASHES} times; the last time: {reason}",
        detail={"crashes": sql.MAX_CRASHES},
    )
    return {"my_reason": reason, "my_error": error.model_dump_json()}


def _claim_of(row: RowMapping) -> Claim:
    return Claim(
        job_id=row["id"],
        fence=row["fence"],
        attempt=row["attempts"],
        crashes=row["crashes"],
        spec=JobSpec.model_validate_json(row["spec"]),
        hyperparameters=Hyperparameters.model_validate_json(row["hyperparameters"]),
        dataset=StoredData(
            dataset_id=row["dataset_id"],
            sha256=row["dataset_sha256"],
            inline=row["inline"],
            artefact=row["artefact"],
        ),
        targets=tuple(json.loads(row["targets"])),
        features=tuple(json.loads(row["features"])),
        weight=row["weight"],
        checkpoint=row["checkpoint"],
        epochs_done=row["epochs_done"],
        started_at=instant(row["started_at"]),
        timeout_seconds=row["timeout_seconds"],
    )
