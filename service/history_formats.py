"""A history as it goes out: lists in JSON, lines of CSV, an Arrow stream; the columns asked for."""

from collections.abc import Iterable, Iterator

import numpy as np
from pydantic_core import to_json

from descend.datasets import ColumnType
from descend.history import COLUMNS, History
from storage.arrow_writer import stream_arrow

__all__ = ["ARROW", "CSV", "JSON", "arrow_parts", "csv_lines", "json_body", "preferred"]

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
CSV_ROWS = 10_000


def json_body(history: History, fields: tuple[str, ...]) -> bytes:
    body = history.to_json()
    left_out = set(COLUMNS) - set(fields)
    return to_json({name: value for name, value in body.items() if name not in left_out})


def csv_lines(pieces: Iterable[History], fields: tuple[str, ...]) -> Iterator[str]:
    """Write a header and then the pieces; a cell that is not finite is empty."""
    yield ",".join(fields) + "\n"
    for piece in pieces:
        for start in range(0, len(piece), CSV_ROWS):
            rows = np.arange(start, min(start + CSV_ROWS, len(piece)))
            yield _lines(piece.take(rows), fields)


def arrow_parts(pieces: Iterable[History], fields: tuple[str, ...]) -> Iterator[bytes]:
    """Write epoch as int64 and the others as float64; NaN is null, infinity itself."""
    kinds = {name: ColumnType.INT64 if name == "epoch" else ColumnType.FLOAT64 for name in fields}
    columns = ({name: getattr(piece, name) for name in fields} for piece in pieces)
    return stream_arrow(kinds, columns)


def preferred(accept: str) -> str:
    """Take the first media type that is named and can be had; weights are not read."""
    for name in accept.split(","):
        kind = name.split(";")[0].strip().lower()
        if kind in {JSON, CSV, ARROW}:
            return kind
    return JSON


def _lines(history: History, fields: tuple[str, ...]) -> str:
    body = history.to_json()
    columns = [body[name] for name in fields]  # type: ignore[literal-required]
    return "".join(
        ",".join("" if cell is None else repr(cell) for cell in row) + "\n"
        for row in zip(*columns, strict=True)
    )
