"""How full the queue is, as one process knows it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Room"]

# Counting walks over every queued job: 200 us per thousand. A short queue is counted each time.
_DEEP = 500
_FRESH_SECONDS = 0.25
# More than all processes together add in that time: nearer to the limit every submission counts.
_SLACK = 2_000


@dataclass
class _Count:
    waiting: int
    ahead: int
    until: float


class Room:
    """Counts of a deep queue, kept for a quarter of a second and moved on by what is added.

    Close to the limit every submission counts again, so that no number of processes goes beyond it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, int], _Count] = {}

    def counted(
        self,
        key: tuple[str, int],
        *,
        max_queued: int,
        count: Callable[[], tuple[int, int]],
    ) -> tuple[int, int]:
        """Return how many wait, and how many of them are ahead of a new job of this key.

        Args:
            key: queue and priority.
            max_queued: the limit that the answer is for.
            count: counts in the database.
        """
        with self._lock:
            known = self._counts.get(key)
            if known is not None and time.monotonic() < known.until:
                known.waiting, known.ahead = known.waiting + 1, known.ahead + 1
                if known.waiting < max_queued - _SLACK:
                    return known.waiting, known.ahead
        waiting, ahead = count()
        with self._lock:
            self._counts.pop(key, None)
            if waiting > _DEEP:
                self._counts[key] = _Count(waiting, ahead, time.monotonic() + _FRESH_SECONDS)
        return waiting, ahead
