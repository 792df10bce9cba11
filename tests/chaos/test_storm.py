"""The longer suite, run by `make chaos`: storms on both databases."""

import subprocess
import sys

import pytest

from tests.servers import ROOT


@pytest.mark.chaos
@pytest.mark.parametrize("options", [(), ("--postgres",)], ids=["sqlite", "postgresql"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_loses_nothing_doubles_nothing_and_changes_no_bit(
    capsys: pytest.CaptureFixture[str], seed: int, options: tuple[str, ...]
) -> None:
    command = [sys.executable, "-m", "tests.chaos.storm", "--seed", str(seed), "--jobs", "60"]

    done = subprocess.run(
        [*command, *options], check=False, cwd=ROOT, capture_output=True, text=True
    )

    with capsys.disabled():
        sys.stdout.write(f"\n{done.stdout}")
    assert done.returncode == 0, done.stderr
