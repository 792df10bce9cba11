"""Lets who is refused while still sending read why; closing at once would reset the connection.

A socket that is closed with bytes unread answers the rest of the body with a reset, which may
throw away the refusal before it is read. So the refusal goes out first, and what still comes is
thrown away for a while: as RFC 9112, section 9.6, has it.
"""

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Lingering"]

MOST_SECONDS = 30.0
MOST_SILENT_SECONDS = 5.0


class Lingering:
    """Reads on, a bounded time, behind an answer that ends the connection."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = arrived = closing = False

        async def received() -> Message:
            nonlocal begun, arrived
            begun = True
            message = await receive()
            arrived = message["type"] == "http.disconnect" or not message.get("more_body", False)
            return message

        async def lingering_send(message: Message) -> None:
            nonlocal closing
            if message["type"] == "http.response.start":
                closing = Headers(raw=message["headers"]).get("connection", "") == "close"
            ends = message["type"] == "http.response.body" and not message.get("more_body", False)
            if not (ends and closing) or arrived or _waits_to_be_asked(scope, begun=begun):
                await send(message)
                return
            await send({**message, "more_body": True})
            await _thrown_away(received, lambda: arrived)
            await send({"type": "http.response.body", "body": b""})

        await self.app(scope, received, lingering_send)


def _waits_to_be_asked(scope: Scope, *, begun: bool) -> bool:
    """Say whether nothing is coming: `Expect: 100-continue`, and nobody has asked."""
    return not begun and "expect" in Headers(scope=scope)


async def _thrown_away(receive: Receive, arrived: Callable[[], bool]) -> None:
    try:
        async with asyncio.timeout(MOST_SECONDS):
            while not arrived():
                await asyncio.wait_for(receive(), MOST_SILENT_SECONDS)
    except TimeoutError:
        return
