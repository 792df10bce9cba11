"""A sign of life through a pipe, and how long it has been missed.

Who lives touches it at every turn of the work that matters; who started it listens. A row would not
do as a sign: it cannot be written just when a disk is full or a database is away, and then a worker
that waits in order would be taken for one that hangs.
"""

import contextlib
import os
import time
from collections.abc import Callable

__all__ = ["DEAF_SECONDS", "STARTING_SECONDS", "Pulse", "Silence"]

DEAF_SECONDS = 30.0
STARTING_SECONDS = 120.0  # before the first touch: a cold disk takes long to read torch
# A look that comes later than this was kept from looking, as everybody was: a lid, a busy machine.
MOST_AT_ONCE = 1.0


class Pulse:
    """The end that is touched; `touches` counts for who listens in this process.

    Args:
        descriptor: of a pipe that whoever started this process reads; None where nobody does.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self.touches = 0
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)
            os.set_blocking(descriptor, False)

    def touch(self) -> None:
        """Say that work goes on. Never blocks and never raises: a listener may be gone or slow."""
        self.touches += 1
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(self._descriptor, b".")


class Silence:
    """Counts the seconds without a touch, as seen by who looks again and again.

    Time in which nobody could look does not count: when a machine wakes up, everybody is late.

    Args:
        deaf_seconds: how long a silence is borne after the first touch; before it, 120 s at least.
    """

    def __init__(self, deaf_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = 0.0
        self.began = False  # it has been touched
        self._deaf_seconds = deaf_seconds
        self._clock = clock
        self._looked_at = clock()

    @property
    def is_too_long(self) -> bool:
        starting = max(STARTING_SECONDS, self._deaf_seconds)
        return self.seconds > (self._deaf_seconds if self.began else starting)

    def look(self, *, touched: bool) -> None:
        """Count on from the last look, or begin again where there was a touch since."""
        now = self._clock()
        passed, self._looked_at = now - self._looked_at, now
        self.began |= touched
        self.seconds = 0.0 if touched else self.seconds + min(passed, MOST_AT_ONCE)
