"""Which names a server without a key answers to: only those of this machine.

A page anywhere may have its own name resolve to 127.0.0.1 (DNS rebinding); a browser then takes
this server for the page's own, and sends the page's name as Host. With a key there is nothing to
check: a page cannot know it, and a proxy in front may be called anything.
"""

import re

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from descend.errors import WrongHost
from service.errors import problem_response, status_of

__all__ = ["LoopbackHosts"]

# An address cannot be rebound; a name can, all but the one that is always this machine's.
LOOPBACK = re.compile(rb"(?i:localhost)|127(?:\.\d{1,3}){3}|\[::1\]")
PORT = re.compile(rb"(?::\d{0,5})?")


class LoopbackHosts:
    """Refuse requests whose one Host header is not a loopback address or localhost."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_local(scope):
            await _refusal(scope)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _is_local(scope: Scope) -> bool:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1:
        return False
    named = LOOPBACK.match(hosts[0])
    return named is not None and PORT.fullmatch(hosts[0], named.end()) is not None


def _refusal(scope: Scope) -> ASGIApp:
    return problem_response(
        Request(scope),
        status_of(WrongHost),
        code=WrongHost.code,
        detail=WrongHost.__doc__ or "",
        headers={"connection": "close"},  # its body stays unread
    )
