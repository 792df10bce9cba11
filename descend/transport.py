"""One request: sent, sent again where that is safe, its refusal raised as one of descend.errors.

A request that got no answer is sent again if a second sending does nothing twice: reads, cancels,
deletes, and submissions that carry an Idempotency-Key. Others only where no connection came about.
"""

import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, TypeAdapter, ValidationError

from descend.errors import DescendError, Unreachable, error_class
from descend.field_errors import FieldError

__all__ = ["Body", "Content", "Transport", "asked_pause", "read"]

Content = bytes | Path | Callable[[], Iterator[bytes]]
Outcome = httpx2.Response | httpx2.TransportError
Answer = TypeVar("Answer", bound=BaseModel)

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_NOT_NOW = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_LOST = {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}
_LONGEST_PAUSE_SECONDS = 30.0


@dataclass(frozen=True)
class Body:
    """What a request carries: bytes, a file, or pieces that can be made anew for each sending.

    `text`: columns of a table that are declared to be groups: their texts are levels.
    """

    media_type: str
    content: Content
    encoding: str | None = None
    text: tuple[str, ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        coded = {"Content-Encoding": self.encoding} if self.encoding else {}
        return {"Content-Type": self.media_type, **coded}


class Transport:
    """Connections to one server, kept open between requests.

    Args:
        url: where the server listens.
        api_key: sent as a bearer token, where there is one.
        timeout_seconds: to connect, and for each silence of the server beyond any asked-for wait.
        retries: how often a request that got no answer, 429 or 503 is sent again.
    """

    def __init__(
        self, url: str, *, api_key: str | None, timeout_seconds: float, retries: int
    ) -> None:
        self._http = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=timeout_seconds,
            verify=_trust(url),
            trust_env=urlsplit(url).hostname not in _LOOPBACK,  # no proxy leads to this machine
        )
        self.url = url
        self._timeout_seconds = timeout_seconds
        self._retries = retries

    def close(self) -> None:
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        wait_seconds: float = 0.0,
    ) -> httpx2.Response:
        """Send a request and return its answer, which took `wait_seconds` longer if asked to.

        Raises:
            Unreachable: when no server answers.
            DescendError: the class that the refusal's `code` names.
        """
        told = {**(body.headers if body else {}), **(headers or {})}
        asked = {key: value for key, value in (params or {}).items() if value is not None}
        timeout = httpx2.Timeout(self._timeout_seconds, read=self._timeout_seconds + wait_seconds)
        send_once = partial(
            self._send_once, method, path, body=body, params=asked, headers=told, timeout=timeout
        )
        repeatable = _is_repeatable(method, path, told)
        for attempt in range(self._retries):
            outcome = send_once()
            pause = _pause_before_next(outcome, attempt, repeatable=repeatable)
            if pause is None:
                return self._answer(outcome, resent=attempt > 0)
            time.sleep(pause)
        return self._answer(send_once(), resent=self._retries > 0)

    def look(self, path: str) -> httpx2.Response:
        """Read, once, what is an answer whatever its status is.

        Raises:
            Unreachable: when no server answers.
        """
        try:
            return self._http.get(path)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error

    @contextmanager
    def stream(self, path: str, *, headers: Mapping[str, str]) -> Iterator[httpx2.EventSource]:
        """Open a stream of events for the length of a block; it is not opened again here.

        Raises:
            Unreachable: when no server answers, or none does any more.
            DescendError: the class that the refusal's `code` names.
        """
        try:
            with self._http.sse(path, headers=headers) as events:
                if not events.response.is_success:
                    events.response.read()
                    _accepted(events.response, resent=False)
                yield events
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error

    def _send_once(self, method: str, path: str, *, body: Body | None, **request: Any) -> Outcome:
        try:
            with _opened(body) as content:  # anew for each sending: a file is read from its start
                built = self._http.build_request(method, path, content=content, **request)
                return self._http.send(built)
        except httpx2.TransportError as error:
            return error

    def _answer(self, outcome: Outcome, *, resent: bool) -> httpx2.Response:
        if isinstance(outcome, httpx2.TransportError):
            raise self._unreachable(outcome) from outcome
        return _accepted(outcome, resent=resent)

    def _unreachable(self, error: Exception) -> Unreachable:
        reason = str(error) or type(error).__name__
        return Unreachable(f"no Descend server answers at {self.url}: {reason}")


