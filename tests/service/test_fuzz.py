import json
from pathlib import Path

from tests.service.fuzz import fuzz
from tests.service.test_openapi import SNAPSHOT


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """The short form; `python -m tests.service.fuzz 60` is the long one."""
    paths = json.loads(SNAPSHOT.read_text("utf-8"))["paths"]
    n_operations = sum(len(methods) for methods in paths.values())

    run = fuzz(tmp_path, seconds=8)

    assert run.returncode == 0, run.stdout
    assert f"{n_operations} selected / {n_operations} total" in run.stdout
