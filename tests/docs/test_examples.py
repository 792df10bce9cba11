"""The examples, run as they stand."""

import subprocess
import sys

from tests.house.sources import ROOT


def test_the_lesson_runs(url: str) -> None:
    answer = subprocess.run(
        [sys.executable, ROOT / "examples" / "notebook.py", url],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "prediction at x = 4: 7.9" in answer.stdout
