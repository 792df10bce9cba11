"""The way in: Database opens transactions, and a transaction has the repositories.

Errors of the database become the contract's here, once.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from descend.errors import CorruptArtefact, DescendError, InvalidInput, StorageFull, Unavailable
from storage.company import Company
from storage.counters import Tally
from storage.datasets import DatasetRepository
from storage.fleet import FleetRepository
from storage.group_sync import GroupSync
from storage.job_log import JobLogRepository
from storage.jobs import JobRepository
from storage.models import ModelRepository
from storage.room import Room
from storage.sparklines import SparklineRepository
from storage.timings import Timings
from storage.turns import Turns
from storage.workers import WorkerRepository

__all__ = [
    "DAMAGED",
    "HEAD",
    "Database",
    "Transaction",
    "newer",
    "revision_of",
    "translated",
]

# The schema that this code reads and writes: the last revision in storage/migrations.
HEAD = "0008"

DAMAGED = "the database's file is damaged, or is none: restore the last backup"

_BUSY_SECONDS = 5
# What the write-ahead log keeps of the disk after a long reader has let it grow.
_LOG_BYTES = 16 * 2**20

T = TypeVar("T")


class Transaction:
    """One transaction's repositories."""

    def __init__(
        self, connection: Connection, *, jobs: type[JobRepository], room: Room, writes: bool
    ) -> None:
        self.connection = connection
        self._jobs = jobs
        self._room = room
        self._writes = writes
        self.tally = Tally()  # written at the transaction's end

    @cached_property
    def jobs(self) -> JobRepository:
        return self._jobs(self.connection, self._room, self.tally)

    @cached_property
    def datasets(self) -> DatasetRepository:
        return DatasetRepository(self.connection, writes=self._writes)

    @cached_property
    def logs(self) -> JobLogRepository:
        return JobLogRepository(self.connection)

    @cached_property
    def sparklines(self) -> SparklineRepository:
        return SparklineRepository(self.connection)

    @cached_property
    def models(self) -> ModelRepository:
        return ModelRepository(self.connection)

    @cached_property
    def fleet(self) -> FleetRepository:
        return FleetRepository(self.connection)

    @cached_property
    def workers(self) -> WorkerRepository:
        return WorkerRepository(self.connection)


