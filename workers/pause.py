"""How long a worker claims nothing after there was no room."""

import random
import time

__all__ = ["Pause"]

FIRST_SECONDS = 5.0
LONGEST_SECONDS = 300.0


class Pause:
    """5 s, doubled each time, jittered; the first again after `end`."""

    def __init__(self) -> None:
        self.until = 0.0
        self._n_begun = 0

    def begin(self) -> None:
        seconds = min(FIRST_SECONDS * 2**self._n_begun, LONGEST_SECONDS)
        self._n_begun += 1
        self.until = time.monotonic() + seconds * random.uniform(0.5, 1.0)  # noqa: S311

    def end(self) -> None:
        """There was room again: the next time is the first."""
        self._n_begun = 0
