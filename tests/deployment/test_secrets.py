"""`make secrets`: what docker compose mounts into the containers."""

import subprocess
from pathlib import Path

from service.security import read_key
from tests.house.sources import ROOT


def make_secrets(folder: Path) -> None:
    subprocess.run(["make", "-f", ROOT / "Makefile", "secrets"], cwd=folder, check=True)


def test_the_key_is_one_that_the_service_takes(tmp_path: Path) -> None:
    make_secrets(tmp_path)

    key = read_key(tmp_path / "secrets" / "api_key")

    assert key is not None
    assert len(key) == len("dsc_") + 8 + len("_") + 64


def test_secrets_are_made_once_and_the_folder_is_closed(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    folder = tmp_path / "secrets"
    before = {path.name: path.read_text() for path in folder.iterdir()}

    make_secrets(tmp_path)

    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert len({text.strip() for text in before.values()}) == 2
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
