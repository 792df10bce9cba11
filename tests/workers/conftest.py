"""A stage with one worker for a module: real processes, SQLite, a real broker."""

from collections.abc import Iterator

import pytest

from tests.chaos.stage import Stage, staged
from tests.servers import Broker


@pytest.fixture(scope="module")
def empty_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    broker, folder = Broker().start(), tmp_path_factory.mktemp("worker")
    with staged(folder, f"sqlite:///{folder / 'descend.db'}", broker) as ready:
        yield ready
    broker.kill()


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
