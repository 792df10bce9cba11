"""What has happened, counted for ever; what workers say of themselves.

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-24
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Additions only: code of the revision before runs on it, and counts nothing.
STATEMENTS = """
CREATE TABLE counters (
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    value {double} NOT NULL,
    PRIMARY KEY (name, labels)
) {counters_options};
ALTER TABLE workers ADD COLUMN stats TEXT NOT NULL DEFAULT '{}'
"""


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    # A few rows that are written all the time: room for the new versions beside the old.
    options = "WITHOUT ROWID" if sqlite else "WITH (fillfactor = 50)"
    double = "DOUBLE" if sqlite else "DOUBLE PRECISION"
    statements = STATEMENTS.replace("{counters_options}", options).replace("{double}", double)
    for statement in statements.split(";"):
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("the counts would be lost: restore a backup instead")
