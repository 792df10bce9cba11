"""Workers tell which kernels they compute with: two that differ may give other last bits.

Revision ID: 0007
Revises: 0006
Create Date: 2026-12-01
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# An addition with a default: code of the revision before runs on it.
STATEMENTS = """
ALTER TABLE workers ADD COLUMN kernel TEXT NOT NULL DEFAULT ''
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("nothing is gained by going back: restore a backup instead")
