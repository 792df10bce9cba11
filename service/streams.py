"""Event streams as answers: how many there may be, and how one ends when its client has gone."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager

from fastapi.sse import EventSourceResponse
from starlette.types import Receive, Scope, Send

from descend.errors import Unavailable

__all__ = ["EventStream", "Seats", "prefers_stream"]

RETRY_SECONDS = 5
# For proxies that would keep a stream until it is whole (nginx).
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class Seats:
    """Counts the streams of a process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0

    def check(self) -> None:
        """Raise Unavailable where there is no room for another stream."""
        if self.taken >= self._most:
            raise Unavailable(
                f"{self._most} event streams are open already; ask for JSON instead",
                retry_after_seconds=RETRY_SECONDS,
            )

    @contextmanager
    def one(self) -> Iterator[None]:
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class EventStream(EventSourceResponse):
    """Sends frames as they come; each is written by fastapi.sse, once for all who watch."""

    def __init__(self, source: AsyncIterator[bytes], seats: Seats) -> None:
        super().__init__(source, headers=HEADERS)
        self._seats = seats

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Closed here: a generator that is left between two frames would be closed by nobody.
        with self._seats.one():
            async with aclosing(self.body_iterator):  # type: ignore[type-var]
                await super().__call__(scope, receive, send)


def prefers_stream(accept: str) -> bool:
    """Take the first media type of the two that is named; weights are not read."""
    for name in accept.split(","):
        kind = name.split(";")[0].strip().lower()
        if kind in {"text/event-stream", "application/json"}:
            return kind == "text/event-stream"
    return False
