"""Who may ask, and the headers of every answer: one bearer key, request ids, browser policies."""

import hashlib
import hmac
import ipaddress
import re
import secrets
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from descend.errors import Unauthorized

__all__ = ["SECURITY_HEADERS", "ApiKey", "Envelope", "is_loopback", "read_key", "request_id_of"]

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_SECURITY_PAIRS = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
KEY_PATTERN = re.compile(r"dsc_[0-9A-Za-z]{1,64}_[0-9A-Za-z_-]{16,256}")
REQUEST_ID_PATTERN = re.compile(r"[0-9A-Za-z_.-]{1,64}")


class ApiKey:
    """One key, kept as its SHA-256; None lets everybody in (loopback only, see __main__)."""

    def __init__(self, key: str | None) -> None:
        self._digest = None if key is None else hashlib.sha256(key.encode()).digest()

    @property
    def required(self) -> bool:
        return self._digest is not None

    def check(self, connection: HTTPConnection) -> None:
        """Raise Unauthorized unless the request holds the key; equally long for every wrong one."""
        if self._digest is None:
            return
        header = connection.headers.get("authorization", "")
        scheme, _, given = header.partition(" ")
        digest = hashlib.sha256(given.strip().encode("latin-1")).digest()
        if not hmac.compare_digest(digest, self._digest) or scheme.lower() != "bearer":
            raise Unauthorized


def read_key(path: Path | None) -> str | None:
    """Read the key file; ValueError where it does not hold a key."""
    if path is None:
        return None
    key = path.read_text("ascii").strip()
    if not KEY_PATTERN.fullmatch(key):
        raise ValueError("the API key file must hold one line: dsc_<id>_<secret>, secret >= 16")
    return key


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def request_id_of(scope: Scope) -> str:
    return str(scope.get("state", {}).get("request_id", "unknown"))


class Envelope:
    """Give every request an id and every answer its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get("x-request-id"))
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    *(pair for pair in _SECURITY_PAIRS if pair[0] not in given),
                ]
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _request_id(wanted: str | None) -> str:
    """Keep the caller's id where it is harmless."""
    if wanted and REQUEST_ID_PATTERN.fullmatch(wanted):
        return wanted
    return secrets.token_hex(12)
