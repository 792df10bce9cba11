"""One stack for the README's blocks."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import start_stack, stop_stack


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process, address = start_stack(tmp_path_factory.mktemp("readme"))
    yield address
    stop_stack(process)
