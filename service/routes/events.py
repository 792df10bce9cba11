"""What happens to jobs: a JSON list for who polls, or an event stream."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.concurrency import run_in_threadpool
from pydantic.json_schema import SkipJsonSchema

from descend.events import EventPage
from descend.jobs import JobKind
from descend.limits import DEFAULT_LIST
from service.answers import answer
from service.dependencies import GUARDS, JobId, Limit, Parts, PartsOf
from service.feed import Batch, frames
from service.openapi import refusals, stream_response
from service.places import CHANGE_PLACE, JOB_PLACE, JobPlace, change_id, change_place
from service.streams import EventStream, prefers_stream

router = APIRouter(prefix="/v1", tags=["events"], dependencies=GUARDS)

TOLD = "a place in the log: what comes after it is told"
HEADER = "as last_event_id, which it goes before: a browser sends it by itself"


def _query(pattern: str) -> Any:
    return Query(pattern=pattern, description=TOLD)


IN_HEADER = Header(alias="Last-Event-ID", description=HEADER)
# No pattern: a browser sends what it was told, and what is no place is not found.
PlaceInHeader = Annotated[str | SkipJsonSchema[None], IN_HEADER]


Accept = Annotated[str, Header(include_in_schema=False)]
Start = Annotated[
    int, Query(ge=0, lt=10**9, description="with no id: first row of the history to be told")
]


@router.get(
    "/jobs/{job_id}/events",
    response_model=EventPage,
    responses={
        200: stream_response(),
        204: {"description": "A stream was asked for, and the job's end was told already"},
        **refusals(404, 422, 503),
    },
)
async def get_job_events(
    parts: PartsOf,
    job_id: JobId,
    *,
    last_event_id: Annotated[str | None, _query(JOB_PLACE)] = None,
    last_event_id_header: PlaceInHeader = None,
    start: Start = 0,
    limit: Limit = DEFAULT_LIST,
    accept: Accept = "",
) -> Response:
    """Follow a job: its states, warnings and history, each told once, from any place on."""
    known = last_event_id_header or last_event_id
    place = JobPlace(rows=start) if known is None else JobPlace.parse(known)
    streamed = prefers_stream(accept)
    if streamed:
        parts.seats.check()
    batch = await run_in_threadpool(
        parts.job_logs.read, job_id, place, limit=FIRST if streamed else limit
    )
    if not streamed:
        return answer(_page(batch, str(batch.place)))
    if batch.ended and not batch.events:
        return Response(status_code=204)
    return EventStream(_stream(parts, job_id, batch), parts.seats)


@router.get(
    "/events",
    response_model=EventPage,
    responses={200: stream_response(), **refusals(404, 422, 503)},
)
async def get_events(
    parts: PartsOf,
    *,
    kind: JobKind = JobKind.TRAIN,
    last_event_id: Annotated[str | None, _query(CHANGE_PLACE)] = None,
    last_event_id_header: PlaceInHeader = None,
    limit: Limit = DEFAULT_LIST,
    accept: Accept = "",
) -> Response:
    """Follow all jobs of a kind: the changes of their states, each told once.

    With no id a stream begins with what happens next, and a list is of the newest changes; the id
    0 stands for the beginning.
    """
    known = last_event_id_header or last_event_id
    place = None if known is None else change_place(known)
    if prefers_stream(accept):
        parts.seats.check()
        return EventStream(parts.feed.follow(kind, place), parts.seats)
    if place is None:
        batch = await run_in_threadpool(parts.change_logs.latest, kind, limit=limit)
    else:
        batch = await run_in_threadpool(parts.change_logs.read, kind, place, limit=limit)
    return answer(_page(batch, change_id(batch.place)))


# A stream begins with few events, so that it begins soon.
FIRST = 2


def _page(batch: Batch[Any], last_id: str) -> EventPage:
    return EventPage.model_construct(
        object="list",
        data=list(batch.events),
        has_more=batch.has_more,
        last_id=last_id,
        ended=batch.ended,
    )


async def _stream(parts: Parts, job_id: str, batch: Batch[JobPlace]) -> AsyncIterator[bytes]:
    yield frames(batch.events)
    if not batch.ended:
        async for frame in parts.job_feed.follow(job_id, batch.place):
            yield frame
