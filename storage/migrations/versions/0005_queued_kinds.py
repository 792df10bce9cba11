"""The index of queued jobs knows their kinds: a busy worker looks for questions alone.

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-25
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# A column more at its end: code of the revision before runs on it.
STATEMENTS = """
DROP INDEX jobs_queued;
CREATE INDEX jobs_queued
    ON jobs (priority DESC, id, queue, not_before, changed_at, state, kind) WHERE state = 'queued'
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("nothing is gained by going back: restore a backup instead")
