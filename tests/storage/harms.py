"""Database files that no command can work with."""

import sqlite3
from pathlib import Path

__all__ = ["HARMS", "harm"]

# What was done to the file -> what is said of it.
HARMS = {
    "a later version": "written by a newer Descend",
    "other bytes": "damaged, or is none: restore the last backup",
}


def harm(path: Path, how: str) -> None:
    """Harm a database file in one of the ways of HARMS."""
    if how == "other bytes":
        path.write_bytes(b"this is no database" * 1000)
        return
    raw = sqlite3.connect(path)
    with raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
