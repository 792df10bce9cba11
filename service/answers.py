"""Contract values as HTTP answers."""

from fastapi import Response
from pydantic import BaseModel

__all__ = ["answer"]


def answer(value: BaseModel, status: int = 200, *, location: str | None = None) -> Response:
    """Write a contract value as JSON; FastAPI's own way would validate it a second time."""
    headers = None if location is None else {"location": location}
    return Response(value.model_dump_json(), status, headers, "application/json")
