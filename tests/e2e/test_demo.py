"""`make demo`, as a stranger runs it: in an empty folder, and nothing stays behind."""

import subprocess
import sys
from pathlib import Path

import psutil

from tests.house.sources import ROOT


def test_the_demo_trains_draws_and_leaves_nothing_running(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert answer.returncode == 0, answer.stderr
    assert "prediction at x = 4: 7.9186" in answer.stdout
    assert "1829.1515      1829.1515" in answer.stdout
    assert "Everything is stopped." in answer.stdout
    assert "Diabetes: progression after a year" in answer.stdout
    assert list(tmp_path.iterdir()) == []
    assert still_in(tmp_path) == []


def still_in(folder: Path) -> list[str]:
    """Name the processes that were started in this folder or were told of it."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder) or str(folder) in process.cmdline():
                found.append(process.name())
        except psutil.Error:
            continue
    return found
