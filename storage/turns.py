"""Turns at SQLite's one writer, in the order in which threads came for them."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from descend.errors import Unavailable

__all__ = ["Turns"]


class Turns:
    """A lock that is handed on to who has waited longest.

    A plain lock, or a pool of one connection, goes to whoever asks at the right moment, which is
    mostly the thread that just gave it back: of 16 that submit without pause, some waited 30 times
    as long as the others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    @contextmanager
    def turn(self, timeout_seconds: float) -> Iterator[None]:
        """Wait for a turn and hold it for the block; Unavailable when it does not come in time."""
        self._take(timeout_seconds)
        try:
            yield
        finally:
            self._hand_on()

    def _take(self, timeout_seconds: float) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        if mine.acquire(timeout=timeout_seconds):
            return
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                raise Unavailable("the database is busy", retry_after_seconds=1)
        # It came between the end of the wait and the look: it is ours.

    def _hand_on(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False
