"""One stack for the blocks of all pages, and a shell that finds what they call."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import Shell
from tests.e2e.conftest import start_stack, stop_stack


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process, address = start_stack(tmp_path_factory.mktemp("docs"))
    yield address
    stop_stack(process)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which a page's blocks run in."""
    found = tmp_path / "page"
    found.mkdir()
    monkeypatch.chdir(found)
    return found


@pytest.fixture
def shell(
    url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    """A shell with `descend` and `python` on its path, and curl; the server is the stack's.

    Where there is no curl, the few options that the pages use are served by Python.
    """
    monkeypatch.setenv("DESCEND_URL", url)
    commands = tmp_path / "bin"
    commands.mkdir()
    if shutil.which("curl") is None:
        program = Path(__file__).with_name("curl.py").read_text()
        (commands / "curl").write_text(f"#!{sys.executable}\n{program}")
        (commands / "curl").chmod(0o755)
    for place in (Path(sys.executable).parent, commands):
        monkeypatch.setenv("PATH", str(place), prepend=os.pathsep)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    started = Shell(folder)
    yield started
    started.close()
