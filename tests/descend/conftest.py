"""One stack for the command line's tests, and commands run as a shell runs them."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.kernels import kernel_environment
from tests.e2e.conftest import start_stack, stop_stack
from tests.prepared import prepared

PROGRAM = str(Path(sys.executable).with_name("descend"))
CARS = """weight,hp,origin,mpg
3504,130,usa,18
3693,165,usa,15
3436,150,usa,18
2372,95,japan,24
2833,95,usa,22
1835,46,europe,26
2672,87,europe,25
2430,90,europe,24
2234,113,europe,26
2130,88,japan,27
4376,200,usa,10
1985,69,japan,35
"""


@dataclass(frozen=True)
class Ended:
    """What a command left: exit code and its two outputs, line breaks taken out of `words`."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        return " ".join((self.out + self.err).split())


Command = Callable[..., Ended]


def environment(**more: str) -> dict[str, str]:
    """Not the caller's environment, but for the kernels: a developer's settings must not leak."""
    return {**kernel_environment(), "PATH": os.defpath, "PYTHONUNBUFFERED": "1", **more}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process, address = start_stack(tmp_path_factory.mktemp("cli"))
    yield address
    stop_stack(process)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a command runs: cars.csv is there, and no data folder."""
    (tmp_path / "cars.csv").write_text(CARS)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Command:
    """Run `descend …` without any server named."""

    def run(
        *arguments: str, stdin: str | bytes = b"", env: Mapping[str, str] | None = None
    ) -> Ended:
        with ExitStack() as stack:
            given, out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
            given.write(stdin.encode() if isinstance(stdin, str) else stdin)
            given.seek(0)
            started = prepared(PROGRAM, "descend.cli", "descend.client").start(
                *arguments,
                cwd=folder,
                env=environment(**(env or {})),
                files=[file.fileno() for file in (given, out, err)],
            )
            code = started.wait(120)
            out.seek(0)
            err.seek(0)
            return Ended(code, out.read().decode(), err.read().decode())

    return run


@pytest.fixture
def descend(run: Command, server: str) -> Command:
    """Run `descend …` with the live server named in DESCEND_URL."""

    def descend(*arguments: str, **more: object) -> Ended:
        return run(*arguments, env={"DESCEND_URL": server}, **more)

    return descend
