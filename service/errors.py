"""One table from exceptions to HTTP, and the handlers that read it. Nobody else names a status."""

import math
from collections.abc import Sequence

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from descend import errors
from service.problems import MEDIA_TYPE, PLAIN_PREFIX, FieldError, PlainError, problem_of
from service.security import SECURITY_HEADERS, request_id_of
from storage.artefacts import is_no_room

__all__ = ["STATUS", "InvalidFields", "install", "problem_response", "status_of"]

logger = structlog.get_logger(__name__)

STATUS: dict[type[errors.DescendError], int] = {
    errors.MalformedBody: 400,
    errors.Unauthorized: 401,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.BodyTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.WrongHost: 421,
    errors.InvalidInput: 422,
    errors.CorruptArtefact: 500,
    errors.DescendError: 500,
    errors.QueueFull: 503,
    errors.Unavailable: 503,
    errors.StorageFull: 507,
}
RETRY_AFTER_SECONDS = 1.0


class InvalidFields(errors.InvalidInput):
    """Fields of the request are wrong."""

    def __init__(self, fields: list[FieldError]) -> None:
        first = fields[0]
        message = f"{first.param or 'body'}: {first.message}"
        super().__init__(message, param=first.param or None, errors=fields)


def status_of(error: type[errors.DescendError]) -> int:
    """Return the status of the nearest class in the table."""
    return next(STATUS[ancestor] for ancestor in error.__mro__ if ancestor in STATUS)


def problem_response(
    request: Request,
    status: int,
    *,
    code: str,
    detail: str,
    param: str | None = None,
    fields: Sequence[FieldError] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """Write a problem document, or what the inference protocol has in its place; count it."""
    request.app.state.metrics.http.refused(code)
    if f"{request.url.path}/".startswith(f"{PLAIN_PREFIX}/"):
        where = "" if param is None or param in detail else f" ({param})"
        plain = PlainError(error=detail + where).model_dump_json()
        return Response(plain, 400 if status == 422 else status, headers, "application/json")
    request_id = request_id_of(request.scope)
    body = problem_of(status, detail, code=code, request_id=request_id, param=param, errors=fields)
    return Response(body.model_dump_json(), status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every exception with a problem document; async, for none of them waits."""
    app.add_exception_handler(errors.DescendError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_parameters)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(ClientDisconnect, _nobody_left)
    app.add_exception_handler(OSError, _refuse_for_room)
    app.add_exception_handler(Exception, _apologise)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.DescendError)  # noqa: S101  the type it is registered for
    status = status_of(type(error))
    if status == 500:
        logger.error("request_failed", request_id=request_id_of(request.scope), exc_info=error)
    return problem_response(
        request,
        status,
        code=error.code,
        detail=error.message,
        param=error.param,
        fields=error.errors,
        headers=_headers(error, status),
    )


def _headers(error: errors.DescendError, status: int) -> dict[str, str]:
    if status == 503:
        seconds = error.retry_after_seconds or RETRY_AFTER_SECONDS
        return {"retry-after": str(max(1, math.ceil(seconds)))}
    if status == 401:
        return {"www-authenticate": 'Bearer realm="descend"'}
    # The rest of a body that is too large, or of no known type, stays unread: the connection ends.
    return {"connection": "close"} if status in {413, 415} else {}


async def _refuse_parameters(request: Request, error: Exception) -> Response:
    """Parameters in path, query and header; bodies are read by service.bodies."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    fields = [
        FieldError(param=str(found["loc"][1]), message=found["msg"], code=found["type"])
        for found in error.errors()
    ]
    return await _refuse(request, InvalidFields(fields))


async def _refuse_route(request: Request, error: Exception) -> Response:
    """No such route, or no such method on it."""
    assert isinstance(error, HTTPException)  # noqa: S101
    codes = {404: "not_found", 405: "method_not_allowed"}
    headers = dict(error.headers or {})
    if error.status_code == 405:
        path = request.url.path
        every = request.app.state.allowed_methods
        headers["allow"] = next((m for p, m in every if p.fullmatch(path)), headers["Allow"])
        headers.pop("Allow")
    return problem_response(
        request,
        error.status_code,
        code=codes.get(error.status_code, "malformed_body"),
        detail="There is no such route." if error.status_code == 404 else str(error.detail),
        headers=headers,
    )


async def _refuse_for_room(request: Request, error: Exception) -> Response:
    """Whatever a handler was to write: where the disk is full, that is what is said."""
    if is_no_room(error):
        return await _refuse(request, errors.StorageFull())
    raise error


async def _nobody_left(request: Request, _: Exception) -> Response:
    """The caller went away in the middle of its body."""
    return problem_response(
        request, 400, code=errors.MalformedBody.code, detail="The body ended too early."
    )


async def _apologise(request: Request, error: Exception) -> Response:
    """A defect. Starlette calls this outside of all middleware, hence the headers here."""
    request_id = request_id_of(request.scope)
    logger.error("request_failed", request_id=request_id, exc_info=error)
    return problem_response(
        request,
        500,
        code=errors.DescendError.code,
        detail=f"{errors.DescendError.__doc__} The log has it under this request_id.",
        headers={"x-request-id": request_id, **SECURITY_HEADERS},
    )
