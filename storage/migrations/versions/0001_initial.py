"""The first tables.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE datasets (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT,
    format TEXT NOT NULL,
    n_rows BIGINT NOT NULL,
    n_columns INTEGER NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    columns TEXT NOT NULL,
    default_target TEXT,
    default_weight TEXT,
    warnings TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    artefact TEXT,
    inline {bytes},
    CONSTRAINT datasets_bytes_once CHECK ((artefact IS NULL) <> (inline IS NULL))
);
CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    idempotency_key TEXT UNIQUE,
    request_sha256 TEXT NOT NULL,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    cost BIGINT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    owner TEXT,
    lease_until BIGINT,
    lease BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    cancel_requested_at BIGINT,
    timeout_seconds INTEGER,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    claimed_at BIGINT,
    reported_at BIGINT,
    finished_at BIGINT,
    ran_before BIGINT NOT NULL,
    name TEXT,
    dataset_id TEXT NOT NULL,
    dataset_sha256 TEXT NOT NULL,
    seed BIGINT NOT NULL,
    max_epochs INTEGER NOT NULL,
    epochs_done INTEGER NOT NULL,
    claimed_epochs INTEGER NOT NULL,
    history_rows INTEGER NOT NULL,
    checkpoint_epochs INTEGER NOT NULL,
    checkpoint_rows INTEGER NOT NULL,
    engine TEXT,
    device TEXT,
    stop_reason TEXT,
    model_id TEXT,
    warnings TEXT NOT NULL,
    metrics TEXT,
    error TEXT,
    CONSTRAINT jobs_state_known CHECK (state IN
        ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired', 'quarantined')),
    CONSTRAINT jobs_running_is_leased CHECK
        ((state = 'running') = (owner IS NOT NULL AND lease_until IS NOT NULL)),
    CONSTRAINT jobs_terminal_is_finished CHECK
        ((state IN ('succeeded', 'failed', 'cancelled', 'expired', 'quarantined'))
         = (finished_at IS NOT NULL))
) {jobs_options};
CREATE INDEX jobs_queued ON jobs (priority DESC, id, queue, not_before, changed_at, state)
    WHERE state = 'queued';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_ended ON jobs (state, id) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_by_dataset ON jobs (dataset_id, id);
CREATE TABLE job_specs (
    job_id TEXT NOT NULL PRIMARY KEY,
    spec TEXT NOT NULL,
    hyperparameters TEXT NOT NULL,
    resolved TEXT,
    targets TEXT NOT NULL,
    features TEXT NOT NULL,
    weight TEXT,
    FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
CREATE TABLE job_metadata (
    job_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (job_id, key),
    FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
CREATE INDEX job_metadata_by_value ON job_metadata (key, value, job_id);
CREATE TABLE job_events (
    job_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    owner TEXT,
    at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (job_id, seq),
    FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
CREATE TABLE checkpoints (
    job_id TEXT NOT NULL PRIMARY KEY,
    data {bytes} NOT NULL,
    FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
CREATE TABLE history_chunks (
    job_id TEXT NOT NULL,
    start INTEGER NOT NULL,
    data {bytes} NOT NULL,
    PRIMARY KEY (job_id, start),
    FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
CREATE TABLE models (
    id TEXT NOT NULL PRIMARY KEY,
    job_id TEXT NOT NULL UNIQUE,
    features TEXT NOT NULL,
    targets TEXT NOT NULL,
    metrics TEXT NOT NULL,
    provenance TEXT,
    created_at BIGINT NOT NULL,
    intercept {bytes} NOT NULL,
    coef {bytes} NOT NULL
);
CREATE TABLE workers (
    id TEXT NOT NULL PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    queues TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    last_seen BIGINT NOT NULL
)
"""

# A state cannot change without its event, whoever writes; a terminal row cannot change at all.
SQLITE_TRIGGERS = (
    """
CREATE TRIGGER jobs_submitted AFTER INSERT ON jobs BEGIN
    INSERT INTO job_events (job_id, seq, fence, from_state, to_state, owner, at, reason)
    VALUES (NEW.id, NEW.version, NEW.fence, NULL, NEW.state, NEW.owner, NEW.changed_at, NEW.reason);
END
""",
    """
CREATE TRIGGER jobs_moved AFTER UPDATE OF state ON jobs WHEN NEW.state <> OLD.state BEGIN
    INSERT INTO job_events (job_id, seq, fence, from_state, to_state, owner, at, reason)
    VALUES (NEW.id, NEW.version, NEW.fence, OLD.state, NEW.state,
            COALESCE(NEW.owner, OLD.owner), NEW.changed_at, NEW.reason);
END
""",
    """
CREATE TRIGGER jobs_ended AFTER UPDATE OF state ON jobs WHEN NEW.finished_at IS NOT NULL BEGIN
    DELETE FROM checkpoints WHERE job_id = NEW.id;
END
""",
    """
CREATE TRIGGER jobs_terminal BEFORE UPDATE ON jobs WHEN OLD.finished_at IS NOT NULL BEGIN
    SELECT RAISE(ABORT, 'a terminal job never changes');
END
""",
)

POSTGRESQL_TRIGGERS = (
    """
CREATE FUNCTION jobs_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO job_events (job_id, seq, fence, from_state, to_state, owner, at, reason)
        VALUES (NEW.id, NEW.version, NEW.fence, NULL, NEW.state, NEW.owner, NEW.changed_at,
                NEW.reason);
    ELSIF NEW.state <> OLD.state THEN
        INSERT INTO job_events (job_id, seq, fence, from_state, to_state, owner, at, reason)
        VALUES (NEW.id, NEW.version, NEW.fence, OLD.state, NEW.state,
                COALESCE(NEW.owner, OLD.owner), NEW.changed_at, NEW.reason);
        IF NEW.finished_at IS NOT NULL THEN
            DELETE FROM checkpoints WHERE job_id = NEW.id;
        END IF;
    END IF;
    RETURN NULL;
END
$$
""",
    """
CREATE FUNCTION jobs_terminal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a terminal job never changes';
END
$$
""",
    """
CREATE TRIGGER jobs_moved AFTER INSERT OR UPDATE OF state ON jobs
    FOR EACH ROW EXECUTE FUNCTION jobs_moved()
""",
    """
CREATE TRIGGER jobs_terminal BEFORE UPDATE ON jobs
    FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL) EXECUTE FUNCTION jobs_terminal()
""",
)


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    tables = TABLES.replace("{bytes}", "BLOB" if sqlite else "BYTEA").replace(
        "{jobs_options}",
        # Running rows are written every second: leave room beside them, and clean up early.
        "" if sqlite else "WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)",
    )
    for statement in tables.split(";"):
        op.execute(statement)
    for statement in SQLITE_TRIGGERS if sqlite else POSTGRESQL_TRIGGERS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("there is nothing before the first tables: restore a backup instead")
