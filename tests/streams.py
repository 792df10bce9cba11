"""Reads event streams as a client does: by the rules of the HTML standard, section 9.2.6."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2

__all__ = ["Message", "following", "messages", "told"]


@dataclass(frozen=True)
class Message:
    event: str
    data: Any
    id: str | None


def following(
    client: httpx2.Client, path: str, *, last: str | None = None, **params: str
) -> Iterator[Message]:
    """Open a stream, and yield its messages until it ends or the caller has enough."""
    headers = {"accept": "text/event-stream"}
    if last is not None:
        headers["last-event-id"] = last
    with client.stream("GET", path, headers=headers, params=params) as response:
        if response.status_code == 204:
            return
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield from messages(response.iter_lines())


def messages(lines: Iterator[str]) -> Iterator[Message]:
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if not line:
            if "data" in fields:
                yield Message(fields.get("event", ""), json.loads(fields["data"]), fields.get("id"))
            fields = {}
            continue
        name, _, value = line.partition(":")
        fields[name] = value.removeprefix(" ")


def told(found: list[Message]) -> list[Message]:
    """Leave out what is of the moment only."""
    return [message for message in found if message.id is not None]
