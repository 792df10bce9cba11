"""Memory that requests with large bodies share: who comes first is served first.

Reading a body costs a few times its bytes. Without a budget eight that come at once cost eight
times that, and the allocator keeps what was freed between what was not: it is given back here.
"""

import asyncio
import ctypes
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from descend.errors import Unavailable

__all__ = ["TIMES", "Shares"]

TIMES = 10  # its bytes are what a body may cost while it is read and answered
GIVE_BACK_SECONDS = 0.5  # after the last share: the next may be coming


class Shares:
    """A budget of bytes, used from one event loop.

    Args:
        total: what all bodies together may cost.
        patience_seconds: how long a body waits for its share.
    """

    def __init__(self, total: int, *, patience_seconds: float = 30.0) -> None:
        self._total = self._free = total
        self._patience_seconds = patience_seconds
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def taken(self) -> int:
        """Bytes that are in use."""
        return self._total - self._free

    @asynccontextmanager
    async def one(self, n_bytes: int) -> AsyncIterator[None]:
        """Hold a share for the length of a block; one larger than the budget is all of it.

        Raises:
            Unavailable: when there was none for too long.
        """
        wanted = min(n_bytes, self._total)
        await self._take(wanted)
        try:
            yield
        finally:
            self._return(wanted)

    async def _take(self, wanted: int) -> None:
        if not self._waiting and wanted <= self._free:
            self._free -= wanted
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, turn))
        try:
            await asyncio.wait_for(asyncio.shield(turn), self._patience_seconds)
        except BaseException as error:
            if turn.done():
                self._return(wanted)
            else:
                self._waiting.remove((wanted, turn))
                self._serve()
            if isinstance(error, TimeoutError):
                raise Unavailable("the memory for large bodies is in use; try again") from None
            raise

    def _return(self, n_bytes: int) -> None:
        self._free += n_bytes
        self._serve()
        if self._free == self._total:
            asyncio.get_running_loop().call_later(GIVE_BACK_SECONDS, self._give_back)

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            wanted, turn = self._waiting.popleft()
            self._free -= wanted
            turn.set_result(None)

    def _give_back(self) -> None:
        if self._free == self._total:
            asyncio.get_running_loop().run_in_executor(None, _trim)


def _trim() -> None:
    """Return freed memory to the system; elsewhere than with glibc it is left to the allocator."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
