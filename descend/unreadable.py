"""Columns that are neither numbers, nor true and false, nor text: their types and what helps."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["UnreadableColumn", "nested_type", "unreadable_because"]


class UnreadableColumn(BaseModel):
    """A column of a type that is neither numbers, nor true and false, nor text."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: str = Field(description="such as date, timestamp, uuid, list, struct or binary")


_OF_DATES = (
    "make it numbers, by dates=days (since the first day), year, month or weekday with the file"
)
_REMEDIES = {
    "date": _OF_DATES,
    "timestamp": _OF_DATES,
    "time": "make it a number, such as the seconds since midnight",
    "duration": "make it a number, such as seconds",
    "uuid": "make it text, if it is a group",
    "binary": "make it numbers or text",
    "decimal256": "make it decimals of at most 38 digits, or float64",
} | dict.fromkeys(("list", "struct", "map", "union"), "make a column of each number in it")


def nested_type(cell: object) -> str | None:
    """Name a column's type by a cell of JSON that holds others; None where it is a plain one."""
    if isinstance(cell, list):
        return "list"
    return "struct" if isinstance(cell, dict) else None


def unreadable_because(name: str, type_: str) -> str:
    """Say why a column cannot be trained on or predicted from, and what can be made of it."""
    remedy = _REMEDIES.get(type_, "make it numbers, booleans or text")
    kind = type_ if type_ in _REMEDIES else f"type {type_}"
    return f"column {name!r} holds {kind} values, neither numbers nor text: {remedy}"
