"""Databases for every test that wants one: SQLite and a real PostgreSQL, both migrated."""

import gc
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from storage.database import Database
from storage.migrate import migrate
from tests.postgres import PostgresServer

# What starts whole stacks takes longest, a file at a time: first, so that no core waits for it in
# the end. The rest keeps its order.
LONGEST_FIRST = ("e2e", "chaos", "workers", "docs", "hostile", "descend")


def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """What was imported is never garbage: to look there again and again took seconds of a core."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """What tests start hears Ctrl-C, even where a shell's background does not."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database file with the schema: tests copy it."""
    path = tmp_path_factory.mktemp("migrated") / "descend.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server for the whole session; it forgets power failures, not crashes, to be quick."""
    server = PostgresServer(fsync="off")
    yield server
    server.remove()


@pytest.fixture(scope="session")
def migrated_postgresql(postgres_server: PostgresServer) -> Iterator[Engine]:
    migrate(postgres_server.url())
    engine = create_engine(postgres_server.url())
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """A fresh SQLite database."""
    path = tmp_path / "descend.db"
    shutil.copy(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url(migrated_postgresql: Engine, postgres_server: PostgresServer) -> str:
    """The PostgreSQL database, emptied."""
    with migrated_postgresql.begin() as connection:
        for table in (
            "jobs",
            "datasets",
            "models",
            "workers",
            "counters",
        ):  # the others go with their jobs
            connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608
    return postgres_server.url()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database of each kind: a test that takes it runs twice."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_database(sqlite_url: str) -> Iterator[Database]:
    opened = Database(sqlite_url)
    yield opened
    opened.close()
