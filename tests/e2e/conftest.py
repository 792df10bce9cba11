"""One embedded stack for the whole folder: real broker, real database, real worker."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from descend.client import Client

READY = re.compile(r"Descend is ready at (http://\S+)")


def start_stack(data: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """Run `descend up` on any free port and return it with its URL once it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "descend.cli", "up", "--port", "0", "--data", str(data), *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if found := READY.search(line):
            return process, found.group(1)
    raise AssertionError(f"descend up ended with {process.wait()} before it was ready")


def stop_stack(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGINT)
    code = process.wait(timeout=20)
    assert process.stdout is not None
    process.stdout.close()
    return code


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process, address = start_stack(tmp_path_factory.mktemp("stack"))
    yield address
    stop_stack(process)


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as connected:
        yield connected
