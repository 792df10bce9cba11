"""The verbs of a job's life. A repository never commits: the transaction around it does."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from descend.datasets import Dataset
from descend.errors import JobNotFound, QueueFull, WrongState
from descend.hyperparameters import InitialWeights
from descend.jobs import Hyperparameters, Job, JobKind, JobSpec, queue_of
from storage import job_statements as sql
from storage.counters import Tally
from storage.dialects import instant
from storage.job_holding import JobHolding
from storage.job_reading import JobReading
from storage.job_views import queued_job
from storage.leases import Beat, Claim, Outcome, Report, StoredData
from storage.room import Room

__all__ = ["Beat", "Claim", "JobRepository", "Outcome", "Report", "StoredData"]


class JobRepository(JobReading, JobHolding):
    """Jobs of one transaction: submission and ending here, the rest by its two halves."""

    def __init__(
        self, connection: Connection, room: Room | None = None, tally: Tally | None = None
    ) -> None:
        JobReading.__init__(self, connection)
        JobHolding.__init__(self, connection, tally or Tally())
        self._room = room or Room()

    def add(  # noqa: PLR0913  a submission has this many parts
        self,
        spec: JobSpec,
        dataset: Dataset,
        *,
        job_id: str,
        targets: Sequence[str],
        features: Sequence[str],
        weight: str | None,
        seed: int,
        init: InitialWeights | None = None,
        idempotency_key: str | None,
        request_sha256: str,
        max_queued: int,
        kind: JobKind = JobKind.TRAIN,
        parent_id: str | None = None,
        warnings: Sequence[str] = (),
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
        ahead = self._ahead(queue, spec.priority, max_queued=max_queued)
        spec = spec.model_copy(update={"dataset": dataset.id})
        hyperparameters = spec.hyperparameters.resolved(seed)
        if init is not None:
            hyperparameters = hyperparameters.model_copy(update={"init": init})
        row = {
            "id": job_id,
            "idempotency_key": idempotency_key,
            "request_sha256": request_sha256,
            "queue": queue,
            "cost": _cost(dataset, len(features), len(targets), hyperparameters),
            "seed": seed,
            "max_epochs": hyperparameters.max_epochs if kind is JobKind.TRAIN else 1,
            "warnings": json.dumps(list(warnings)),
        } | _asked(spec, dataset, kind)
        created_at = self._connection.scalar(sql.ADD[self._dialect], row)
        if created_at is None:  # PostgreSQL: another transaction with this key was faster
            return self._repeated(idempotency_key, request_sha256), False
        self._add_spec(
            job_id,
            spec,
            hyperparameters=hyperparameters,
            targets=targets,
            features=features,
            weight=weight,
            parent_id=parent_id,
        )
        return queued_job(
            row,
            spec,
            hyperparameters=hyperparameters,
            created_at=instant(created_at),
            queue_position=ahead + 1,
            parent_id=parent_id,
        ), True

    def find_room(self, spec: JobSpec, *, max_queued: int) -> None:
        """Raise QueueFull where `add` would: before work that would be for nothing."""
        waiting, _ = self._waiting(queue_of(spec), spec.priority)
        if waiting >= max_queued:
            raise _queue_full(max_queued)

    def _ahead(self, queue: str, priority: int, *, max_queued: int) -> int:
        """Count the jobs that are served before a new one; QueueFull where there is no room."""
        waiting, ahead = self._room.counted(
            (queue, priority),
            max_queued=max_queued,
            count=lambda: self._waiting(queue, priority),
        )
        if waiting >= max_queued:
            raise _queue_full(max_queued)
        return ahead

    def _waiting(self, queue: str, priority: int) -> tuple[int, int]:
        counted = {"my_queue": queue, "my_priority": priority}
        waiting, ahead = self._connection.execute(sql.WAITING, counted).one()
        return waiting, ahead

    def _add_spec(
        self,
        job_id: str,
        spec: JobSpec,
        *,
        hyperparameters: Hyperparameters,
        targets: Sequence[str],
        features: Sequence[str],
        weight: str | None,
        parent_id: str | None,
    ) -> None:
        self._connection.execute(
            sql.ADD_SPEC,
            {
                "job_id": job_id,
                "spec": spec.model_dump_json(exclude_unset=True),
                "hyperparameters": hyperparameters.model_dump_json(),
                "targets": json.dumps(list(targets)),
                "features": json.dumps(list(features)),
                "weight": weight,
                "parent_id": parent_id,
            },
        )
        if spec.metadata:
            self._connection.execute(
                sql.ADD_METADATA,
                [{"job_id": job_id, "key": k, "value": v} for k, v in spec.metadata.items()],
            )

    def _repeated(self, idempotency_key: str | None, request_sha256: str) -> Job:
        job = self.earlier(idempotency_key, request_sha256)
        if job is None:
            raise JobNotFound
        return job

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
        cancelled = self._connection.execute(sql.CANCEL, {"my_job": job_id}).first()
        if cancelled is not None:
            self._count_end(cancelled)
        return self.get(job_id)


def _queue_full(max_queued: int) -> QueueFull:
    return QueueFull(f"{max_queued} jobs are waiting already", retry_after_seconds=5)


# A number that is read, checked and copied once costs as much as so many multiplications.
PASS_COST = 20


def _cost(dataset: Dataset, n_features: int, n_targets: int, h: Hyperparameters) -> int:
    """Multiplications at most, as far as a bigint can say; text columns count as one feature.

    Squared loss is factored once, and on full batches trains on as many rows as it has columns.
    """
    rows, once = dataset.n_rows, 0
    if h.has_certificate:
        columns = 1 + n_features + n_targets
        once = rows * columns * (columns + PASS_COST)
        rows = min(rows, columns) if h.batch_size is None else rows
    return min(once + rows * (n_features + 1) * n_targets * h.max_epochs, 2**62)


def _asked(spec: JobSpec, dataset: Dataset, kind: JobKind) -> dict[str, Any]:
    """What the request says; an answer is one step, and one pass to a claim."""
    return {
        "priority": spec.priority,
        "timeout_seconds": spec.timeout_seconds,
        "name": spec.name,
        "dataset_id": dataset.id,
        "dataset_sha256": dataset.sha256,
        "validation_id": spec.hyperparameters.validation_dataset,
        "kind": kind.value,
    }
