"""The loss history of a job, while it runs and after: JSON in columns, CSV, or an Arrow stream."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import StreamingResponse

from descend.errors import InvalidInput
from descend.history import COLUMNS, History, HistoryJSON
from descend.limits import MAX_HISTORY_POINTS
from service.dependencies import GUARDS, JobId, Parts, PartsOf
from service.downsampling import downsample, downsample_pieces
from service.history_formats import (
    ARROW,
    CSV,
    JSON,
    arrow_parts,
    csv_lines,
    json_body,
    preferred,
)
from service.openapi import history_response, refusals

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=GUARDS)

PIECE_ROWS = 200_000
FORMATS = {"json": JSON, "csv": CSV, "arrow": ARROW}


@dataclass(frozen=True)
class Selection:
    """Which epochs to show."""

    start: Annotated[
        int, Query(ge=0, le=2**53, description="first stored epoch to show, counted from 0")
    ] = 0
    stop: Annotated[
        int | None, Query(ge=0, le=2**53, description="first one not to show; all by default")
    ] = None
    max_points: Annotated[
        int | None,
        Query(
            ge=2,
            le=MAX_HISTORY_POINTS,
            description="choose at most so many of the epochs, keeping the curve's shape",
        ),
    ] = None
    fields: Annotated[
        str | None,
        Query(
            pattern=f"^({'|'.join(COLUMNS)})(,({'|'.join(COLUMNS)})){{0,5}}$",
            description="columns to show, with commas between, each shown once; all by default",
            examples=["epoch,train_loss"],
        ),
    ] = None

    @property
    def columns(self) -> tuple[str, ...]:
        if self.fields is None:
            return COLUMNS
        return tuple(dict.fromkeys(self.fields.split(",")))


@router.get(
    "/{job_id}/history",
    response_model=HistoryJSON,
    responses={200: history_response(), **refusals(404, 422, 503)},
)
def get_history(
    parts: PartsOf,
    job_id: JobId,
    selection: Annotated[Selection, Depends()],
    *,
    format: Annotated[  # noqa: A002  the word of the wire
        Literal["json", "csv", "arrow"] | None, Query(description="instead of an Accept header")
    ] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """Read the losses by epoch: lists of equal length in JSON, CSV, or an Arrow stream."""
    with parts.database.read() as tx:
        total = tx.jobs.history(job_id, 0, 0).total
    stop = total if selection.stop is None else min(total, selection.stop)
    places = range(selection.start, stop)
    wanted = FORMATS[format] if format else preferred(accept)
    headers = {"x-total": str(total)}
    if wanted != JSON:
        pieces = _pieces(parts, job_id, places, max_points=selection.max_points)
        write = csv_lines if wanted == CSV else arrow_parts
        body: Iterator[str] | Iterator[bytes] = write(pieces, selection.columns)
        return StreamingResponse(body, headers=headers, media_type=wanted)
    if selection.max_points is None and len(places) > MAX_HISTORY_POINTS:
        raise InvalidInput(
            f"{len(places)} epochs are more than {MAX_HISTORY_POINTS}: give max_points, or take"
            " all of them as Arrow or CSV (format=arrow, format=csv)",
            param="max_points",
        )
    history = _history(parts, job_id, places, max_points=selection.max_points)
    return Response(json_body(history, selection.columns), headers=headers, media_type=JSON)


def _history(parts: Parts, job_id: str, places: range, *, max_points: int | None) -> History:
    if max_points is not None and len(places) > PIECE_ROWS:
        pieces = _whole(parts, job_id, places)
        return downsample_pieces(pieces, len(places), max_points=max_points)
    with parts.database.read() as tx:
        history = tx.jobs.history(job_id, places.start, places.stop)
    return history if max_points is None else downsample(history, max_points)


def _pieces(
    parts: Parts, job_id: str, places: range, *, max_points: int | None
) -> Iterator[History]:
    if max_points is None:
        return _whole(parts, job_id, places)
    return iter([_history(parts, job_id, places, max_points=max_points)])


def _whole(parts: Parts, job_id: str, places: range) -> Iterator[History]:
    """Read piece by piece: a history of millions of epochs is never whole in memory."""
    for start in range(places.start, places.stop, PIECE_ROWS):
        with parts.database.read() as tx:
            piece = tx.jobs.history(job_id, start, min(start + PIECE_ROWS, places.stop))
        yield piece
