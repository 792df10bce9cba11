from pathlib import Path

from tests.service.fuzz import fuzz


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """The short form; `python -m tests.service.fuzz 60` is the long one."""
    run = fuzz(tmp_path, seconds=8)

    assert run.returncode == 0, run.stdout
    assert "36 selected / 36 total" in run.stdout
