"""Predictions as they go out: JSON, lines of CSV, an Arrow stream; a column for each target.

Behind the targets come the ends of their intervals, named as `descend predict` names them.
"""

import csv
from collections.abc import Iterator
from io import StringIO

import numpy as np
from fastapi import Response
from fastapi.responses import StreamingResponse
from numpy.typing import NDArray
from pydantic_core import to_json

from descend.datasets import ColumnType
from descend.errors import InvalidInput
from descend.predictions import Interval, Predictions
from service.history_formats import CSV, JSON, preferred
from service.predictions import Predicted
from storage.arrow_writer import stream_arrow

__all__ = ["prediction_response"]

CSV_ROWS = 10_000


def prediction_response(predicted: Predicted, accept: str) -> Response:
    """Answer in the first form that the Accept header names, else in JSON."""
    wanted = preferred(accept)
    if wanted == JSON:
        return Response(_json_body(predicted), media_type=JSON)
    columns = _columns(predicted)
    body: Iterator[str] | Iterator[bytes]
    if wanted == CSV:
        body = _csv_lines(columns)
    else:
        body = stream_arrow(dict.fromkeys(columns, ColumnType.FLOAT64), [columns])
    return StreamingResponse(body, media_type=wanted)


def _json_body(predicted: Predicted) -> bytes:
    """Write y and the ends of intervals rows by rows into what is written about them."""
    ends = predicted.ends
    body = Predictions.model_construct(
        object="predictions",
        model_id=predicted.model.id or "",
        targets=predicted.model.targets,
        y=[],
        interval=None
        if ends is None
        else Interval.model_construct(
            level=ends.asked.level,
            kind=ends.asked.kind,
            weight=1.0 if ends.asked.kind == "prediction" else None,
            low=[],
            high=[],
        ),
    )
    rest = to_json(body, exclude_none=True)
    parts = []
    tables = {"y": predicted.y} | ({"low": ends.low, "high": ends.high} if ends else {})
    for name, numbers in tables.items():
        # A name or an id may hold anything but these quotes, which are escaped in it.
        before, empty, rest = rest.partition(f'"{name}":[]'.encode())
        parts += [before, empty[:-1], *_json_rows(numbers), b"]"]
    return b"".join([*parts, rest])


def _json_rows(numbers: NDArray[np.float64]) -> Iterator[bytes]:
    for start in range(0, len(numbers), CSV_ROWS):
        rows = to_json(numbers[start : start + CSV_ROWS].tolist())[1:-1]
        yield rows if start == 0 else b"," + rows


def _columns(predicted: Predicted) -> dict[str, NDArray[np.float64]]:
    ends, targets = predicted.ends, predicted.model.targets
    parts = {"": predicted.y} | ({"_low": ends.low, "_high": ends.high} if ends else {})
    columns = {
        f"{target}{end}": values[:, place]
        for end, values in parts.items()
        for place, target in enumerate(targets)
    }
    if len(columns) < len(parts) * len(targets):
        raise InvalidInput(
            "a target has the name of another one's end: take the intervals as JSON", param="level"
        )
    return columns


def _csv_lines(columns: dict[str, NDArray[np.float64]]) -> Iterator[str]:
    """Write numbers so that they are read back bit for bit."""
    header = StringIO()
    csv.writer(header, lineterminator="\n").writerow(columns)
    yield header.getvalue()
    table = list(columns.values())
    for start in range(0, len(table[0]), CSV_ROWS):
        cells = [column[start : start + CSV_ROWS].tolist() for column in table]
        yield "".join(",".join(map(repr, row)) + "\n" for row in zip(*cells, strict=True))
