"""Sees every request: a line in the log, a count and a duration in the metrics.

It stands inside of Envelope, which gives the request its id.
"""

import re
import time
from collections.abc import Callable, Container

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, reset_contextvars
from structlog.typing import FilteringBoundLogger

from descend.ids import ID_PATTERNS
from service.metrics import HttpMetrics
from service.security import request_id_of

__all__ = ["Witness"]

# What is asked every few seconds by machines, and says nothing while it goes well.
QUIET = frozenset({"/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"
IDS = {
    "job_id": re.compile(ID_PATTERNS["job"]),
    "dataset_id": re.compile(ID_PATTERNS["ds"]),
    "model_id": re.compile(ID_PATTERNS["mdl"]),
}
DEFECT = 500


class Witness:
    """Times a request from its head to its answer's beginning, and notes its end."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self.app = app
        self._metrics = metrics
        # Bound once: the lazy one binds itself anew for every line, 10 us.
        self._log: FilteringBoundLogger = structlog.get_logger(__name__).bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = _Seen()

        async def seen_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.start(message)
            await send(message)

        # Not bound_contextvars, which looks at every variable of the context: 30 us.
        tokens = bind_contextvars(request_id=request_id_of(scope))
        try:
            await self.app(scope, receive, seen_send)
        finally:
            self._note(scope, seen)
            reset_contextvars(**tokens)

    def _note(self, scope: Scope, seen: "_Seen") -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED)
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.answered(route, method, seen.status)
        self._metrics.began(route, seen.began_after)
        self._write(route, seen.status)(
            "request",
            method=method,
            route=route,
            status=seen.status,
            seconds=round(seen.seconds, 6),
            **seen.ids,
            **_ids(scope, but=seen.ids),
        )

    def _write(self, route: str, status: int) -> Callable[..., object]:
        if status >= DEFECT:
            return self._log.warning
        return self._log.debug if route in QUIET else self._log.info


class _Seen:
    """What has been seen of one request; 500 where no answer began."""

    def __init__(self) -> None:
        self._at = time.perf_counter()
        self._began_after: float | None = None
        self.status = DEFECT
        self.ids: dict[str, str] = {}

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._at

    @property
    def began_after(self) -> float:
        return self.seconds if self._began_after is None else self._began_after

    def start(self, message: Message) -> None:
        self._began_after = self.seconds
        self.status = message["status"]
        for name, value in message["headers"]:
            if name == b"location":  # of what was made: the line then has its id
                kind, _, made = value.decode("latin-1").removeprefix("/v1/").partition("/")
                self.ids = {f"{kind.removesuffix('s')}_id": made}


def _ids(scope: Scope, *, but: Container[str]) -> dict[str, str]:
    """Take the ids from the path; what is no id is somebody's text, and stays out of the log."""
    given = scope.get("path_params", {})
    return {
        name: text
        for name, text in given.items()
        if name in IDS and name not in but and IDS[name].fullmatch(text)
    }
