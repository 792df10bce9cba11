"""A child of the launcher: its pulse, its ends and its new beginnings; with real processes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from descend import processes
from descend.processes import Child
from tests.servers import until

TOUCHES = """
import os, time
from descend.pulse import Pulse
pulse = Pulse(int(os.environ["DESCEND_PULSE_FD"]))
while True:
    pulse.touch()
    time.sleep(0.05)
"""
TOUCHES_ONCE = TOUCHES.replace("while True:", "if True:") + "time.sleep(60)\n"
DEAF_TO_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


@pytest.fixture
def environment() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(processes.__file__).parents[1])}


@pytest.fixture
def children() -> Iterator[list[Child]]:
    made: list[Child] = []
    yield made
    for child in made:
        if child.process is not None:
            child.process.kill()
            child.process.wait()


def child_of(program: str, environment: dict[str, str], log: Path, children: list[Child]) -> Child:
    child = Child("child", [sys.executable, "-c", program], environment, log, deaf_seconds=0.5)
    children.append(child)
    child.start()
    return child


def tended(child: Child) -> Child:
    child.tend(processes.time.monotonic())
    return child


def test_a_child_with_a_pulse_is_left_alone(
    tmp_path: Path, environment: dict[str, str], children: list[Child]
) -> None:
    child = child_of(TOUCHES, environment, tmp_path / "log", children)
    until(lambda: tended(child).heard > child.started)

    later = child.heard + 1.5
    until(lambda: tended(child).heard > later)

    assert child.starts == 1
    assert child.kill_at is None


@pytest.mark.parametrize("deaf", ["", DEAF_TO_SIGTERM])
def test_a_child_whose_pulse_stops_is_ended_and_started_again(
    deaf: str, tmp_path: Path, environment: dict[str, str], children: list[Child]
) -> None:
    child = child_of(deaf + TOUCHES_ONCE, environment, tmp_path / "log", children)
    first = child.process

    until(lambda: tended(child).starts == 2)

    assert first is not None
    assert first.returncode == (-9 if deaf else -15)


def test_what_is_deaf_again_and_again_is_started_ever_later(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    child = Child("child", [], environment, tmp_path / "log", deaf_seconds=30)
    delays = []

    for _ in range(5):
        child.starts += 1
        child.started = processes.time.monotonic() - 45  # 30 s of silence, and the end
        child._silence, child.kill_at = processes.Silence(30), 0.0
        child.heard = child.started + 5
        delays.append(child.schedule_restart())

    assert delays == [0.5, 1, 2, 4, 8]


def test_a_child_whose_log_cannot_be_opened_runs_without(
    tmp_path: Path, environment: dict[str, str], children: list[Child]
) -> None:
    child = child_of(TOUCHES, environment, tmp_path / "no folder" / "log", children)

    until(lambda: tended(child).heard > child.started)

    assert child.exit_code is None


def test_a_child_that_cannot_be_started_again_is_tried_later(
    tmp_path: Path, environment: dict[str, str], children: list[Child]
) -> None:
    child = child_of("", environment, tmp_path / "log", children)
    child.argv = [str(tmp_path / "gone")]
    until(lambda: child.exit_code is not None)

    until(lambda: tended(child).starts >= 2)
    tended(child)

    assert child.restart_at is not None
