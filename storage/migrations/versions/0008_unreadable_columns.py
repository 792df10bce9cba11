"""Columns of a dataset's file that are neither numbers nor text, and not kept.

Revision ID: 0008
Revises: 0007
Create Date: 2026-12-01
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# A table of its own: a column added to datasets would stand behind their bytes.
STATEMENTS = """
CREATE TABLE unreadable_columns (
    dataset_id TEXT NOT NULL PRIMARY KEY,
    columns TEXT NOT NULL,
    FOREIGN KEY (dataset_id) REFERENCES datasets (id) ON DELETE CASCADE
)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("nothing is gained by going back: restore a backup instead")
