"""What happens to jobs: a JSON list for who polls, or an event stream."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.concurrency import run_in_threadpool

from descend.events import EventPage
from descend.limits import DEFAULT_LIST
from service.answers import answer
from service.dependencies import GUARDS, JobId, Limit, Parts, PartsOf
from service.feed import Batch, frames
from service.openapi import refusals, stream_response
from service.places import JobPlace
from service.streams import EventStream, prefers_stream

router = APIRouter(prefix="/v1", tags=["events"], dependencies=GUARDS)

LastEventId = Annotated[
    str | None,
    Query(max_length=100, description="a place in the log: what comes after it is told"),
]
LastEventIdHeader = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        max_length=100,
        description="as last_event_id, which it goes before: a browser sends it by itself",
    ),
]
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
    last_event_id: LastEventId = None,
    last_event_id_header: LastEventIdHeader = None,
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
        return answer(_page(batch))
    if batch.ended and not batch.events:
        return Response(status_code=204)
    return EventStream(_stream(parts, job_id, batch), parts.seats)


# A stream begins with few events, so that it begins soon.
FIRST = 2


def _page(batch: Batch[JobPlace]) -> EventPage:
    return EventPage.model_construct(
        object="list",
        data=list(batch.events),
        has_more=batch.has_more,
        last_id=str(batch.place),
        ended=batch.ended,
    )


async def _stream(parts: Parts, job_id: str, batch: Batch[JobPlace]) -> AsyncIterator[bytes]:
    yield frames(batch.events)
    if not batch.ended:
        async for frame in parts.job_feed.follow(job_id, batch.place):
            yield frame
