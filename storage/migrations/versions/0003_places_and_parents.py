"""Places of events in the log of all jobs, jobs made by retrying, jobs by their end.

Revision ID: 0003
Revises: 0002
Create Date: 2026-11-24
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Additions only, with defaults, and the triggers fill in what is new: code of revision 0002 runs
# on it. Events from before keep place 0: no reader has been told of them.
STATEMENTS = """
ALTER TABLE job_events ADD COLUMN place BIGINT NOT NULL DEFAULT 0;
CREATE INDEX job_events_by_place ON job_events (place);
ALTER TABLE job_specs ADD COLUMN parent_id TEXT;
CREATE INDEX jobs_by_finish ON jobs (finished_at, id) WHERE finished_at IS NOT NULL
"""

# A place never comes before one that a reader has seen.
# SQLite: writers take turns, so that one more than the largest is enough. It is a time, too, lest
# the places of deleted jobs come again.
PLACE = "MAX(NEW.changed_at, 1 + (SELECT COALESCE(MAX(place), 0) FROM job_events))"
SQLITE_TRIGGERS = (
    "DROP TRIGGER jobs_submitted",
    f"""
CREATE TRIGGER jobs_submitted AFTER INSERT ON jobs BEGIN
    INSERT INTO job_events (job_id, seq, fence, from_state, to_state, owner, at, reason, place)
    VALUES (NEW.id, NEW.version, NEW.fence, NULL, NEW.state, NEW.owner, NEW.changed_at, NEW.reason,
            {PLACE});
END
""",
    "DROP TRIGGER jobs_moved",
    f"""
CREATE TRIGGER jobs_moved AFTER UPDATE OF state ON jobs WHEN NEW.state <> OLD.state BEGIN
    INSERT INTO job_events (job_id, seq, fence, from_state, to_state, owner, at, reason, place)
    VALUES (NEW.id, NEW.version, NEW.fence, OLD.state, NEW.state,
            COALESCE(NEW.owner, OLD.owner), NEW.changed_at, NEW.reason,
            {PLACE});
END
""",
)

# PostgreSQL: writers do not wait for one another, and the number of a transaction says nothing
# about when it commits. Readers keep below the oldest that is still running (storage.dialects).
POSTGRESQL_TRIGGERS = (
    """
CREATE OR REPLACE FUNCTION jobs_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO job_events (job_id, seq, fence, from_state, to_state, owner, at, reason, place)
        VALUES (NEW.id, NEW.version, NEW.fence, NULL, NEW.state, NEW.owner, NEW.changed_at,
                NEW.reason, CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT));
    ELSIF NEW.state <> OLD.state THEN
        INSERT INTO job_events (job_id, seq, fence, from_state, to_state, owner, at, reason, place)
        VALUES (NEW.id, NEW.version, NEW.fence, OLD.state, NEW.state,
                COALESCE(NEW.owner, OLD.owner), NEW.changed_at, NEW.reason,
                CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT));
        IF NEW.finished_at IS NOT NULL THEN
            DELETE FROM checkpoints WHERE job_id = NEW.id;
        END IF;
    END IF;
    RETURN NULL;
END
$$
""",
)


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in STATEMENTS.split(";"):
        op.execute(statement)
    for statement in SQLITE_TRIGGERS if sqlite else POSTGRESQL_TRIGGERS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("the places of events would be lost: restore a backup instead")
