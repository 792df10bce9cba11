"""Room that deletions leave goes back to the disk: a SQLite file by itself only ever grows."""

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from storage.database import Database

__all__ = ["AUTO_VACUUM", "KEPT_PAGES", "give_back", "make_shrinkable"]

# In the file, and so to be said before its first table; later only VACUUM can change it.
AUTO_VACUUM = "PRAGMA auto_vacuum = INCREMENTAL"
_INCREMENTAL = 2

KEPT_PAGES = 256  # a mebibyte that the next rows fill: to give it back would be to ask for it again
# Pages at the file's end are copied to where there is room: some ms with the write lock held.
PAGES_AT_ONCE = 512


def give_back(database: Database) -> int:
    """Return some of the pages that are free to the disk; return how many.

    The file is cut at the next checkpoint of its log, which comes with the next thousand pages
    written at the latest.
    """
    if not database.is_sqlite:
        return 0
    with database.read() as tx:
        surplus = _pages(tx.connection.connection.driver_connection) - KEPT_PAGES
    if surplus <= 0:
        return 0
    with database.begin() as tx:
        raw: Any = tx.connection.connection.driver_connection
        before = _pages(raw)
        # One by one: Python steps a statement without columns once, and a step of this is a page.
        for _ in range(min(surplus, PAGES_AT_ONCE)):
            raw.execute("PRAGMA incremental_vacuum(1)")
        return before - _pages(raw)


def make_shrinkable(path: Path) -> bool:
    """Rewrite a file that an earlier version made, where there is room for it; say if it can now.

    Where it has no room, or somebody else writes, the next migration tries again.
    """
    with contextlib.closing(sqlite3.connect(path, 0.2, isolation_level=None)) as raw:
        if raw.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL:
            return True
        if shutil.disk_usage(path.parent).free < 3 * path.stat().st_size:
            return False
        raw.execute(AUTO_VACUUM)
        with contextlib.suppress(sqlite3.OperationalError):
            raw.execute("VACUUM")
        return bool(raw.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL)


def _pages(raw: Any) -> int:
    return int(raw.execute("PRAGMA freelist_count").fetchone()[0])
