"""How long something took, counted by size: cheap enough for every transaction."""

import bisect
import threading
from collections.abc import Sequence

__all__ = ["Timings"]

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Timings:
    """A histogram; `observe` may be called from any thread."""

    def __init__(self, bounds: Sequence[float] = BOUNDS) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._seconds = 0.0
        self._lock = threading.Lock()

    def observe(self, seconds: float) -> None:
        place = bisect.bisect_left(self._bounds, seconds)
        with self._lock:
            self._counts[place] += 1
            self._seconds += seconds

    def snapshot(self) -> tuple[list[tuple[float, int]], float]:
        """Return how many took at most so long, bound by bound up to infinity; and their sum."""
        with self._lock:
            counts, seconds = list(self._counts), self._seconds
        ends = [*self._bounds, float("inf")]
        return [(end, sum(counts[: i + 1])) for i, end in enumerate(ends)], seconds
