"""Broken files over real HTTP: 300 of them here, 10,000 in `make hostile`."""

from pathlib import Path

import pytest

from tests.hostile.siege import besiege


@pytest.mark.parametrize(
    "files", [300, pytest.param(10_000, marks=pytest.mark.hostile)], ids=["short", "long"]
)
def test_no_file_breaks_the_service(tmp_path: Path, files: int) -> None:
    siege = besiege(tmp_path, files=files)

    assert siege.wrong == []
    assert sum(siege.statuses.values()) == files
    assert siege.statuses[201] < files / 2
