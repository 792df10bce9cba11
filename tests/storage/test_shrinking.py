"""Room that deletions leave in a SQLite file goes back to the disk."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from descend.history import History
from storage.database import Database
from storage.migrate import migrate
from storage.shrinking import KEPT_PAGES, give_back, make_shrinkable
from tests.storage.acts import claimed, finish, get, submit

PAGE = 4096


@pytest.fixture
def path(sqlite_url: str) -> Path:
    return Path(sqlite_url.removeprefix("sqlite:///"))


def noise(n: int) -> History:
    """Rows that nothing is the same in."""
    columns = np.random.default_rng(0).normal(size=(5, n))
    return History(np.arange(n), *columns, total=n)


def checkpointed_size(path: Path) -> int:
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    raw.close()
    return path.stat().st_size


def test_what_a_deleted_job_took_goes_back_to_the_disk(
    sqlite_database: Database, path: Path
) -> None:
    held = claimed(sqlite_database)
    kept = submit(sqlite_database)[0].id
    finish(sqlite_database, held, history=noise(200_000), epochs_done=200_000)
    with sqlite_database.begin() as tx:
        tx.jobs.delete(held.job_id)
    before = checkpointed_size(path)

    given = give_back(sqlite_database)
    assert given > 100  # at once, not page by page
    while pages := give_back(sqlite_database):
        given += pages

    after = checkpointed_size(path)
    assert before - after >= given * PAGE > 5e6
    assert give_back(sqlite_database) == 0
    assert get(sqlite_database, kept).id == kept
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA freelist_count").fetchone()[0] <= KEPT_PAGES
        assert raw.execute("PRAGMA quick_check").fetchone() == ("ok",)
    raw.close()


def test_a_file_of_an_earlier_version_is_made_shrinkable_by_the_migration(
    sqlite_database: Database, path: Path
) -> None:
    job = submit(sqlite_database)[0]
    with sqlite3.connect(path, isolation_level=None) as raw:
        raw.execute("PRAGMA auto_vacuum = NONE")
        raw.execute("VACUUM")
        assert raw.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    raw.close()

    migrate(f"sqlite:///{path}")

    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    raw.close()
    assert get(sqlite_database, job.id) == job


def test_a_migration_whose_file_is_in_use_does_without(
    sqlite_database: Database, path: Path
) -> None:
    with sqlite3.connect(path, isolation_level=None) as raw:
        raw.execute("PRAGMA auto_vacuum = NONE")
        raw.execute("VACUUM")
    raw.close()

    with sqlite_database.begin():
        assert not make_shrinkable(path)


def test_there_is_nothing_to_give_back_on_postgresql(postgresql_url: str) -> None:
    database = Database(postgresql_url)

    assert give_back(database) == 0
    database.close()
