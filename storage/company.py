"""Small writes that come at the same time share one transaction, its commit and its fsync."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

from descend.errors import Unavailable

__all__ = ["Company"]

Tx = TypeVar("Tx")
T = TypeVar("T")

# A transaction holds the write lock: what is shared stays shorter than a heartbeat can wait.
_MOST = 32


class _Act(Generic[Tx]):
    """What one thread wants done, and what became of it."""

    def __init__(self, run: Callable[[Tx], Any]) -> None:
        self.run = run
        self.value: Any = None
        # Until its transaction has ended: whoever leads may be interrupted.
        self.error: Exception | None = Unavailable("the transaction was broken off")
        self.done = False
        self.turn = threading.Lock()
        self.turn.acquire()


class Company(Generic[Tx]):
    """Runs what threads wait for together: one of them, the first, does it for all.

    SQLite has one writer, so eight threads that each begin, write and commit wait in a row, and
    waking each of them takes as long as its rows. Here the first serves all who came while the
    last ones were served, then hands on; a thread that is alone does what it would do anyway.

    Args:
        begin: opens a transaction whose end is durable (Database.begin).
    """

    def __init__(self, begin: Callable[[], AbstractContextManager[Tx]]) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._waiting: deque[_Act[Tx]] = deque()
        self._led = False

    def together(self, run: Callable[[Tx], T]) -> T:
        """Run in a transaction, perhaps with others, and return when it is durable.

        `run` may be called twice, and in another thread, but is committed at most once: where one
        of several fails nothing of them is kept, and each is run again in its own transaction.
        """
        mine: _Act[Tx] = _Act(run)
        with self._lock:
            self._waiting.append(mine)
            leads, self._led = not self._led, True
        if not leads:
            mine.turn.acquire()
        if not mine.done:
            self._lead()
        if mine.error is not None:
            raise mine.error
        value: T = mine.value
        return value

    def _lead(self) -> None:
        with self._lock:
            acts = [self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))]
        try:
            self._serve(acts)
        finally:
            for act in acts:
                act.done = True
                act.turn.release()
            with self._lock:
                self._led = bool(self._waiting)
                if self._led:
                    self._waiting[0].turn.release()

    def _serve(self, acts: list[_Act[Tx]]) -> None:
        if len(acts) == 1 or not self._all_at_once(acts):
            for act in acts:
                self._all_at_once([act])

    def _all_at_once(self, acts: list[_Act[Tx]]) -> bool:
        """False where one of several failed: the others have not, and are to be run again."""
        failed = None
        try:
            with self._begin() as tx:
                for act in acts:
                    failed = act
                    act.value = act.run(tx)
                failed = None
            for act in acts:
                act.error = None
        except Exception as error:  # noqa: BLE001  raised where it belongs, in `together`
            if failed is not None and len(acts) > 1:
                return False
            for act in acts:  # not begun or not committed: none of them is
                act.error = error
        return True
