"""Refusals as values: the problem document (RFC 9457) and the names it gives to what is wrong."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import ErrorDetails

from descend.choices import of_several, param_of
from descend.field_errors import FieldError

__all__ = [
    "MEDIA_TYPE",
    "PLAIN_PREFIX",
    "FieldError",
    "PlainError",
    "Problem",
    "field_errors",
    "problem_of",
]

MEDIA_TYPE = "application/problem+json"
PLAIN_PREFIX = "/v2"  # the inference protocol's: its clients expect refusals of their own form
MOST_ERRORS = 20
LONGEST_TEXT = 400


class PlainError(BaseModel):
    """What went wrong, as the Open Inference Protocol has it."""

    model_config = ConfigDict(frozen=True)

    error: str = Field(description="names the tensor at fault")


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it, with a stable `code` for programs."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:descend:error:invalid_input",
                    "title": "Unprocessable Content",
                    "status": 422,
                    "detail": "hyperparameters.max_epochs: Input should be greater than or"
                    " equal to 1",
                    "instance": "urn:descend:request:6b1f0e",
                    "code": "invalid_input",
                    "param": "hyperparameters.max_epochs",
                    "request_id": "6b1f0e",
                    "errors": [
                        {
                            "param": "hyperparameters.max_epochs",
                            "message": "Input should be greater than or equal to 1",
                            "code": "greater_than_equal",
                        }
                    ],
                }
            ]
        },
    )

    type: str = Field(description="urn:descend:error:<code>")
    title: str = Field(description="the status in words")
    status: int = Field(ge=400, le=599)
    detail: str
    instance: str = Field(description="urn:descend:request:<request_id>")
    code: str = Field(description="stable; one of descend.errors")
    param: str | None = Field(None, description="the field to change, where there is one")
    request_id: str
    errors: list[FieldError] = Field(
        [], description=f"each wrong field, at most {MOST_ERRORS}; or each column of a file"
    )


def problem_of(
    status: int,
    detail: str,
    *,
    code: str,
    request_id: str,
    param: str | None = None,
    errors: Sequence[FieldError] = (),
) -> Problem:
    """Make the document of a refusal."""
    return Problem(
        type=f"urn:descend:error:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=f"urn:descend:request:{request_id}",
        code=code,
        param=param,
        request_id=request_id,
        errors=list(errors),
    )


def field_errors(found: Iterable[ErrorDetails], body: Any) -> list[FieldError]:
    """Turn pydantic's errors into one entry per field, in the words of the request.

    Pydantic reports every branch of a union; here they are one entry. `body` is the parsed
    request: what a location names that the body does not hold is a union's tag, not a field.
    """
    by_field: dict[str, dict[str, str]] = {}
    for error in found:
        named = param_of(error["loc"], body, missing=error["type"] == "missing")
        param = named[:LONGEST_TEXT]
        if field := error.get("ctx", {}).get("field"):
            param = f"{param}.{field}".lstrip(".")
        if param not in by_field:
            if len(by_field) == MOST_ERRORS:
                break
            by_field[param] = {}
        message = error["msg"].removeprefix("Value error, ")
        by_field[param][message] = error["type"]
    return [
        FieldError(
            param=param,
            message=of_several(param, list(messages))[:LONGEST_TEXT],
            code=[*messages.values()][-1],
        )
        for param, messages in by_field.items()
    ]
