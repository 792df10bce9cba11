"""Threads that a process must not outlive.

A process whose supervisor, reconciler or doorbell has gone answers, is seen, and does nothing: that
is worse than one that is gone, which whoever started it (`descend up`, compose, systemd) starts
again.
"""

import os
import signal
import threading
import time
from collections.abc import Callable

import structlog

__all__ = ["FAILED", "VitalThread", "end_this_process", "has_failed"]

# For an orderly end; then an abrupt one: leases and rows are made for that.
GRACE_SECONDS = 20.0
FAILED = 70  # EX_SOFTWARE of sysexits.h

log = structlog.get_logger()
_failed = threading.Event()


def end_this_process() -> None:
    """End it as an operator would, by SIGTERM; what does not end by that in 20 s is cut off."""
    _failed.set()
    try:
        threading.Thread(target=_cut_off, name="last-resort", daemon=True).start()
    except RuntimeError:  # not even a thread can be started
        os._exit(FAILED)
    os.kill(os.getpid(), signal.SIGTERM)


class VitalThread(threading.Thread):
    """A thread whose end, if it was not meant, ends the process: whatever it was that ended it.

    Args:
        act: what it does; to return from it is to end as meant.
        name: of the thread, and of the event that is logged: <name>_failed.
        daemon: whether the interpreter may end without waiting for it.
        on_failure: called when it raises.
    """

    def __init__(
        self,
        act: Callable[[], None],
        name: str,
        *,
        daemon: bool = True,
        on_failure: Callable[[], None] = end_this_process,
    ) -> None:
        super().__init__(name=name, daemon=daemon)
        self.failed = False
        self._act = act
        self._on_failure = on_failure

    def run(self) -> None:
        self.failed = True
        try:
            self._act()
            self.failed = False
        except Exception:
            event = f"{self.name}_failed"
            log.exception(event)
        finally:
            if self.failed:
                self._on_failure()


def has_failed() -> bool:
    """Whether this process was ended from within: its exit code must not say that all was well."""
    return _failed.is_set()


def _cut_off() -> None:
    time.sleep(GRACE_SECONDS)
    os._exit(FAILED)
