"""What is committed is what the sources build."""

import filecmp
import shutil
import subprocess
from pathlib import Path

import pytest

from service.pages import WEB
from tests.house.sources import ROOT

SOURCES = ROOT / "dashboard"


def test_a_fresh_build_is_the_committed_one(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None or not (SOURCES / "node_modules").exists():
        pytest.fail("npm or its packages are not there: run `make dashboard` first")

    subprocess.run(
        [npm, "run", "build", "--silent", "--", "--outDir", tmp_path, "--logLevel", "error"],
        cwd=SOURCES,
        check=True,
    )

    for folder in ("", "assets"):
        compared = filecmp.dircmp(WEB / folder, tmp_path / folder)
        assert compared.left_only == compared.right_only == []
        _, changed, failed = filecmp.cmpfiles(
            WEB / folder, tmp_path / folder, compared.common_files, shallow=False
        )
        assert changed == failed == []
