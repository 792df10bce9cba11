"""Bodies: read with a limit, parsed once for their form and once, strictly, for their meaning.

A large one waits in a file until it is whole and there is memory for it (service.shares); its long
arrays are read in pieces (service.pieces).
"""

import gc
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter, ValidationError

from descend.errors import BodyTooLarge, MalformedBody, UnsupportedMediaType
from descend.limits import MAX_COLUMNS
from service.errors import InvalidFields
from service.long_arrays import put_back
from service.pieces import LONG_BYTES, cut_out
from service.problems import FieldError, field_errors
from service.shares import TIMES
from service.uploads import receive

__all__ = [
    "JsonBody",
    "OptionalJsonBody",
    "content_encoding",
    "content_type",
    "held",
    "held_json",
    "limited",
    "media_type",
    "parse",
    "read_piece",
]

T = TypeVar("T")

_collector = threading.Lock()
_parsing = 0


def media_type(request: Request) -> str:
    """Name the body's media type; refuse encodings that are not read."""
    if content_encoding(request) != "identity":
        raise UnsupportedMediaType("send the body without Content-Encoding")
    return content_type(request)


def content_encoding(request: Request) -> str:
    return request.headers.get("content-encoding", "identity").strip().lower()


def content_type(request: Request) -> str:
    """Name the body's media type; text must be UTF-8."""
    name, *parameters = request.headers.get("content-type", "").lower().split(";")
    for parameter in parameters:
        key, _, value = parameter.strip().partition("=")
        if key == "charset" and value.strip("\"' ") not in {"utf-8", "utf8", "us-ascii"}:
            raise UnsupportedMediaType("send text in UTF-8")
    return name.strip()


async def limited(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the body's chunks; BodyTooLarge as soon as `limit` bytes are passed.

    What Content-Length says is believed only when it is too large.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > limit:
        raise BodyTooLarge(f"the body has more than {limit} bytes")
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > limit:
            raise BodyTooLarge(f"the body has more than {limit} bytes")
        yield chunk


@asynccontextmanager
async def held(request: Request, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Read a body into memory for the length of a block; a large one, when there is room for it.

    Until then it is in a file, however slowly it comes.

    Raises:
        StorageFull: when the disk is.
        Unavailable: when too many large ones are being read.
    """
    beginning, n_bytes = [], 0
    async for chunk in chunks:
        beginning.append(chunk)
        n_bytes += len(chunk)
        if n_bytes >= LONG_BYTES:
            break
    else:
        yield b"".join(beginning)
        return
    parts = request.app.state.parts
    with parts.uploads.workspace() as folder:
        path = folder / "body"
        await receive(_behind(beginning, chunks), path)
        async with parts.shares.one(TIMES * path.stat().st_size):
            yield await run_in_threadpool(path.read_bytes)


async def _behind(beginning: list[bytes], chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while beginning:
        yield beginning.pop(0)
    async for chunk in chunks:
        yield chunk


@asynccontextmanager
async def held_json(request: Request) -> AsyncIterator[bytes]:
    """Hold a JSON body, unparsed: parsing belongs in the handler's thread."""
    if media_type(request) != "application/json":
        raise UnsupportedMediaType("send application/json")
    limit: int = request.app.state.parts.settings.limits.inline_json_bytes
    async with held(request, limited(request, limit)) as raw:
        yield raw


async def _json_body(request: Request) -> AsyncIterator[bytes]:
    async with held_json(request) as raw:
        yield raw


async def _optional_json_body(request: Request) -> AsyncIterator[bytes]:
    """Read a JSON body, unparsed, or none at all."""
    limit: int = request.app.state.parts.settings.limits.inline_json_bytes
    async with held(request, limited(request, limit)) as raw:
        if raw and media_type(request) != "application/json":
            raise UnsupportedMediaType("send application/json")
        yield raw


# The memory is another's when the handler has ended, not when the answer has been taken.
JsonBody = Annotated[bytes, Depends(_json_body, scope="function")]
OptionalJsonBody = Annotated[bytes, Depends(_optional_json_body, scope="function")]


def parse(raw: bytes, adapter: TypeAdapter[T], *, within: str = "") -> T:
    """Validate a JSON document strictly.

    Long arrays of numbers, of the document or of its member `within`, are put into the result as
    float64, and `rows` as a LongArray, for `records` to read.

    Raises:
        MalformedBody: where it is no JSON, not UTF-8, or names a member twice.
        InvalidFields: where it is JSON of another shape; every wrong field is named.
    """
    with _uncollected():
        cut = cut_out(raw, within=within)
        if cut is None:
            return _parse(raw, adapter)
        return put_back(_parse(cut.rest, adapter), cut.arrays, within=within, read=read_piece)


def read_piece(piece: bytes, adapter: TypeAdapter[list[T]], *, name: str, first: int) -> list[T]:
    """Validate a part of an array; `first` is the number of its first element.

    Raises:
        MalformedBody, InvalidFields: as of the whole body.
    """
    try:
        if b"{" not in piece:  # nothing in it has a name
            with suppress(ValidationError):
                return _some(adapter.validate_json(piece))
        return _some(_parse(piece, adapter))
    except InvalidFields as error:
        raise InvalidFields([_moved(field, name, first) for field in error.errors]) from None


def _some(values: list[T]) -> list[T]:
    if not values:
        raise MalformedBody("the body is not JSON: a comma ends an array")
    return values


def _moved(field: FieldError, name: str, first: int) -> FieldError:
    place, dot, rest = field.param.partition(".")
    if not place.isdecimal():
        return field.model_copy(update={"param": name})
    return field.model_copy(update={"param": f"{name}.{first + int(place)}{dot}{rest}"})


def _parse(raw: bytes, adapter: TypeAdapter[T]) -> T:
    body = _document(raw)
    try:
        return adapter.validate_json(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        if found[0]["type"] == "json_invalid":
            raise MalformedBody(found[0]["msg"]) from error
        raise InvalidFields(field_errors(found, body)) from error


@contextmanager
def _uncollected() -> Iterator[None]:
    """Hold the garbage collector still: a document has no cycles to find.

    Looking for them while millions of lists are made takes three quarters of the time.
    """
    global _parsing  # noqa: PLW0603  the collector is the process's, too
    with _collector:
        _parsing += 1
        gc.disable()
    try:
        yield
    finally:
        with _collector:
            _parsing -= 1
            if _parsing == 0:
                gc.enable()


def _document(raw: bytes) -> Any:
    """Read the form alone; pydantic's reader would take the last of two equal names."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8 at byte {error.start}") from error
    if "\\u0000" in text:
        _refuse_nul(text)
    try:
        return json.loads(text, object_pairs_hook=_members)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedBody(f"the body is not JSON: {error.msg} at {where}") from error
    except RecursionError as error:
        raise MalformedBody("the body is nested too deeply") from error
    except MalformedBody:
        raise
    except ValueError as error:  # an integer of more than 4300 digits
        raise MalformedBody("the body holds a number with too many digits") from error


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_COLUMNS:
        raise MalformedBody(f"an object has {len(pairs)} members; at most {MAX_COLUMNS}")
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise MalformedBody(f"an object names {name[:100]!r} twice")
            seen.add(name)
    return members


def _refuse_nul(text: str) -> None:
    """No database keeps U+0000 in text; an escaped backslash before u0000 is harmless."""
    if "\\u0000" in text.replace("\\\\", ""):
        fields = [FieldError(param="", message="text may not hold U+0000", code="nul_character")]
        raise InvalidFields(fields)
