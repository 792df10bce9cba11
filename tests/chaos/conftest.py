"""One broker and one PostgreSQL server for the folder; a stage of its own for every scenario."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.stage import Stage, staged
from tests.servers import Broker, Postgres


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    server = Broker().start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture
def stage(tmp_path: Path, broker: Broker) -> Iterator[Stage]:
    """SQLite, and no worker yet."""
    with staged(tmp_path, f"sqlite:///{tmp_path / 'descend.db'}", broker) as ready:
        yield ready


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """SQLite and a worker that every scenario here must leave alive; it started with no broker."""
    broker, folder = Broker(), tmp_path_factory.mktemp("survivor")
    with staged(folder, f"sqlite:///{folder / 'descend.db'}", broker) as ready:
        ready.hire()
        yield ready
    broker.kill()


@pytest.fixture(scope="module")
def postgres_stage(
    tmp_path_factory: pytest.TempPathFactory, broker: Broker, postgres: Postgres
) -> Iterator[Stage]:
    """PostgreSQL and two workers."""
    with staged(tmp_path_factory.mktemp("postgres"), postgres.create(), broker) as ready:
        ready.hire_two()
        yield ready
