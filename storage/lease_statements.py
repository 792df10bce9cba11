"""Statements of a worker's side: hold, give back, finish. Built once at import.

`Held` builds the writes of a running job: each is a compare-and-set on id, fence and state, and
the fence is compared in one place only, `JobHolding.mine`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Insert,
    Integer,
    Select,
    Text,
    Update,
    and_,
    bindparam,
    case,
    func,
    insert,
    not_,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from descend.jobs import JobPhase, JobState, StopReason
from storage.dialects import a_lease_after_start, held_fence, insert_for, now
from storage.job_statements import CANCELLED, QUARANTINED, QUEUED, RUNNING, my_job, my_jobs
from storage.tables import (
    checkpoints,
    history_chunks,
    job_events,
    job_results,
    job_specs,
    jobs,
)

MAX_CRASHES = 3
# A lease runs out for many reasons that are no fault of the job; but where each of so many workers
# was lost with this one job, the next would be too. After some it has no neighbours to take along.
MAX_LOST_LEASES = 10
LEASE_EXPIRED = "lease expired"

my_fence = bindparam("my_fence", type_=BigInteger)
my_reason = bindparam("my_reason", type_=Text)

Guard = Callable[[ColumnElement[Any]], ColumnElement[bool]]

# Leaving the running state without a result

# Work is counted from its beginning: neither the queue nor the jobs of the same claim that came
# first take of a job's time.
_WORKED = now() - func.coalesce(jobs.c.work_started_at, now())
_RAN = jobs.c.ran_before + _WORKED
_asked = jobs.c.cancel_requested_at.is_not(None)
_END = (jobs.c.state, jobs.c.kind, jobs.c.engine)  # what is counted of it
_NOT_HELD = {
    "owner": null(),
    "lease_until": null(),
    "phase": null(),
    "version": jobs.c.version + 1,
}
_COUNTED = {
    "changed_at": now(),
    "ran_before": _RAN,
    "work_started_at": null(),
    "fence": jobs.c.fence + 1,
}


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


def _uncounted(running: Update) -> Update:
    """Back to the queue as if it had not been claimed: nothing of it has been reported."""
    first = jobs.c.attempts == 1
    return _requeued(running.where(jobs.c.reported_at.is_(None))).values(
        attempts=jobs.c.attempts - 1,
        started_at=case((first, null()), else_=jobs.c.started_at),
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
    turn: Update
    report: Update
    finish: ReturningUpdate[Any]
    release: ReturningUpdate[Any]
    give_back: ReturningUpdate[Any]
    crashed: ReturningUpdate[Any]
    ended: Select[Any]

    @classmethod
    def by(cls, mine: Guard) -> "Held":
        running = update(jobs).where(jobs.c.id == my_job, mine(my_fence), jobs.c.state == RUNNING)
        return cls(
            beat=_beat(mine),
            turn=_turn(running),
            report=_report(running),
            finish=_finish(running),
            release=_requeued(running).returning(*_END),
            give_back=_uncounted(running).returning(*_END),
            crashed=_crashed(running).returning(*_END),
            ended=select(jobs.c.state).where(
                jobs.c.id == my_job, mine(my_fence), jobs.c.finished_at.is_not(None)
            ),
        )


def _beat(mine: Guard) -> ReturningUpdate[Any]:
    lease = bindparam("my_lease", type_=BigInteger)
    missed = bindparam("my_missed", type_=BigInteger)
    works_for = jobs.c.lease_until - lease - jobs.c.work_started_at
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
            ran_before=jobs.c.ran_before - case((missed < _WORKED, missed), else_=_WORKED),
        )
        .returning(
            jobs.c.id,
            jobs.c.cancel_requested_at,
            jobs.c.timeout_seconds,
            (jobs.c.ran_before + func.coalesce(works_for, 0)).label("ran"),
        )
    )


def _turn(running: Update) -> Update:
    """A job that is loaded may wait for others before it trains: that is none of its time."""
    phase = bindparam("my_phase", type_=Text)
    waits = phase == JobPhase.WAITING.value
    return running.values(
        phase=phase,
        ran_before=case((waits, _RAN), else_=jobs.c.ran_before),
        work_started_at=case((not_(waits), _began())),
        version=jobs.c.version + 1,
    )


def _began() -> ColumnElement[int]:
    """When the work began, as far as is known; null where it did not."""
    worked = bindparam("my_worked", type_=BigInteger)
    return func.coalesce(jobs.c.work_started_at, now() - worked)


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
        phase=JobPhase.TRAINING.value,
        work_started_at=_began(),
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
