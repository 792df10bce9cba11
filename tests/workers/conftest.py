"""A stage with one worker for a module: real processes, SQLite, a real broker."""

from collections.abc import Iterator

import pytest

from tests.chaos.stage import Stage, staged
from tests.servers import Broker


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    broker, folder = Broker().start(), tmp_path_factory.mktemp("worker")
    with staged(folder, f"sqlite:///{folder / 'descend.db'}", broker) as ready:
        ready.hire(DESCEND_HANG_SECONDS="3")
        yield ready
    broker.kill()
