"""Statements of a claim: what may be taken, by whom, and what of it is read. Built once at import.

Binds are named `my_*` where a column has the same name.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    BindParameter,
    Delete,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from descend.jobs import JobPhase
from storage.dialects import now
from storage.job_statements import QUEUED, RUNNING, my_jobs
from storage.tables import checkpoints, dataset_parents, datasets, history_chunks, job_specs, jobs

ALONE_AFTER_CRASHES = 2
ALONE_AFTER_ATTEMPTS = 4
# Multiplications that one claim takes beside others: about a second of one core.
SOLO_COST = 10**9
# An epoch takes some microseconds however small it is: as long as so many multiplications.
EPOCH_COST = 5_000
LITTLE_WORK = 10**8  # is not worth sharing: a tenth of a second

my_queues: BindParameter[Any] = bindparam("my_queues", expanding=True)
my_kinds: BindParameter[Any] = bindparam("my_kinds", expanding=True)

# Given back without a delay it can be claimed at once, also by a clock that was set back since.
_not_kept_back = or_(jobs.c.not_before <= now(), jobs.c.not_before <= jobs.c.changed_at)
_SERVABLE = (
    jobs.c.state == QUEUED,
    jobs.c.queue.in_(my_queues),
    jobs.c.kind.in_(my_kinds),
    _not_kept_back,
)
HAS_QUEUED = select(select(jobs.c.id).where(*_SERVABLE).exists())

_alone = or_(
    jobs.c.cost > SOLO_COST,
    jobs.c.crashes >= ALONE_AFTER_CRASHES,
    jobs.c.attempts >= ALONE_AFTER_ATTEMPTS,
)


_small = case((jobs.c.cost < SOLO_COST, jobs.c.cost), else_=SOLO_COST)
WORK = (_small + EPOCH_COST * cast(jobs.c.max_epochs, BigInteger)).label("work")


def _claim() -> ReturningUpdate[Any]:
    """The first `at_most` jobs in order, less the large ones; a large one that is first, alone.

    Where others are idle no more than this one's share of their work, in order, and at least one.
    """
    waiting = (
        select(jobs.c.id, jobs.c.priority, case((_alone, 1), else_=0).label("alone"), WORK)
        .where(*_SERVABLE)
        .order_by(jobs.c.priority.desc(), jobs.c.id)
        .limit(bindparam("at_most", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("waiting")
    )
    lease = bindparam("my_lease", type_=BigInteger)
    worker = bindparam("my_worker", type_=Text)
    return (
        update(jobs)
        .where(jobs.c.id.in_(_picked(waiting)), jobs.c.state == QUEUED)
        .values(
            state=RUNNING,
            reason="claimed",
            owner=worker,
            fence=jobs.c.fence + 1,
            lease=lease,
            lease_until=now() + lease,
            attempts=jobs.c.attempts + 1,
            started_at=func.coalesce(jobs.c.started_at, now()),
            claimed_at=now(),
            phase=JobPhase.WAITING.value,
            work_started_at=null(),
            reported_at=null(),
            epochs_done=jobs.c.checkpoint_epochs,
            claimed_epochs=jobs.c.checkpoint_epochs,
            history_rows=jobs.c.checkpoint_rows,
            changed_at=now(),
            version=jobs.c.version + 1,
        )
        .returning(jobs.c.id, jobs.c.attempts)
    )


def _picked(waiting: CTE) -> Select[Any]:
    """Of the jobs that wait, those that one claim takes."""
    order = (waiting.c.priority.desc(), waiting.c.id)
    first = select(waiting.c.id).order_by(*order).limit(1).scalar_subquery()
    first_alone = select(waiting.c.alone).order_by(*order).limit(1).scalar_subquery()
    before = func.coalesce(func.sum(waiting.c.work).over(order_by=order, rows=(None, -1)), 0)
    placed = select(waiting.c.id, waiting.c.alone, before.label("before")).cte("placed")
    all_work = select(func.sum(waiting.c.work)).scalar_subquery()
    return select(placed.c.id).where(
        or_(
            placed.c.id == first,
            and_(
                placed.c.alone == 0,
                first_alone == 0,
                or_(
                    placed.c.before < LITTLE_WORK,
                    placed.c.before * bindparam("my_shares", type_=BigInteger) < all_work,
                ),
            ),
        )
    )


CLAIM = _claim()
# A job that was given back says with not_before from when on it could be claimed again.
_servable_since = case(
    (jobs.c.not_before > jobs.c.created_at, jobs.c.not_before), else_=jobs.c.created_at
)
_validation = datasets.alias("validation")
CLAIMED = (
    select(
        jobs.c.id,
        jobs.c.queue,
        jobs.c.kind,
        jobs.c.fence,
        (jobs.c.claimed_at - _servable_since).label("waited"),
        jobs.c.attempts,
        jobs.c.crashes,
        jobs.c.epochs_done,
        jobs.c.started_at,
        jobs.c.timeout_seconds,
        job_specs.c.spec,
        job_specs.c.hyperparameters,
        job_specs.c.targets,
        job_specs.c.features,
        job_specs.c.weight,
        jobs.c.warnings,
        jobs.c.dataset_id,
        jobs.c.dataset_sha256,
        datasets.c.inline,
        datasets.c.artefact,
        dataset_parents.c.parent_id,
        dataset_parents.c.n_rows.label("parent_rows"),
        jobs.c.validation_id,
        _validation.c.sha256.label("validation_sha256"),
        _validation.c.inline.label("validation_inline"),
        _validation.c.artefact.label("validation_artefact"),
        checkpoints.c.data.label("checkpoint"),
        WORK,
    )
    .join(job_specs, job_specs.c.job_id == jobs.c.id)
    .outerjoin(datasets, datasets.c.id == jobs.c.dataset_id)
    .outerjoin(dataset_parents, dataset_parents.c.dataset_id == jobs.c.dataset_id)
    .outerjoin(_validation, _validation.c.id == jobs.c.validation_id)
    .outerjoin(checkpoints, checkpoints.c.job_id == jobs.c.id)
    .where(jobs.c.id.in_(my_jobs))
    .order_by(jobs.c.priority.desc(), jobs.c.id)
)
# What was reported after the checkpoint is computed again: a chunk never reaches across it.
CUT_HISTORY: Delete = delete(history_chunks).where(
    history_chunks.c.job_id.in_(my_jobs),
    history_chunks.c.start
    >= select(jobs.c.checkpoint_rows).where(jobs.c.id == history_chunks.c.job_id).scalar_subquery(),
)
