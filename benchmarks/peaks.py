"""The highest value of a figure while something runs: memory, most often."""

import threading
from collections.abc import Callable
from typing import Self

__all__ = ["Peak"]


class Peak:
    """Reads a figure again and again, in a thread of its own, for the length of a `with`."""

    def __init__(self, read: Callable[[], float], *, every_seconds: float = 0.01) -> None:
        self._read, self._every = read, every_seconds
        self.highest, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._done.wait(self._every):
            self.highest = max(self.highest, self._read())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
