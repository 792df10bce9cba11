"""The loss history of a job, while it runs and after: JSON in columns, or CSV."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from descend.errors import InvalidInput
from descend.history import COLUMNS, History, HistoryJSON
from descend.limits import MAX_HISTORY_POINTS
from service.dependencies import GUARDS, JobId, Parts, PartsOf
from service.downsampling import downsample, downsample_pieces
from service.openapi import csv_response, refusals

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=GUARDS)

CSV = "text/csv; charset=utf-8"
PIECE_ROWS = 200_000
CSV_ROWS = 10_000
HEADER = ",".join(COLUMNS) + "\n"


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


@router.get(
    "/{job_id}/history",
    response_model=HistoryJSON,
    responses={200: csv_response(), **refusals(404, 422, 503)},
)
def get_history(
    parts: PartsOf,
    job_id: JobId,
    selection: Annotated[Selection, Depends()],
    *,
    format: Annotated[  # noqa: A002  the word of the wire
        Literal["json", "csv"] | None, Query(description="instead of an Accept header")
    ] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """Read the losses by epoch: lists of equal length in JSON, or CSV."""
    with parts.database.read() as tx:
        total = tx.jobs.history(job_id, 0, 0).total
    start = selection.start
    stop = total if selection.stop is None else min(total, selection.stop)
    as_csv = format == "csv" or (format is None and _prefers_csv(accept))
    if as_csv and selection.max_points is None:
        lines = _stream(_pieces(parts, job_id, range(start, stop)))
        return StreamingResponse(lines, media_type=CSV)
    if selection.max_points is None and stop - start > MAX_HISTORY_POINTS:
        raise InvalidInput(
            f"{stop - start} epochs are more than {MAX_HISTORY_POINTS}: give max_points, or take"
            " all of them as CSV (format=csv)",
            param="max_points",
        )
    history = _history(parts, job_id, range(start, stop), max_points=selection.max_points)
    if as_csv:
        return Response(HEADER + _lines(history), media_type=CSV)
    return Response(to_json(history.to_json()), media_type="application/json")


def _history(parts: Parts, job_id: str, places: range, *, max_points: int | None) -> History:
    if max_points is not None and len(places) > PIECE_ROWS:
        pieces = _pieces(parts, job_id, places)
        return downsample_pieces(pieces, len(places), max_points=max_points)
    with parts.database.read() as tx:
        history = tx.jobs.history(job_id, places.start, places.stop)
    return history if max_points is None else downsample(history, max_points)


def _pieces(parts: Parts, job_id: str, places: range) -> Iterator[History]:
    """Read piece by piece: a history of millions of epochs is never whole in memory."""
    for start in range(places.start, places.stop, PIECE_ROWS):
        with parts.database.read() as tx:
            piece = tx.jobs.history(job_id, start, min(start + PIECE_ROWS, places.stop))
        yield piece


def _stream(pieces: Iterator[History]) -> Iterator[str]:
    yield HEADER
    for piece in pieces:
        for start in range(0, len(piece), CSV_ROWS):
            yield _lines(piece.take(np.arange(start, min(start + CSV_ROWS, len(piece)))))


def _lines(history: History) -> str:
    body = history.to_json()
    columns = [body[name] for name in COLUMNS]  # type: ignore[literal-required]
    return "".join(
        ",".join("" if cell is None else repr(cell) for cell in row) + "\n"
        for row in zip(*columns, strict=True)
    )


def _prefers_csv(accept: str) -> bool:
    """Take the first media type of the two that is named; weights are not read."""
    for name in accept.split(","):
        kind = name.split(";")[0].strip().lower()
        if kind in {"text/csv", "application/json"}:
            return kind == "text/csv"
    return False
