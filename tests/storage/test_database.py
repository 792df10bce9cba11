"""What can go wrong between us and a database, and what becomes of it."""

import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from descend.errors import Unavailable
from storage.database import HEAD, Database
from storage.migrate import migrate
from tests.postgres import PostgresServer
from tests.storage.acts import a_history, claim, claimed, finish, get, report, rescue, submit


def test_what_raises_in_a_transaction_is_not_committed(database: Database) -> None:
    def act() -> None:
        with database.begin() as tx:
            tx.workers.seen("w1", "host", pid=1, queues=["cpu"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        act()

    with database.read() as tx:
        assert tx.workers.live("cpu", 60) == 0


def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError), database.read() as tx:
        tx.workers.seen("w1", "host", pid=1, queues=["cpu"])


def test_a_read_sees_one_state_and_keeps_no_writer_waiting(sqlite_database: Database) -> None:
    held = claimed(sqlite_database)
    with sqlite_database.read() as tx:
        before = tx.jobs.get(held.job_id)
        finish(sqlite_database, held)

        assert tx.jobs.get(held.job_id) == before


def test_a_current_database_passes_its_check(database: Database) -> None:
    database.check()


def test_a_database_without_its_schema_says_what_to_run(tmp_path: Path) -> None:
    empty = Database(f"sqlite:///{tmp_path / 'empty.db'}")

    with pytest.raises(Unavailable, match="run python -m storage"):
        empty.check()

    empty.close()


def test_a_file_that_may_not_be_written_is_unavailable(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path / 'a.db'}")
    closed = Database(f"sqlite:///file:{tmp_path / 'a.db'}?mode=ro&uri=true")

    with pytest.raises(Unavailable, match="cannot be used"), closed.begin() as tx:
        tx.workers.seen("w1", "host", pid=1, queues=["cpu"])

    closed.close()


def test_a_database_of_another_revision_is_refused(database: Database) -> None:
    with database.begin() as tx:
        tx.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(Unavailable, match="9999"):
        database.check()

    with database.begin() as tx:
        tx.connection.execute(
            text("UPDATE alembic_version SET version_num = :head"), {"head": HEAD}
        )


def test_a_sqlite_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    nowhere = Database(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")

    with pytest.raises(Unavailable), nowhere.begin():
        pass

    nowhere.close()


def test_sqlite_is_durable_and_strict(sqlite_database: Database) -> None:
    with sqlite_database.begin() as tx:
        asked = {
            pragma: tx.connection.scalar(text(f"PRAGMA {pragma}"))
            for pragma in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema")
        }

    assert asked == {
        "journal_mode": "wal",
        "synchronous": 1,  # group_sync makes commits durable
        "foreign_keys": 1,
        "trusted_schema": 0,
    }


def test_a_writer_of_another_process_is_waited_for(
    sqlite_database: Database, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "descend.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, lambda: other.execute("COMMIT")).start()

    assert submit(sqlite_database)[1]

    other.close()


def test_rows_keep_their_own_rules_whoever_writes(database: Database) -> None:
    submit(database)
    for nonsense in ("state = 'lost'", "state = 'running'", "state = 'failed'", "finished_at = 1"):
        with pytest.raises(IntegrityError), database.begin() as tx:
            tx.connection.execute(text(f"UPDATE jobs SET {nonsense}"))  # noqa: S608


def test_times_are_the_databases_own_and_to_the_millisecond(database: Database) -> None:
    held = claimed(database)
    finish(database, held)

    job = get(database, held.job_id)

    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_restart_of_postgresql_loses_nothing_and_says_unavailable(how: str) -> None:
    server = PostgresServer()
    migrate(server.url())
    database = Database(server.url())
    held = claimed(database)
    report(database, held, 10, history=a_history(10), checkpoint=b"state")

    getattr(server, how)()
    with pytest.raises(Unavailable) as refusal:
        submit(database)
    server.start()

    assert refusal.value.retry_after_seconds
    assert get(database, held.job_id).progress.epoch == 10
    assert submit(database)[1]
    assert finish(database, held)
    database.close()
    server.remove()


def test_leases_that_ran_out_while_postgresql_was_away_are_not_rescued() -> None:
    server = PostgresServer(fsync="off")
    migrate(server.url())
    database = Database(server.url())
    submit(database)
    (held,) = claim(database, lease_seconds=3600)
    with database.begin() as tx:  # the lease is over, but the server is younger than a lease
        tx.connection.execute(text("UPDATE jobs SET lease_until = lease_until - 7200000000"))

    assert rescue(database) == []
    assert finish(database, held)

    database.close()
    server.remove()


def test_a_database_without_a_schema_says_what_to_run(tmp_path: Path) -> None:
    bare = Database(f"sqlite:///{tmp_path / 'bare.db'}")

    with pytest.raises(Unavailable, match=r"python -m storage\.migrate"), bare.read() as tx:
        tx.jobs.page()

    bare.close()
