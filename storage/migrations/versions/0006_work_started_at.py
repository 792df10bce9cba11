"""When the work on a job began, and what is being done about it.

Revision ID: 0006
Revises: 0005
Create Date: 2026-12-01
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Additions only. Code of the revision before counts a timeout from the claim, as it did.
STATEMENTS = """
ALTER TABLE jobs ADD COLUMN phase TEXT;
ALTER TABLE jobs ADD COLUMN work_started_at BIGINT
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("nothing is gained by going back: restore a backup instead")
