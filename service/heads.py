"""Answers HEAD wherever GET is answered: probes, load balancers and `curl -I` ask with it."""

from anyio import CancelScope
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Heads"]


class Heads:
    """Ask the app what GET would be answered, and send the head of that alone.

    FastAPI's routes, unlike Starlette's, do not know HEAD. It stands inside of what counts and
    logs, which are to see the method that was sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] != "http.response.start":
                return
            scope["method"] = "HEAD"  # the server looks there, too: this answer has no body
            await send(message)
            await send({"type": "http.response.body", "body": b""})
            rest.cancel()  # a stream would go on; nobody reads it

        # Not a copy: the route that is found is written into the scope for those outside.
        scope["method"] = "GET"
        try:
            with CancelScope() as rest:
                await self.app(scope, receive, send_head)
        finally:
            scope["method"] = "HEAD"
