"""A process does not outlive the threads that it is for, whatever ends them."""

import signal
import subprocess
import sys

import pytest

from storage.vital_threads import FAILED, VitalThread

PROGRAM = """
import signal, threading, time
import structlog
from storage import vital_threads

{setup}

def act():
    {act}

vital_threads.GRACE_SECONDS = 0.2
vital_threads.VitalThread(act, "lonely").start()
time.sleep(30)
"""
LOG_IS_FULL = """
def full(*_):
    raise OSError(28, "No space left on device")

structlog.configure(processors=[full])
"""
DEAF_TO_SIGTERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@pytest.mark.parametrize(
    "act", ["raise OSError(28, 'No space left on device')", "raise SystemExit(0)", "1 / 0"]
)
@pytest.mark.parametrize("setup", ["", LOG_IS_FULL], ids=["", "log_is_full"])
def test_whatever_ends_the_thread_ends_the_process(act: str, setup: str) -> None:
    assert exit_code(act, setup) == -signal.SIGTERM


def test_a_process_that_does_not_hear_is_cut_off() -> None:
    assert exit_code("1 / 0", DEAF_TO_SIGTERM) == FAILED


def test_a_thread_that_returns_has_ended_as_meant() -> None:
    ended: list[str] = []
    thread = VitalThread(lambda: ended.append("act"), "short", on_failure=lambda: ended.append("!"))

    thread.start()
    thread.join()

    assert ended == ["act"]
    assert not thread.failed


def exit_code(act: str, setup: str) -> int:
    program = PROGRAM.format(act=act, setup=setup)
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    return done.returncode
