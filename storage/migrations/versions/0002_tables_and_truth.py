"""Kinds of jobs and their results, encodings, statistics, parents of datasets.

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-24
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Additions only, with defaults where a column may not be null: code of revision 0001 runs on it.
# What is large, or belongs to few rows, has a table of its own: SQLite walks over a row's bytes to
# reach the columns that were added after them.
STATEMENTS = """
ALTER TABLE jobs ADD COLUMN kind TEXT NOT NULL DEFAULT 'train';
ALTER TABLE jobs ADD COLUMN validation_id TEXT;
CREATE INDEX jobs_by_validation ON jobs (validation_id) WHERE validation_id IS NOT NULL;
CREATE TABLE job_results (
    job_id TEXT NOT NULL PRIMARY KEY,
    data TEXT NOT NULL,
    FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
ALTER TABLE models ADD COLUMN encoding TEXT;
ALTER TABLE models ADD COLUMN receipt TEXT;
CREATE TABLE model_statistics (
    model_id TEXT NOT NULL PRIMARY KEY,
    data TEXT NOT NULL,
    covariance {bytes},
    FOREIGN KEY (model_id) REFERENCES models (id) ON DELETE CASCADE
);
CREATE TABLE dataset_parents (
    dataset_id TEXT NOT NULL PRIMARY KEY,
    parent_id TEXT NOT NULL,
    n_rows BIGINT NOT NULL,
    FOREIGN KEY (dataset_id) REFERENCES datasets (id) ON DELETE CASCADE
)
"""


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in STATEMENTS.replace("{bytes}", "BLOB" if sqlite else "BYTEA").split(";"):
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("results and statistics would be lost: restore a backup instead")
