"""What Descend writes is its owner's alone, whatever the umask; what is not is left alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.artefacts import LocalArtefacts
from storage.private_files import make_private


@pytest.fixture(autouse=True)
def open_to_all() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_data_folder_is_private(tmp_path: Path) -> None:
    make_private(tmp_path / "deep" / "data")

    assert mode(tmp_path / "deep" / "data") == 0o700


@pytest.mark.parametrize("holds", [None, "descend.db"])
def test_a_folder_that_is_empty_or_has_a_database_is_made_private(
    tmp_path: Path, holds: str | None
) -> None:
    data = tmp_path / "data"
    data.mkdir(0o755)
    if holds:
        (data / holds).touch()

    make_private(data)

    assert mode(data) == 0o700


def test_a_folder_of_other_things_is_left_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "shared"
    data.mkdir(0o755)
    (data / "letters").touch()

    make_private(data)

    assert mode(data) == 0o755


def test_an_artefact_is_private(tmp_path: Path) -> None:
    artefacts = LocalArtefacts(tmp_path)

    artefacts.put("datasets/one.arrow", b"bytes")

    assert mode(artefacts.path("datasets/one.arrow")) == 0o600


def test_the_migration_makes_folder_and_database_private(tmp_path: Path) -> None:
    data = tmp_path / "data"

    subprocess.run(
        [sys.executable, "-m", "storage.migrate"], env={"DESCEND_DATA": str(data)}, check=True
    )

    assert mode(data) == 0o700
    assert {mode(path) for path in data.iterdir()} == {0o600}
