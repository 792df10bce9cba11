"""Statements of a worker's side: claim, hold, give back. Built once at import.

`Held` builds the writes of a running job: each is a compare-and-set on id, fence and state, and
the fence is compared in one place only, `JobHolding.mine`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Delete,
    Insert,
    Integer,
    Select,
    Text,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    not_,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from descend.jobs import JobState, StopReason
from storage.dialects import a_lease_after_start, held_fence, insert_for, now
from storage.job_statements import CANCELLED, QUARANTINED, QUEUED, RUNNING, my_job, my_jobs
from storage.tables import (
    checkpoints,
    dataset_parents,
    datasets,
    history_chunks,
    job_events,
    job_results,
    job_specs,
    jobs,
)

MAX_CRASHES = 3
ALONE_AFTER_CRASHES = 2
# A lease runs out for many reasons that are no fault of the job; but where each of so many workers
# was lost with this one job, the next would be too. After some it has no neighbours to take along.
MAX_LOST_LEASES = 10
ALONE_AFTER_ATTEMPTS = 4
LEASE_EXPIRED = "lease expired"
# Multiplications that one claim takes beside others: about a second of one core.
SOLO_COST = 10**9

my_fence = bindparam("my_fence", type_=BigInteger)
my_reason = bindparam("my_reason", type_=Text)
my_queues: BindParameter[Any] = bindparam("my_queues", expanding=True)
my_kinds: BindParameter[Any] = bindparam("my_kinds", expanding=True)

Guard = Callable[[ColumnElement[Any]], ColumnElement[bool]]

# Claiming

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


def _claim() -> ReturningUpdate[Any]:
    """The first `at_most` jobs in order, less the large ones; a large one that is first, alone."""
    waiting = (
        select(jobs.c.id, jobs.c.priority, case((_alone, 1), else_=0).label("alone"))
        .where(*_SERVABLE)
        .order_by(jobs.c.priority.desc(), jobs.c.id)
        .limit(bindparam("at_most", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("waiting")
    )
    order = (waiting.c.priority.desc(), waiting.c.id)
    first = select(waiting.c.id).order_by(*order).limit(1).scalar_subquery()
    first_alone = select(waiting.c.alone).order_by(*order).limit(1).scalar_subquery()
    picked = select(waiting.c.id).where(
        or_(waiting.c.id == first, and_(waiting.c.alone == 0, first_alone == 0))
    )
    lease = bindparam("my_lease", type_=BigInteger)
    worker = bindparam("my_worker", type_=Text)
    return (
        update(jobs)
        .where(jobs.c.id.in_(picked), jobs.c.state == QUEUED)
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
            reported_at=null(),
            epochs_done=jobs.c.checkpoint_epochs,
            claimed_epochs=jobs.c.checkpoint_epochs,
            history_rows=jobs.c.checkpoint_rows,
            changed_at=now(),
            version=jobs.c.version + 1,
        )
        .returning(jobs.c.id, jobs.c.attempts)
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

# Leaving the running state without a result

_RAN = jobs.c.ran_before + now() - func.coalesce(jobs.c.claimed_at, now())
_asked = jobs.c.cancel_requested_at.is_not(None)
_END = (jobs.c.state, jobs.c.kind, jobs.c.engine)  # what is counted of it
_NOT_HELD = {"owner": null(), "lease_until": null(), "version": jobs.c.version + 1}
_COUNTED = {"changed_at": now(), "ran_before": _RAN, "fence": jobs.c.fence + 1}


def _requeued(update_of: Update) -> Update:
    """Back to the queue, unless a cancel was asked for."""
    return update_of.values(
        state=case((_asked, CANCELLED), else_=QUEUED),
        stop_reason=case((_asked, StopReason.CANCELLED.value)),
        finished_at=case((_asked, now())),
        reason=case((_asked, "cancelled"), else_=my_reason),
        not_before=now() + bindparam("my_delay", type_=BigInteger),
        **_NOT_HELD,
        **_COUNTED,
    )


def _crashed(update_of: Update) -> Update:
    """One crash more: back to the queue, or to quarantine at the last one."""
    last = jobs.c.crashes + 1 >= MAX_CRASHES
    return _lost(update_of, last).values(crashes=jobs.c.crashes + 1)


def _lost(update_of: Update, last: ColumnElement[bool]) -> Update:
    """Back to the queue, or to quarantine where this was the last time."""
    return update_of.values(
        state=case((_asked, CANCELLED), (last, QUARANTINED), else_=QUEUED),
        stop_reason=case((_asked, StopReason.CANCELLED.value), (last, StopReason.CRASHED.value)),
        finished_at=case((or_(_asked, last), now())),
        reason=case((_asked, "cancelled"), else_=my_reason),
        error=case((and_(not_(_asked), last), bindparam("my_error", type_=Text))),
        **_NOT_HELD,
        **_COUNTED,
    )


CLOCK = select(now())
_before = bindparam("my_before", type_=BigInteger)
# A lease never reaches further than its length, unless the clock was set back since; twice that is
# also beyond what a transaction that began a moment later may have written.
_unbelievable = jobs.c.lease_until > now() + 2 * jobs.c.lease
_expired = (jobs.c.state == RUNNING, or_(jobs.c.lease_until < _before, _unbelievable))
EXPIRED = select(jobs.c.lease).where(*_expired, a_lease_after_start(jobs.c.lease)).distinct()


def _rescue() -> ReturningUpdate[Any]:
    """Not a crash: a lease that ran out cannot be told from a pause of its holder."""
    dead = (
        select(jobs.c.id)
        .where(*_expired, jobs.c.lease.in_(bindparam("my_leases", expanding=True)))
        .order_by(jobs.c.lease_until)
        .limit(bindparam("at_most", type_=Integer))
        .with_for_update(skip_locked=True)
    )
    lost_before = (
        select(func.count())
        .where(job_events.c.job_id == jobs.c.id, job_events.c.reason == LEASE_EXPIRED)
        .scalar_subquery()
    )
    lost = update(jobs).where(jobs.c.id.in_(dead), *_expired)
    return _lost(lost, lost_before + 1 >= MAX_LOST_LEASES).returning(jobs.c.id, *_END)


RESCUE = _rescue()


@dataclass(frozen=True)
class Held:
    """The writes of a running job by its holder; `mine` compares the fence."""

    beat: ReturningUpdate[Any]
    report: Update
    finish: ReturningUpdate[Any]
    release: ReturningUpdate[Any]
    crashed: ReturningUpdate[Any]
    ended: Select[Any]

    @classmethod
    def by(cls, mine: Guard) -> "Held":
        running = update(jobs).where(jobs.c.id == my_job, mine(my_fence), jobs.c.state == RUNNING)
        return cls(
            beat=_beat(mine),
            report=_report(running),
            finish=_finish(running),
            release=_requeued(running).returning(*_END),
            crashed=_crashed(running).returning(*_END),
            ended=select(jobs.c.state).where(
                jobs.c.id == my_job, mine(my_fence), jobs.c.finished_at.is_not(None)
            ),
        )


def _beat(mine: Guard) -> ReturningUpdate[Any]:
    lease = bindparam("my_lease", type_=BigInteger)
    missed, age = bindparam("my_missed", type_=BigInteger), now() - jobs.c.claimed_at
    # Bare columns are returned: SQLite 3.40 takes `x IS NOT NULL` in RETURNING to be true.
    return (
        update(jobs)
        .where(
            jobs.c.id.in_(my_jobs),
            mine(held_fence(bindparam("my_held", type_=Text), jobs.c.id)),
            jobs.c.state == RUNNING,
        )
        .values(
            lease=lease,
            lease_until=now() + lease,
            ran_before=jobs.c.ran_before - case((missed < age, missed), else_=age),
        )
        .returning(
            jobs.c.id,
            jobs.c.cancel_requested_at,
            jobs.c.timeout_seconds,
            (jobs.c.ran_before + jobs.c.lease_until - lease - jobs.c.claimed_at).label("ran"),
        )
    )


def _report(running: Update) -> Update:
    def or_before(name: str, type_: type[Any]) -> ColumnElement[Any]:
        return func.coalesce(bindparam(f"my_{name}", type_=type_), jobs.c[name])

    checkpointed = bindparam("my_checkpoint_epochs", type_=Integer)
    return running.values(
        epochs_done=bindparam("my_epochs", type_=Integer),
        history_rows=or_before("history_rows", Integer),
        checkpoint_epochs=func.coalesce(checkpointed, jobs.c.checkpoint_epochs),
        checkpoint_rows=case(
            (checkpointed.is_not(None), or_before("history_rows", Integer)),
            else_=jobs.c.checkpoint_rows,
        ),
        engine=or_before("engine", Text),
        device=or_before("device", Text),
        warnings=or_before("warnings", Text),
        lease_until=now() + jobs.c.lease,
        reported_at=now(),
        version=jobs.c.version + 1,
    )


def _finish(running: Update) -> ReturningUpdate[Any]:
    """A cancel that was accepted is kept, even when training got to its end meanwhile."""
    to_state = bindparam("my_state", type_=Text)
    overruled = and_(to_state == JobState.SUCCEEDED.value, _asked)
    given = {name: bindparam(f"my_{name}", type_=Text) for name in ("metrics", "error", "model_id")}
    return (
        _report(running)
        .values(
            state=case((overruled, CANCELLED), else_=to_state),
            stop_reason=case(
                (overruled, StopReason.CANCELLED.value),
                else_=bindparam("my_stop_reason", type_=Text),
            ),
            reason=case((overruled, "cancelled"), else_=my_reason),
            metrics=given["metrics"],
            error=given["error"],
            model_id=case((overruled, null()), else_=given["model_id"]),
            changed_at=now(),
            finished_at=now(),
            ran_before=_RAN,
            **_NOT_HELD,
        )
        .returning(*_END)
    )


# Checkpoints and history, written after the guarded UPDATE of the same transaction


def _upsert(dialect: str, table: Any, key: str) -> Insert:
    statement = insert_for(dialect, table)
    return statement.on_conflict_do_update(
        index_elements=[column for column in table.c if column.primary_key],
        set_={key: statement.excluded[key]},
    )


SAVE_CHECKPOINT = {d: _upsert(d, checkpoints, "data") for d in ("sqlite", "postgresql")}
SAVE_CHUNK = {d: _upsert(d, history_chunks, "data") for d in ("sqlite", "postgresql")}
SAVE_RESULT = insert(job_results)
SAVE_RESOLVED = (
    update(job_specs)
    .where(job_specs.c.job_id == my_job)
    .values(resolved=bindparam("my_resolved", type_=Text))
)
