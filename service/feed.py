"""Tells many viewers what happens, with one reader: a viewer costs no look at the database.

What is looked at has a channel: its newest frames, each written once for all who watch. A viewer
is a place in the log and nothing else, so that a slow one costs no memory: when the channel's
frames have gone past it, it reads what it missed from the log, up to where the channel is, and
joins again. So does who comes late, or comes back.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from descend.errors import NotFound, Unavailable
from descend.events import JobEvent

__all__ = ["Batch", "Feed", "Log", "Look", "frames"]

# Between two looks, and so the most often that a viewer hears of a job: ten times a second.
TICK_SECONDS = 0.1
# What telling a viewer costs, times 20: the feed takes a twentieth of a core, and then is slower.
SECONDS_PER_VIEWER = 0.002
HURRIED_SECONDS = 0.01
PING_SECONDS = 10.0
# A viewer that is more looks behind reads the log: so much of a channel is kept.
KEPT_FRAMES = 16
CATCHING_UP = 2  # readings at a time for those who are behind

P = TypeVar("P", bound=Hashable)  # a place in a log


@dataclass(frozen=True)
class Batch(Generic[P]):
    """Events of a log; `place` is where they end."""

    events: tuple[JobEvent, ...]
    place: P
    has_more: bool = False
    ended: bool = False


@dataclass(frozen=True)
class Look(Generic[P]):
    """What one look found.

    Attributes:
        head: the place after it; None where the log is gone.
        frame: what is new, as it goes out.
        now: what of it is of the moment only: whoever joins is told.
    """

    head: P | None
    frame: bytes = b""
    now: bytes = b""
    ended: bool = False


class Log(Protocol[P]):
    """What a feed reads; called in threads."""

    def look(self, heads: Mapping[str, P | None]) -> Mapping[str, Look[P]]:
        """See what is new since these heads; where there is none yet, only where the log ends."""

    def read(self, key: str, place: P, *, until: P) -> Batch[P]:
        """Read some events after a place, and none that is after `until`."""


def frames(events: tuple[JobEvent, ...]) -> bytes:
    """Write events as they go out."""
    return b"".join(
        format_sse_event(data_str=event.model_dump_json(), event=event.type, id=event.id)
        for event in events
    )


class _Channel(Generic[P]):
    """The newest of one log, for those who watch it."""

    def __init__(self) -> None:
        self.viewers = 0
        self.head: P | None = None
        self.ended = False
        self.now = b""
        self.told = 0  # frames so far
        self.told_at = time.monotonic()
        self._frames: deque[bytes] = deque(maxlen=KEPT_FRAMES)
        self.changed = asyncio.Event()

    def tell(self, look: Look[P]) -> None:
        self.head, self.ended = look.head, look.ended
        self.now = b"" if look.ended else look.now or self.now
        if look.frame:
            self._frames.append(look.frame)
            self.told += 1
            self.told_at = time.monotonic()
        self.wake()

    def wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def since(self, told: int) -> bytes | None:
        """Return the frames after so many; None where the first of them is not kept any more."""
        missing = self.told - told
        if missing > len(self._frames):
            return None
        return b"".join(list(self._frames)[len(self._frames) - missing :])


class Feed(Generic[P]):
    """One per process and kind of log, used from its event loop."""

    def __init__(self, log: Log[P]) -> None:
        self._log = log
        self._channels: dict[str, _Channel[P]] = {}
        self._readings: dict[tuple[str, P, P], asyncio.Future[Batch[P]]] = {}
        self._threads = ThreadPoolExecutor(1 + CATCHING_UP, thread_name_prefix="feed")
        self._catching_up = asyncio.Semaphore(CATCHING_UP)
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def follow(self, key: str, place: P | None) -> AsyncIterator[bytes]:
        """Yield all that comes after a place, until the log ends; None: from now on."""
        channel = self._join(key)
        told: int | None = None  # of the channel's frames; None: not in step with it
        try:
            while not self._closed:
                changed = channel.changed
                if told is None:
                    found, place, told = await self._catch_up(key, channel, place)
                else:
                    missed = channel.since(told)
                    if missed is None:
                        told = None
                        continue
                    found, place, told = missed, channel.head, channel.told
                if found:
                    yield found
                elif channel.ended:
                    return
                else:
                    await changed.wait()
        except (NotFound, Unavailable):
            return  # the viewer comes back with its place
        finally:
            self._leave(key, channel)

    def close(self) -> None:
        """End all streams: the process is ending."""
        self._closed = True
        for channel in self._channels.values():
            channel.wake()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _join(self, key: str) -> _Channel[P]:
        channel = self._channels.setdefault(key, _Channel())
        channel.viewers += 1
        self._arrived.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        return channel

    def _leave(self, key: str, channel: _Channel[P]) -> None:
        channel.viewers -= 1
        if not channel.viewers:
            self._channels.pop(key, None)

    async def _catch_up(
        self, key: str, channel: _Channel[P], place: P | None
    ) -> tuple[bytes, P | None, int | None]:
        """Read a part of what is missing up to where the channel is, or find that nothing is."""
        head, told = channel.head, channel.told
        if head is None:
            return b"", place, None
        if place is None or place == head:
            return channel.now, head, told
        batch = await self._between(key, place, head)
        found = frames(batch.events)
        if batch.place == head:
            return found + channel.now, head, told
        return found, batch.place, None  # more to read; or this process is not as far as the viewer

    async def _between(self, key: str, place: P, head: P) -> Batch[P]:
        """Read once for all who miss the same."""
        wanted = (key, place, head)
        reading = self._readings.get(wanted)
        if reading is None:
            reading = asyncio.ensure_future(self._read(key, place, head))
            self._readings[wanted] = reading
            reading.add_done_callback(lambda _: self._readings.pop(wanted, None))
        return await asyncio.shield(reading)

    async def _read(self, key: str, place: P, head: P) -> Batch[P]:
        async with self._catching_up:
            read = partial(self._log.read, key, place, until=head)
            return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    async def _watch(self) -> None:
        try:
            while self._channels and not self._closed:
                told = await self._look()
                await self._pause(max(TICK_SECONDS, told * SECONDS_PER_VIEWER))
        finally:  # also of a fault: nobody goes on waiting for a reader that is not there
            for channel in self._channels.values():
                channel.ended = True
                channel.wake()

    async def _look(self) -> int:
        """Look once for all; return how many viewers were told something."""
        heads = {key: channel.head for key, channel in self._channels.items() if not channel.ended}
        looks: Mapping[str, Look[P]] = {}
        with suppress(Unavailable):  # viewers go on waiting
            loop = asyncio.get_running_loop()
            looks = await loop.run_in_executor(self._threads, self._log.look, heads)
        told = 0
        for key, channel in self._channels.items():
            if look := looks.get(key):
                channel.tell(look)
                told += channel.viewers
            elif time.monotonic() - channel.told_at > PING_SECONDS:
                channel.tell(Look(channel.head, KEEPALIVE_COMMENT, ended=channel.ended))
        return told

    async def _pause(self, seconds: float) -> None:
        """Wait for the time of the next look, or for a new viewer to hurry it."""
        self._arrived.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), seconds)
            await asyncio.sleep(HURRIED_SECONDS)
