"""The broker of `descend up`: on a socket of its own, which only its user can open."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from descend.embedded_broker import (
    LONGEST_PATH,
    answers_ping,
    broker_command,
    broker_program,
    broker_url,
    socket_path,
)
from tests.servers import until


def test_the_socket_is_in_the_data_folder_or_where_a_path_is_short_enough(tmp_path: Path) -> None:
    inside = socket_path(Path("/data"))
    elsewhere = socket_path(tmp_path / ("long " * 40))

    assert inside == Path("/data/broker.sock")
    assert len(str(elsewhere)) <= LONGEST_PATH
    assert elsewhere.parent.stat().st_mode & 0o777 == 0o700
    assert elsewhere.parent.parent == Path(tempfile.gettempdir())
    elsewhere.parent.rmdir()


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for a name: pytest's own is half as long as a socket's."""
    with tempfile.TemporaryDirectory(prefix="d-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", ["plain", "with a space, 100% of #?+ü"])
def test_kombu_finds_the_broker_and_nobody_else_may(short: Path, name: str) -> None:
    folder = short / name
    folder.mkdir()
    listening = socket_path(folder)
    assert listening.parent == folder
    program = broker_program({})
    assert program is not None
    process = subprocess.Popen(
        broker_command(program, listening, folder), stdout=subprocess.DEVNULL
    )
    try:
        until(lambda: answers_ping(listening))
        sender = Celery("test", broker=broker_url(listening), set_as_current=False)
        with sender.connection_for_write() as connection:
            assert connection.default_channel.client.ping()

        assert listening.stat().st_mode & 0o777 == 0o700
    finally:
        process.kill()
        process.wait()


def test_where_nobody_listens_nobody_answers(tmp_path: Path) -> None:
    assert not answers_ping(tmp_path / "none")