def read(contract: type[Answer], answer: httpx2.Response) -> Answer:
    """Read a body as a value of the contract.

    Raises:
        DescendError: where it is none: this client and that server are of different versions.
    """
    try:
        return contract.model_validate_json(answer.content)
    except ValidationError as error:
        raise DescendError(
            f"{answer.request.url.path} answered no {contract.__name__} that this client knows:"
            " client and server are of different versions"
        ) from error


def _trust(url: str) -> ssl.SSLContext:
    """Trust the usual authorities; without TLS none, for reading them takes 30 ms."""
    if urlsplit(url).scheme == "https":
        return httpx2.create_ssl_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@contextmanager
def _opened(body: Body | None) -> Iterator[bytes | IO[bytes] | Iterator[bytes] | None]:
    content = body.content if body else None
    if isinstance(content, Path):
        with content.open("rb") as file:
            yield file
    elif callable(content):
        yield content()
    else:
        yield content


def _is_repeatable(method: str, path: str, headers: Mapping[str, str]) -> bool:
    return method in {"GET", "DELETE"} or path.endswith("/cancel") or "Idempotency-Key" in headers


def _pause_before_next(outcome: Outcome, attempt: int, *, repeatable: bool) -> float | None:
    """Say how many seconds to wait before the same request is sent again; None for not again.

    With 429 and 503 nothing was done; with 502 and 504 a proxy does not know.
    """
    if isinstance(outcome, httpx2.TransportError):
        return _pause(attempt) if repeatable or isinstance(outcome, httpx2.ConnectError) else None
    if outcome.status_code in _NOT_NOW or (repeatable and outcome.status_code in _LOST):
        return asked_pause(outcome, _pause(attempt))
    return None


def _pause(attempt: int) -> float:
    """Double the pause each time; a thousand clients of a server that restarts spread out."""
    return float(min(0.2 * 2**attempt, 5.0) * random.uniform(0.75, 1.25))  # noqa: S311


def asked_pause(answer: httpx2.Response, otherwise: float) -> float:
    """Read how many seconds the server wants to be left alone; half a minute at most."""
    asked = answer.headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_PAUSE_SECONDS) if asked.isdecimal() else otherwise


def _accepted(answer: httpx2.Response, *, resent: bool) -> httpx2.Response:
    if answer.is_success or _is_gone(answer, resent=resent):
        return answer
    try:
        problem = answer.json()
        kind = error_class(str(problem.get("code")))
    except (ValueError, AttributeError):
        raise DescendError(f"the server answered {answer.status_code} without a reason") from None
    asked = answer.headers.get("Retry-After", "")
    error = kind(
        str(problem.get("detail") or problem.get("title")),
        param=problem.get("param"),
        retry_after_seconds=float(asked) if asked.isdecimal() else None,
        errors=_field_errors(problem.get("errors")),
    )
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        error.add_note(f"request {problem.get('request_id')}")
    raise error


def _field_errors(found: object) -> list[FieldError]:
    """Read what a refusal says of single fields; a newer server may say it otherwise."""
    try:
        return TypeAdapter(list[FieldError]).validate_python(found or [])
    except ValidationError:
        return []


def _is_gone(answer: httpx2.Response, *, resent: bool) -> bool:
    """Say whether a delete that was sent twice has been done by the first."""
    return (
        resent and answer.request.method == "DELETE" and answer.status_code == HTTPStatus.NOT_FOUND
    )