class Database:
    """A SQLite file or a PostgreSQL database.

    Example:
        with database.begin() as tx:
            job, created = tx.jobs.add(...)
    """

    def __init__(self, url: str, *, jobs: type[JobRepository] = JobRepository) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.writes = Timings()  # from the wish to write to the rows being durable
        self._jobs = jobs
        self._room = Room()
        self._turns = Turns()
        self._company = Company(self.begin)
        if self.is_sqlite:
            self._writer, self._reader = _sqlite_writer(self.url), _sqlite_reader(self.url)
            self._sync: GroupSync | None = GroupSync(Path(self.url.database or ""))
        else:
            self._sync = None
            self._writer = _postgresql(self.url)
            self._reader = self._writer.execution_options(postgresql_readonly=True)

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """Write: everything in the block is committed at its end, or nothing is.

        Raises:
            Unavailable: when the database does not answer or is busy for too long.
            StorageFull: when the disk is full.
        """
        began = time.perf_counter()
        with self._turn(), translated(), self._writer.begin() as connection:
            before = self._changes(connection)
            transaction = Transaction(connection, jobs=self._jobs, room=self._room, writes=True)
            yield transaction
            transaction.tally.write(connection)
            wrote = self._changes(connection) != before
        if self._sync is not None and wrote:
            self._sync.wait()  # with the write lock given back: others commit meanwhile
        self.writes.observe(time.perf_counter() - began)

    def together(self, act: Callable[[Transaction], T]) -> T:
        """Write like `begin`, in a transaction shared with other threads that wait for the writer.

        The act may be run twice, but is committed at most once. On PostgreSQL, where writers do
        not wait for one another, it has a transaction of its own.

        Raises:
            Unavailable, StorageFull: as `begin` does; and what the act raises, to its own thread.
        """
        if self.is_sqlite:
            return self._company.together(act)
        with self.begin() as tx:
            return act(tx)

    def _changes(self, connection: Connection) -> int:
        """Rows that a SQLite connection has written so far."""
        if not self.is_sqlite:
            return 0
        raw: Any = connection.connection.driver_connection
        return int(raw.total_changes)

    def _turn(self) -> AbstractContextManager[None]:
        return self._turns.turn(_BUSY_SECONDS) if self.is_sqlite else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Read one consistent state; takes no write lock, and cannot write."""
        with translated(writes=False), self._reader.begin() as connection:
            yield Transaction(connection, jobs=self._jobs, room=self._room, writes=False)

    def check(self) -> None:
        """Raise Unavailable unless the database answers and has the schema of this code."""
        with self.read() as tx:
            revision = revision_of(tx.connection)
        if revision is not None and revision > HEAD:
            raise Unavailable(newer(revision))
        if revision != HEAD:
            raise Unavailable(
                f"the database's schema is {revision or 'missing'}, this code needs {HEAD}:"
                " run python -m storage.migrate"
            )

    def close(self) -> None:
        self._writer.dispose()
        self._reader.dispose()

    def backup(self, target: Path) -> None:
        """Copy the database into a new file, consistently, while others write (SQLite).

        The copy is checked, and is one file: no -wal beside it.
        """
        if not self.is_sqlite:
            raise InvalidInput(
                "this database is PostgreSQL: back it up with pg_dump", param="database_url"
            )
        with translated(), self._reader.connect() as connection:
            source: Any = connection.connection.driver_connection
            _copy(source, target)


def newer(revision: str) -> str:
    """Say that a database was written by a later version, and what to do."""
    return (
        f"the database was written by a newer Descend (schema {revision}, this one knows {HEAD}):"
        " install that version again, or restore a backup that was made before it"
    )


def _copy(source: sqlite3.Connection, target: Path) -> None:
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        source.backup(copy)  # all pages in one read transaction: writers are not kept waiting
        copy.execute("PRAGMA journal_mode = DELETE")
        (verdict,) = copy.execute("PRAGMA quick_check").fetchone()
    finally:
        copy.close()
    if verdict != "ok":
        raise Unavailable("the copy of the database does not pass its check")


def revision_of(connection: Connection) -> str | None:
    """Read which schema a database has; None where it has none."""
    tables = (
        "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
        if connection.dialect.name == "sqlite"
        else "SELECT 1 WHERE to_regclass('alembic_version') IS NOT NULL"
    )
    if connection.scalar(text(tables)) is None:
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _sqlite_writer(url: URL) -> Engine:
    """One connection, for which the threads of a process take turns: SQLite's own busy loop sleeps
    up to 100 ms between tries and serves whoever comes by chance.
    """
    engine = create_engine(
        url, connect_args=_SQLITE, pool_size=1, max_overflow=0, pool_timeout=_BUSY_SECONDS
    )
    event.listen(engine, "connect", _set_pragmas)
    # A transaction that begins as a reader cannot wait for its write lock: SQLITE_BUSY at once.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _sqlite_reader(url: URL) -> Engine:
    engine = create_engine(url, connect_args=_SQLITE, pool_size=5, max_overflow=40, pool_timeout=2)
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA query_only = ON"))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


_SQLITE = {"isolation_level": None, "timeout": _BUSY_SECONDS, "check_same_thread": False}


def _set_pragmas(raw: sqlite3.Connection, _record: object) -> None:
    for pragma in (
        "journal_mode = WAL",
        f"journal_size_limit = {_LOG_BYTES}",
        "synchronous = NORMAL",  # commits do not sync the log: group_sync does, for many at once
        f"busy_timeout = {_BUSY_SECONDS * 1000}",
        "foreign_keys = ON",
        "trusted_schema = OFF",
    ):
        raw.execute(f"PRAGMA {pragma}")


def _postgresql(url: URL) -> Engine:
    options = {
        "synchronous_commit": "on",
        "statement_timeout": "5s",
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": "10s",
    }
    return create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=5,
        max_overflow=5,
        pool_timeout=2,
        pool_pre_ping=True,
        pool_recycle=300,
        connect_args={
            "connect_timeout": 3,
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        },
    )


@contextmanager
def translated(*, writes: bool = True) -> Iterator[None]:
    """Have errors of the database leave the block as the contract's."""
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable("the database is busy", retry_after_seconds=1) from error
    except DBAPIError as error:
        said = _translation(error)
        # A reader refuses to write because it is one: a fault of ours.
        forbidden = getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY
        if said is None or (forbidden and not writes):
            raise
        raise said from error


def _translation(error: DBAPIError) -> DescendError | None:
    """Faults of the moment; what is left is a fault of ours and goes up as it is."""
    origin = error.orig
    if getattr(origin, "sqlstate", None) == "42P01" or str(origin).startswith("no such table"):
        return Unavailable("the database has no schema: run python -m storage.migrate")
    if isinstance(origin, sqlite3.Error):
        return _sqlite_translation(getattr(origin, "sqlite_errorcode", 0))
    sqlstate = getattr(origin, "sqlstate", None) or ""
    if sqlstate == "53100":
        return StorageFull("the database's disk is full")
    # 08 connection, 53 resources, 57 shutdown or cancelled, 40 deadlock, 55P03 lock not available
    if error.connection_invalidated or sqlstate[:2] in {"08", "53", "57", "40", "55"}:
        return Unavailable("the database is not available", retry_after_seconds=1)
    if not sqlstate and type(origin).__name__ in {"OperationalError", "ConnectionTimeout"}:
        return Unavailable("the database does not answer", retry_after_seconds=1)
    return None


# READONLY: the file's owner, mount or place was changed under us; a restore, an operator at work.
_UNUSABLE = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
}


def _sqlite_translation(code: int) -> DescendError | None:
    writing = {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
    if code == sqlite3.SQLITE_FULL or code in writing:
        return StorageFull("the database's disk is full")
    if code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return CorruptArtefact(DAMAGED)
    if code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}:
        return Unavailable("the database is busy", retry_after_seconds=1)
    if code & 0xFF in _UNUSABLE:
        return Unavailable("the database's file cannot be used", retry_after_seconds=5)
    return None
