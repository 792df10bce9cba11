"""The rows. Private to storage: contract values leave it, rows never do.

What changes while a job runs (`jobs`) stands apart from what was asked (`job_specs`) and from the
checkpoint's bytes, because SQLite writes a whole row again at every heartbeat.
Events are written by a trigger, so that no state can change without one; another trigger refuses
every update of a terminal row (storage/migrations).
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

__all__ = [
    "checkpoints",
    "counters",
    "dataset_parents",
    "datasets",
    "history_chunks",
    "job_events",
    "job_metadata",
    "job_results",
    "job_specs",
    "jobs",
    "metadata",
    "model_statistics",
    "models",
    "workers",
]

metadata = MetaData()


def _of_job() -> Column[str]:
    return Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)


datasets = Table(
    "datasets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("format", Text, nullable=False),
    Column("n_rows", BigInteger, nullable=False),
    Column("n_columns", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("columns", Text, nullable=False),  # JSON
    Column("default_target", Text),  # JSON
    Column("default_weight", Text),
    Column("warnings", Text, nullable=False),  # JSON
    Column("created_at", BigInteger, nullable=False),
    Column("artefact", Text),
    Column("inline", LargeBinary),  # last: SQLite need not walk over it to reach the others
    CheckConstraint("(artefact IS NULL) <> (inline IS NULL)", name="datasets_bytes_once"),
)

# Of a dataset whose file had columns that are not kept.
unreadable_columns = Table(
    "unreadable_columns",
    metadata,
    Column("dataset_id", Text, ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
    Column("columns", Text, nullable=False),  # JSON
)

# Of a dataset made by appending: its first n_rows rows are the parent's.
dataset_parents = Table(
    "dataset_parents",
    metadata,
    Column("dataset_id", Text, ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
    Column("parent_id", Text, nullable=False),  # may be deleted before
    Column("n_rows", BigInteger, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("idempotency_key", Text, unique=True),
    Column("request_sha256", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("cost", BigInteger, nullable=False),  # multiplications at most
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),  # of the last change of state
    Column("changed_at", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),  # grows with every visible change
    Column("fence", BigInteger, nullable=False),
    Column("owner", Text),
    Column("lease_until", BigInteger),
    Column("lease", BigInteger, nullable=False),  # its length
    Column("not_before", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("cancel_requested_at", BigInteger),
    Column("timeout_seconds", Integer),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("claimed_at", BigInteger),
    Column("reported_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("ran_before", BigInteger, nullable=False),  # microseconds of work before this one
    Column("name", Text),
    Column("dataset_id", Text, nullable=False),
    Column("dataset_sha256", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("max_epochs", Integer, nullable=False),
    Column("epochs_done", Integer, nullable=False),
    Column("claimed_epochs", Integer, nullable=False),  # epochs_done when it was claimed
    Column("history_rows", Integer, nullable=False),
    Column("checkpoint_epochs", Integer, nullable=False),
    Column("checkpoint_rows", Integer, nullable=False),
    Column("engine", Text),
    Column("device", Text),
    Column("stop_reason", Text),
    Column("model_id", Text),
    Column("warnings", Text, nullable=False),  # JSON
    Column("metrics", Text),  # JSON
    Column("error", Text),  # JSON
    Column("kind", Text, nullable=False, server_default="train"),
    Column("validation_id", Text),  # the dataset that is held out
    Column("phase", Text),  # of a running job
    Column("work_started_at", BigInteger),  # of work that has not ended; kept at the job's end
    CheckConstraint(
        "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired',"
        " 'quarantined')",
        name="jobs_state_known",
    ),
    CheckConstraint(
        "(state = 'running') = (owner IS NOT NULL AND lease_until IS NOT NULL)",
        name="jobs_running_is_leased",
    ),
    CheckConstraint(
        "(state IN ('succeeded', 'failed', 'cancelled', 'expired', 'quarantined'))"
        " = (finished_at IS NOT NULL)",
        name="jobs_terminal_is_finished",
    ),
    Index(
        "jobs_queued",
        text("priority DESC"),
        "id",
        "queue",
        "not_before",
        "changed_at",
        "state",  # SQLite 3.40 looks at it again, and would read the row for it
        "kind",
        sqlite_where=text("state = 'queued'"),
        postgresql_where=text("state = 'queued'"),
    ),
    Index(
        "jobs_leased",
        "lease_until",
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
    Index(
        "jobs_ended",
        "state",
        "id",
        sqlite_where=text("finished_at IS NOT NULL"),
        postgresql_where=text("finished_at IS NOT NULL"),
    ),
    Index(
        "jobs_by_finish",
        "finished_at",
        "id",
        sqlite_where=text("finished_at IS NOT NULL"),
        postgresql_where=text("finished_at IS NOT NULL"),
    ),
    Index("jobs_by_dataset", "dataset_id", "id"),
    Index(
        "jobs_by_validation",
        "validation_id",
        sqlite_where=text("validation_id IS NOT NULL"),
        postgresql_where=text("validation_id IS NOT NULL"),
    ),
)

job_specs = Table(
    "job_specs",
    metadata,
    _of_job(),
    Column("spec", Text, nullable=False),  # JSON, like all below but weight
    Column("hyperparameters", Text, nullable=False),
    Column("resolved", Text),
    Column("targets", Text, nullable=False),
    Column("features", Text, nullable=False),
    Column("weight", Text),
    Column("parent_id", Text),  # the job that was tried again; may be deleted before
)

job_metadata = Table(
    "job_metadata",
    metadata,
    _of_job(),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Index("job_metadata_by_value", "key", "value", "job_id"),
)

job_events = Table(
    "job_events",
    metadata,
    _of_job(),
    Column("seq", BigInteger, primary_key=True),  # the row's version
    Column("fence", BigInteger, nullable=False),
    Column("from_state", Text),
    Column("to_state", Text, nullable=False),
    Column("owner", Text),
    Column("at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("place", BigInteger, nullable=False, server_default="0"),  # in the log of all jobs
    Index("job_events_by_place", "place"),
)

# Of a job that is not a training: its answer.
job_results = Table(
    "job_results",
    metadata,
    _of_job(),
    Column("data", Text, nullable=False),  # JSON
)

checkpoints = Table("checkpoints", metadata, _of_job(), Column("data", LargeBinary, nullable=False))

history_chunks = Table(
    "history_chunks",
    metadata,
    _of_job(),
    Column("start", Integer, primary_key=True),  # place of its first row in the history
    Column("data", LargeBinary, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, nullable=False, unique=True),  # may outlive the job
    Column("features", Text, nullable=False),  # JSON
    Column("targets", Text, nullable=False),  # JSON
    Column("metrics", Text, nullable=False),  # JSON
    Column("provenance", Text),  # JSON
    Column("created_at", BigInteger, nullable=False),
    Column("intercept", LargeBinary, nullable=False),  # float64, little-endian
    Column("coef", LargeBinary, nullable=False),  # float64, n_targets rows of n_features
    Column("encoding", Text),  # JSON
    Column("receipt", Text),  # JSON
)

model_statistics = Table(
    "model_statistics",
    metadata,
    Column("model_id", Text, ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    Column("data", Text, nullable=False),  # JSON
    Column("covariance", LargeBinary),  # float64, a square of all coefficients and the intercept
)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("queues", Text, nullable=False),  # ",cpu,cuda,": a comma on both sides of each
    Column("started_at", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("stats", Text, nullable=False, server_default="{}"),  # JSON: name to number
    Column("kernel", Text, nullable=False, server_default=""),  # what its last bits depend on
)

# What has happened, whatever became of the rows that it happened to (storage.counters).
counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("labels", Text, primary_key=True),
    Column("value", Double, nullable=False),
)
