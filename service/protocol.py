"""HTTP/1.1 for a crowd: bounded heads, deadlines for what does not come, room for who works.

uvicorn's httptools reader by itself keeps any length of a head, waits for ever for the rest of it,
and takes as many connections as there are descriptors: the next is then closed unheard.
"""

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.problems import MEDIA_TYPE, problem_of

__all__ = ["BoundedHead", "Crowd", "protocol_for"]

MOST_HEAD_BYTES = 64 * 1024
PROGRESS_BYTES = 1024  # of a body, to begin its time anew
RESERVED = 16  # connections beyond the limit: who asks for health is answered always
HEALTH = frozenset({b"/healthz", b"/readyz", b"/v2/health/live", b"/v2/health/ready"})
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n"
    b"connection: close\r\n\r\n"
)
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

_NO_REQUEST = (
    "What was sent is no HTTP request, or its head is too long: address and headers have at most"
    f" {MOST_HEAD_BYTES} bytes. Name many columns in the job instead."
)

log = structlog.get_logger("service.protocol")


@dataclass(eq=False)
class Crowd:
    """The connections of one server: how many may be there, and which of them keep it waiting.

    Attributes:
        most: connections at once; those beyond it take the place of one that has sent no request.
        head_seconds: from a connection's beginning, or a request's, to the end of its head.
        body_seconds: for a KiB more of a body, while somebody reads it.
        silent: without a request, in the order of their age.
        sending: in the middle of a body.
        told: that there are too many.
    """

    most: int
    head_seconds: float
    body_seconds: float
    silent: dict["BoundedHead", None] = field(default_factory=dict)
    sending: dict["BoundedHead", None] = field(default_factory=dict)
    told: bool = False

    def make_room(self, n_connections: int) -> bool:
        """Close the oldest silent connection where there are too many; False: there is none."""
        if n_connections <= self.most:
            return True
        if not self.told:  # once: a log that grows with a flood is another
            log.warning("too_many_connections", most=self.most)
            self.told = True
        oldest = next(iter(self.silent), None)
        if oldest is None:
            return False
        oldest.leave()
        return True

    def expire(self, now: float) -> None:
        """Close what has kept the server waiting for too long."""
        for one in tuple(self.silent):
            if now - one.since <= self.head_seconds:
                break
            one.leave(TOO_SLOW)
        for one in tuple(self.sending):
            if one.is_held_up:
                one.since = now  # by this server, which does not read
            elif now - one.since > self.body_seconds:
                one.leave(TOO_SLOW)


class BoundedHead(HttpToolsProtocol):
    """One connection."""

    crowd: Crowd

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.since = 0.0
        self._in_head = True
        self._head_bytes = self._progress = 0

    @property
    def is_held_up(self) -> bool:
        return bool(self.flow.read_paused)

    def leave(self, last_words: bytes = b"") -> None:
        """End the connection; where an answer has begun, without a word."""
        self._forget()
        if last_words and not (self.cycle and self.cycle.response_started):
            self.transport.write(last_words)
            self.transport.close()
        else:
            self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        has_room = self.crowd.make_room(len(self.connections))
        if not has_room and len(self.connections) > self.crowd.most + RESERVED:
            self.leave(BUSY)
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        if len(self.connections) < self.crowd.most // 2:
            self.crowd.told = False
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if not self._in_head:
            self._note_progress(len(data))
            return
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's head is too long.")

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or too long a one, as everything is refused; then close."""
        request_id = secrets.token_hex(12)
        log.info("no_request", reason=msg, request_id=request_id)
        body = problem_of(400, _NO_REQUEST, code="malformed_body", request_id=request_id)
        content = body.model_dump_json().encode()
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(content)}\r\nx-request-id: {request_id}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        self._wait_for_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._forget()
        self.crowd.sending[self] = None
        self.since, self._progress = self.loop.time(), 0
        crowded = len(self.connections) > self.crowd.most and self.url not in HEALTH
        self.app = _busy if crowded else self.config.loaded_app
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.crowd.sending.pop(self, None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:  # idle: uvicorn closes it in some seconds
            self._wait_for_head()

    def _wait_for_head(self) -> None:
        self.since = self.loop.time()
        self.crowd.silent.pop(self, None)  # those that wait longest stay in front
        self.crowd.silent[self] = None

    def _note_progress(self, n_bytes: int) -> None:
        self._progress += n_bytes
        if self._progress >= PROGRESS_BYTES:
            self.since, self._progress = self.loop.time(), 0

    def _forget(self) -> None:
        self.crowd.silent.pop(self, None)
        self.crowd.sending.pop(self, None)


async def _busy(_scope: Any, _receive: Any, send: Any) -> None:
    headers = [(b"retry-after", b"1"), (b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def protocol_for(crowd: Crowd) -> type[BoundedHead]:
    """Make the protocol of one server: uvicorn makes the connections, and gives them no more."""
    return type("Connection", (BoundedHead,), {"crowd": crowd})
