"""A job's events as they come: a stream that is taken up again where it broke."""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from http import HTTPStatus

from pydantic import TypeAdapter

from descend.errors import Unavailable, Unreachable
from descend.events import JobEvent, StateEvent
from descend.transport import Transport

__all__ = ["follow"]

EVENT: TypeAdapter[JobEvent] = TypeAdapter(JobEvent)
MOST_FAILURES = 5
LONGEST_PAUSE_SECONDS = 5.0


def follow(
    transport: Transport, path: str, *, last_event_id: str | None = None
) -> Iterator[JobEvent]:
    """Yield the events behind an id, each once, until the job has ended.

    Raises:
        Unreachable: when no server has answered a few times in a row.
    """
    place = _Place(last_event_id)
    while True:
        try:
            if (yield from _stream(transport, path, place)):
                return
        except (Unreachable, Unavailable):
            if place.failures == MOST_FAILURES:
                raise
        time.sleep(min(0.1 * 2**place.failures, LONGEST_PAUSE_SECONDS))
        place.failures += 1


@dataclass
class _Place:
    """How far the log was told, and how often in a row it could not be told on."""

    id: str | None
    failures: int = 0


def _stream(transport: Transport, path: str, place: _Place) -> Generator[JobEvent, None, bool]:
    """Tell what one connection tells; return whether that was the end of the log."""
    headers = {"Last-Event-ID": place.id} if place.id else {}
    with transport.stream(path, headers=headers) as events:
        if events.response.status_code == HTTPStatus.NO_CONTENT:
            return True
        for message in events:
            event = EVENT.validate_json(message.data)
            place.id, place.failures = event.id or place.id, 0
            yield event
            if isinstance(event, StateEvent) and event.data.state.is_terminal:
                return True
    return False
