"""Wakes long-polls when their jobs end: one look at the database for all that wait.

A waiter is a future: it holds no thread and no session. While nobody waits nothing is read.
"""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress

from anyio import to_thread

from descend.errors import Unavailable
from descend.jobs import TERMINAL, JobState
from storage.database import Database

__all__ = ["Watcher"]

# A look after 2 % of what the youngest waiter has waited: that is the latency it adds.
SHARE = 0.02
FASTEST_SECONDS = 0.005
SLOWEST_SECONDS = 0.25


class Watcher:
    """One per process, used from its event loop."""

    def __init__(self, database: Database, *, most_waiting: int) -> None:
        self._database = database
        self._most_waiting = most_waiting
        self._waiting: dict[str, dict[asyncio.Future[None], float]] = {}
        self.waiting = 0
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def ended(self, job_id: str, *, seconds: float) -> None:
        """Return when the job has ended or is gone, after `seconds` at the latest.

        Raises:
            Unavailable: when too many requests wait already.
        """
        if self.waiting >= self._most_waiting:
            raise Unavailable("too many requests wait for jobs; ask without wait")
        if self._closed:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, {})[future] = time.monotonic()
        self.waiting += 1
        self._arrived.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(future, seconds)
        finally:
            self.waiting -= 1
            waiters = self._waiting.get(job_id, {})
            waiters.pop(future, None)
            if not waiters:
                self._waiting.pop(job_id, None)

    def close(self) -> None:
        """Let all waiters go with what is known: the process is ending."""
        self._closed = True
        self._wake(list(self._waiting))

    async def _watch(self) -> None:
        try:
            while self._waiting:
                job_ids = list(self._waiting)
                with suppress(Unavailable):  # who waits goes on waiting, up to its own limit
                    states = await to_thread.run_sync(self._look, job_ids)
                    self._wake(_over(job_ids, states))
                # Let the woken leave before the next look.
                await asyncio.sleep(0)
                if self._waiting:
                    await self._pause()
        finally:  # also of a fault: nobody goes on waiting for a reader that is not there
            self._wake(list(self._waiting))

    def _look(self, job_ids: list[str]) -> dict[str, tuple[JobState, int]]:
        with self._database.read() as tx:
            return tx.jobs.states(job_ids)

    def _wake(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            for future in self._waiting.get(job_id, {}):
                if not future.done():
                    future.set_result(None)

    async def _pause(self) -> None:
        """Wait for the time of the next look, or for a new waiter to hurry it."""
        self._arrived.clear()
        youngest = max(at for waiters in self._waiting.values() for at in waiters.values())
        seconds = SHARE * (time.monotonic() - youngest)
        with suppress(TimeoutError):
            await asyncio.wait_for(
                self._arrived.wait(), min(max(seconds, FASTEST_SECONDS), SLOWEST_SECONDS)
            )
            await asyncio.sleep(FASTEST_SECONDS)


def _over(job_ids: list[str], states: dict[str, tuple[JobState, int]]) -> list[str]:
    return [id_ for id_ in job_ids if id_ not in states or states[id_][0] in TERMINAL]
