"""Statements of a job's submission, reading and ending, built once at import.

Binds are named `my_*` where a column has the same name.
"""

from typing import Any

from sqlalchemy import (
    BindParameter,
    Insert,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from descend.jobs import JobState, StopReason
from storage.dialects import insert_for, now, state
from storage.tables import history_chunks, job_events, job_metadata, job_results, job_specs, jobs

QUEUED, RUNNING = state(JobState.QUEUED), state(JobState.RUNNING)
CANCELLED, QUARANTINED = state(JobState.CANCELLED), state(JobState.QUARANTINED)

my_job = bindparam("my_job", type_=Text)
my_jobs: BindParameter[Any] = bindparam("my_jobs", expanding=True)


# Submission

_SUBMITTED = {
    "state": QUEUED,
    "reason": "submitted",
    "created_at": now(),
    "changed_at": now(),
    "version": 1,
}
_ZEROS = [
    "fence",
    "lease",
    "not_before",
    "attempts",
    "crashes",
    "ran_before",
    "epochs_done",
    "claimed_epochs",
    "history_rows",
    "checkpoint_epochs",
    "checkpoint_rows",
]
_GIVEN = [
    "id",
    "idempotency_key",
    "request_sha256",
    "queue",
    "priority",
    "cost",
    "timeout_seconds",
    "name",
    "dataset_id",
    "dataset_sha256",
    "seed",
    "max_epochs",
    "validation_id",
    "kind",
    "warnings",
]

ADD: dict[str, Insert] = {
    dialect: insert_for(dialect, jobs)
    .values(
        {name: bindparam(name) for name in _GIVEN}
        | dict.fromkeys(_ZEROS, literal_column("0"))
        | _SUBMITTED
    )
    .on_conflict_do_nothing(index_elements=[jobs.c.idempotency_key])
    .returning(jobs.c.created_at)
    for dialect in ("sqlite", "postgresql")
}
ADD_SPEC = insert(job_specs)
ADD_METADATA = insert(job_metadata)
BY_KEY = select(jobs.c.id, jobs.c.request_sha256).where(
    jobs.c.idempotency_key == bindparam("my_key")
)
# One walk over the covering index of queued jobs says whether there is room, and who is ahead.
WAITING = select(
    func.count(),
    func.coalesce(
        func.sum(
            case(
                (
                    and_(
                        jobs.c.queue == bindparam("my_queue"),
                        jobs.c.priority >= bindparam("my_priority", type_=Integer),
                    ),
                    1,
                ),
                else_=0,
            )
        ),
        0,
    ),
).where(jobs.c.state == QUEUED)

# Reading

_HIDDEN = {"idempotency_key", "request_sha256", "owner", "lease_until", "lease", "not_before"}
VIEW = select(
    *(column for column in jobs.c if column.name not in _HIDDEN),
    job_specs.c.spec,
    job_specs.c.parent_id,
    func.coalesce(job_specs.c.resolved, job_specs.c.hyperparameters).label("hyperparameters"),
).join(job_specs, job_specs.c.job_id == jobs.c.id)
# A list leaves results out: each may be as large as all the rest of its page.
GET = (
    VIEW.add_columns(job_results.c.data.label("result"))
    .outerjoin(job_results, job_results.c.job_id == jobs.c.id)
    .where(jobs.c.id == my_job)
)
EVENTS = (
    select(job_events.c.job_id, job_events.c.to_state, job_events.c.at, job_events.c.reason)
    .where(job_events.c.job_id.in_(my_jobs))
    .order_by(job_events.c.job_id, job_events.c.seq)
)
# The jobs that are served before this one, of the same queue: one walk over a covering index. For
# several, one numbering of them all is the shorter way.
_ahead = jobs.alias("ahead")
POSITION = select(
    jobs.c.id,
    select(func.count())
    .select_from(_ahead)
    .where(
        _ahead.c.state == QUEUED,
        _ahead.c.queue == jobs.c.queue,
        or_(
            _ahead.c.priority > jobs.c.priority,
            and_(_ahead.c.priority == jobs.c.priority, _ahead.c.id <= jobs.c.id),
        ),
    )
    .scalar_subquery(),
).where(jobs.c.state == QUEUED, jobs.c.id.in_(my_jobs))
_placed = (
    select(
        jobs.c.id,
        func.row_number()
        .over(partition_by=jobs.c.queue, order_by=(jobs.c.priority.desc(), jobs.c.id))
        .label("place"),
    )
    .where(jobs.c.state == QUEUED)
    .subquery("placed")
)
POSITIONS = select(_placed.c.id, _placed.c.place).where(_placed.c.id.in_(my_jobs))
STATES = select(jobs.c.id, jobs.c.state, jobs.c.version).where(jobs.c.id.in_(my_jobs))
COUNTS = (
    select(jobs.c.state, func.count())
    .where(jobs.c.kind == bindparam("my_kind"))
    .group_by(jobs.c.state)
)
# What those that have not ended may still add to their histories.
UNWRITTEN_EPOCHS = select(func.coalesce(func.sum(jobs.c.max_epochs - jobs.c.epochs_done), 0)).where(
    jobs.c.state.in_([QUEUED, RUNNING])
)
DEPTH = select(jobs.c.queue, func.count()).where(jobs.c.state == QUEUED).group_by(jobs.c.queue)
OLDEST = select(now() - func.min(jobs.c.changed_at)).where(
    jobs.c.state == QUEUED, jobs.c.queue == bindparam("my_queue")
)

HISTORY_ROWS = select(jobs.c.history_rows).where(jobs.c.id == my_job)
CHUNKS = (
    select(history_chunks.c.start, history_chunks.c.data)
    .where(
        history_chunks.c.job_id == my_job,
        history_chunks.c.start > bindparam("my_after", type_=Integer),
        history_chunks.c.start < bindparam("my_stop", type_=Integer),
    )
    .order_by(history_chunks.c.start)
)

# Ending from outside

CANCEL = (
    update(jobs)
    .where(
        jobs.c.id == my_job,
        jobs.c.state.in_([QUEUED, RUNNING]),
        jobs.c.cancel_requested_at.is_(None),
    )
    .values(
        state=case((jobs.c.state == QUEUED, CANCELLED), else_=jobs.c.state),
        stop_reason=case((jobs.c.state == QUEUED, StopReason.CANCELLED.value)),
        finished_at=case((jobs.c.state == QUEUED, now())),
        changed_at=case((jobs.c.state == QUEUED, now()), else_=jobs.c.changed_at),
        reason=case((jobs.c.state == QUEUED, "cancelled"), else_=jobs.c.reason),
        cancel_requested_at=now(),
        version=jobs.c.version + 1,
    )
    .returning(jobs.c.state, jobs.c.kind, jobs.c.engine)
)
DELETE_ENDED = delete(jobs).where(jobs.c.id == my_job, jobs.c.finished_at.is_not(None))
