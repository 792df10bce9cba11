"""What tests of storage do again and again."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import text

from descend.datasets import Column, ColumnType, Dataset
from descend.history import History
from descend.ids import new_id
from descend.jobs import Job, JobKind, JobPhase, JobSpec, JobState, StopReason
from descend.models import LinearModel
from storage.database import Database
from storage.jobs import Claim, Outcome, Report
from storage.leases import Turn

MODEL = LinearModel(features=["x0"], targets=["y"], coef=[[2.0]], intercept=[0.5])


def a_dataset(n_rows: int = 3) -> Dataset:
    columns = [Column(name=name, dtype=ColumnType.FLOAT64, missing=0) for name in ("x0", "y")]
    return Dataset(
        id=new_id("ds"),
        name="three rows",
        format="json",
        n_rows=n_rows,
        n_columns=2,
        size_bytes=4,
        sha256="5a" * 32,
        columns=columns,
        created_at=datetime.now(UTC),
    )


def a_history(n: int, *, total: int | None = None) -> History:
    """Rows of a descent; the last `n` of `total`."""
    total = n if total is None else total
    epoch = np.arange(total - n, total)
    return History(
        epoch=epoch,
        train_loss=1.0 / (1.0 + epoch),
        eval_loss=np.full(n, np.nan),
        learning_rate=np.full(n, 0.01),
        grad_norm=np.exp(-epoch / 1000.0),
        gap=np.exp(-epoch / 500.0),
        total=total,
    )


def submit(
    database: Database,
    *,
    key: str | None = None,
    sha256: str = "1",
    dataset: Dataset | None = None,
    max_queued: int = 10_000,
    kind: JobKind = JobKind.TRAIN,
    **spec: Any,
) -> tuple[Job, bool]:
    """Submit a job, with a dataset of its own where none is given."""
    own = dataset is None
    dataset = a_dataset() if dataset is None else dataset
    with database.begin() as tx:
        job, created = tx.jobs.add(
            JobSpec(dataset=dataset.id, **spec),
            dataset,
            job_id=new_id("job"),
            targets=["y"],
            features=["x0"],
            weight=None,
            seed=7,
            idempotency_key=key,
            request_sha256=sha256,
            max_queued=max_queued,
            kind=kind,
        )
        if created and own:
            tx.datasets.add(dataset, inline=b"rows", artefact=None)
    return job, created


def claim(
    database: Database,
    *,
    worker: str = "w1",
    limit: int = 1,
    lease_seconds: float = 30,
    shares: int = 1,
) -> list[Claim]:
    with database.begin() as tx:
        return tx.jobs.claim(
            worker, limit, queues=["cpu"], lease_seconds=lease_seconds, shares=shares
        )


def claimed(database: Database, **spec: Any) -> Claim:
    """Submit a job and claim it."""
    submit(database, **spec)
    (taken,) = claim(database)
    return taken


def report(database: Database, held: Claim, epochs_done: int, **more: Any) -> bool:
    with database.begin() as tx:
        return tx.jobs.report(
            Report(job_id=held.job_id, fence=held.fence, epochs_done=epochs_done, **more)
        )


def turn(
    database: Database,
    held: Claim,
    phase: JobPhase = JobPhase.TRAINING,
    *,
    worked_seconds: float | None = None,
) -> bool:
    """A runner turned to the job, or let it wait."""
    with database.begin() as tx:
        return tx.jobs.turn(Turn(held.job_id, held.fence, phase, worked_seconds))


def expired(database: Database, *held: Claim) -> frozenset[str]:
    """Of the jobs that one worker holds, those that its heartbeat says are past their timeout."""
    fences = {one.job_id: one.fence for one in held}
    with database.begin() as tx:
        return tx.jobs.beat("w1", fences, lease_seconds=30).expired


def finish(database: Database, held: Claim, **more: Any) -> bool:
    given: dict[str, Any] = {
        "state": JobState.SUCCEEDED,
        "stop_reason": StopReason.MAX_EPOCHS,
        "epochs_done": 1000,
        "model": MODEL,
    }
    with database.begin() as tx:
        return tx.jobs.finish(Outcome(job_id=held.job_id, fence=held.fence, **(given | more)))


def cancel(database: Database, job_id: str) -> Job:
    with database.begin() as tx:
        return tx.jobs.request_cancel(job_id)


def crash(database: Database, held: Claim) -> JobState | None:
    with database.begin() as tx:
        return tx.jobs.crashed(held.job_id, held.fence, reason="SIGKILL")


def release(database: Database, held: Claim, **more: Any) -> bool:
    with database.begin() as tx:
        return tx.jobs.release(held.job_id, held.fence, reason="drained", **more)


def give_back(database: Database, held: Claim) -> bool:
    with database.begin() as tx:
        return tx.jobs.give_back(held.job_id, held.fence)


def rescue(database: Database) -> list[str]:
    with database.begin() as tx:
        return tx.jobs.rescue()


def expire_lease(database: Database, job_id: str) -> None:
    """Make time pass: this job's lease, which was a short one, ended an hour ago."""
    with database.begin() as tx:
        tx.connection.execute(
            text(
                "UPDATE jobs SET lease = 1, lease_until = lease_until - 3600000000 WHERE id = :id"
            ),
            {"id": job_id},
        )


def get(database: Database, job_id: str) -> Job:
    with database.read() as tx:
        return tx.jobs.get(job_id)


def history(database: Database, job_id: str, *between: int) -> History:
    with database.read() as tx:
        return tx.jobs.history(job_id, *between)
