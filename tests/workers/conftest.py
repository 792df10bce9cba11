"""A stage with one worker for a module: real processes, SQLite, a real broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.stage import Stage, staged
from tests.servers import Broker


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    server = Broker().start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def empty_stage(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("worker")
    with staged(folder, f"sqlite:///{folder / 'descend.db'}", broker) as ready:
        yield ready


@pytest.fixture
def own_stage(tmp_path: Path, broker: Broker) -> Iterator[Stage]:
    """For a test that ends its worker: no worker yet, and nobody else's."""
    with staged(tmp_path, f"sqlite:///{tmp_path / 'descend.db'}", broker) as ready:
        yield ready


@pytest.fixture(scope="module")
def stage(empty_stage: Stage) -> Stage:
    """With the intervals that a worker has by default, but for the wait for a hung runner."""
    empty_stage.hire(
        DESCEND_LEASE_SECONDS="30",
        DESCEND_BEAT_SECONDS="1",
        DESCEND_POLL_SECONDS="1",
        DESCEND_HANG_SECONDS="3",
    )
    return empty_stage
