"""Contract values as HTTP answers."""

from fastapi import Response
from pydantic import BaseModel

__all__ = ["answer"]


def answer(
    value: BaseModel, status: int = 200, *, location: str | None = None, ask_again: bool = False
) -> Response:
    """Write a contract value as JSON; FastAPI's own way would validate it a second time.

    Args:
        value: the body.
        status: of the answer.
        location: of what was made.
        ask_again: say that it is of use only after a second: the asked-for wait was not had.
    """
    headers = {} if location is None else {"location": location}
    if ask_again:
        headers["retry-after"] = "1"
    return Response(value.model_dump_json(), status, headers, "application/json")
