"""Predictions of a table's rows, block by block, by the model itself or, where they
are to have intervals, by the server.
"""

import csv
import gzip
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from descend.commands.rows import opened_text
from descend.datasets import NULL_WORDS
from descend.encoding import Encoding, Input, NumericInput, Record, Unseen
from descend.errors import InvalidInput
from descend.models import LinearModel
from descend.predictions import Predictions

if TYPE_CHECKING:
    from descend.client import Client

__all__ = ["predicted", "with_ends"]

Cell = float | bool | str | None

_BLOCK_ROWS = 10_000
_BOOLEANS = {"true": True, "false": False}
_READ_HERE = (
    "CSV, NDJSON, npy, and JSON with rows, columns or X are, also with .gz; Parquet and Arrow where"
    " polars is installed"
)
_FRAMES = {".parquet", ".pq", ".arrow", ".feather", ".ipc", ".arrows"}


def predicted(model: LinearModel, path: Path, *, unseen: Unseen) -> Iterator[list[list[float]]]:
    """Predict a file's rows, in order, a block of rows at a time.

    Raises:
        InvalidInput: when the file cannot be read, a column is missing, or a cell does not fit.
    """
    if _suffix(path) == ".npy":
        yield model.predict(_array(path)).tolist()
        return
    done = 0
    for block in _blocks(_records(model, path)):
        with _numbered(done):
            yield model.predict(model.encode(block, unseen=unseen)).tolist()
        done += len(block)


def with_ends(
    client: "Client", model: LinearModel, path: Path, *, level: float, unseen: Unseen
) -> Iterator[list[list[float]]]:
    """As `predicted`, by the server, each row with the ends of its interval behind: y, low, high.

    Raises:
        InvalidInput: as `predicted`.
        WrongState: when the model has no statistics, which say how wide an interval is.
    """
    if _suffix(path) == ".npy":
        yield _rows(client.predict(str(model.id), _array(path), interval=level))
        return
    done = 0
    for block in _blocks(_records(model, path)):
        columns = {one.name: [record[one.name] for record in block] for one in model.inputs}
        with _numbered(done):
            asked = client.predict(str(model.id), columns, interval=level, unseen=unseen)
        yield _rows(asked)
        done += len(block)


def _rows(told: Predictions) -> list[list[float]]:
    lows, highs = (told.interval.low, told.interval.high) if told.interval else ([], [])
    return [[*y, *low, *high] for y, low, high in zip(told.y, lows, highs, strict=True)]


def _array(path: Path) -> NDArray[np.float64]:
    try:
        with _opened(path) as file:
            return np.asarray(np.load(file, allow_pickle=False), dtype=np.float64)
    except (ValueError, EOFError) as error:
        raise InvalidInput(f"{path.name} holds no numbers: {error}") from None


@contextmanager
def _numbered(done: int) -> Iterator[None]:
    """Say which row of the file is at fault; the first below the header is row 1."""
    try:
        yield
    except InvalidInput as error:
        place = (error.param or "").split(".")
        if len(place) < 2 or not place[1].isdecimal():
            raise
        why = f"row {done + int(place[1]) + 1}: {error}"
        raise InvalidInput(why, param=error.param) from None


def _blocks(records: Iterator[Record]) -> Iterator[list[Record]]:
    try:
        while block := list(islice(records, _BLOCK_ROWS)):
            yield block
    except UnicodeDecodeError:
        raise InvalidInput("the file is not UTF-8") from None
    except EOFError:
        raise InvalidInput("the file ends too early: it was packed in part only") from None


def _suffix(path: Path) -> str:
    """The file's kind, without the .gz that may be behind it."""
    return (path.with_suffix("") if _packed(path) else path).suffix.lower()


def _packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _opened(path: Path) -> IO[bytes]:
    if not _packed(path):
        return path.open("rb")
    return BytesIO(gzip.decompress(path.read_bytes()))  # an npy is read from where it pleases


def _records(model: LinearModel, path: Path) -> Iterator[Record]:
    inputs, suffix = model.inputs, _suffix(path)
    if suffix in {".csv", ".tsv", ".txt"}:
        return _of_csv(path, inputs)
    if suffix in {".ndjson", ".jsonl"}:
        return _of_lines(path, inputs)
    if suffix == ".json":
        return _of_json(path, inputs)
    if suffix in _FRAMES and not _packed(path):
        from descend import frames  # which loads the whole client

        _check_columns(path, frames.names_of(path), inputs)
        return frames.rows_of_file(path, [one.name for one in inputs])
    raise InvalidInput(f"{path.name} cannot be read for predictions: {_READ_HERE}")


def _chosen(rows: Iterable[Record], inputs: list[Input]) -> Iterator[Record]:
    """Leave out what the model does not use: the target, an id."""
    for row in rows:
        yield {column.name: row.get(column.name) for column in inputs}


# --- CSV ---------------------------------------------------------------------------------------


def _of_csv(path: Path, inputs: list[Input]) -> Iterator[Record]:
    with opened_text(path) as file:
        header = file.readline()
        file.seek(0)
        reader = csv.DictReader(file, delimiter=_delimiter(header))
        _check_columns(path, reader.fieldnames or [], inputs)
        for number, row in enumerate(reader, start=1):
            yield {one.name: _cell(one, row[one.name], number) for one in inputs}


def _check_columns(path: Path, names: Iterable[str], inputs: list[Input]) -> None:
    missing = [one.name for one in inputs if one.name not in set(names)]
    if missing:
        raise InvalidInput(f"{path.name} has no column {', '.join(missing[:10])}")


def _delimiter(header: str) -> str:
    """A comma where the header has one, else what it has most of: as the server reads files."""
    return "," if "," in header else max(";\t|,", key=header.count)


def _cell(column: Input, text: str | None, row: int) -> Cell:
    if text is None or text == "" or text in NULL_WORDS:
        return None
    if not isinstance(column, NumericInput):
        return text
    if column.boolean and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(
            f"row {row}: {column.name!r} is a number, {text[:40]!r} is none"
        ) from None


# --- JSON --------------------------------------------------------------------------------------


def _of_lines(path: Path, inputs: list[Input]) -> Iterator[Record]:
    with opened_text(path) as file:
        yield from _chosen((_parsed(line) for line in file if line.strip()), inputs)


def _of_json(path: Path, inputs: list[Input]) -> Iterator[Record]:
    with opened_text(path) as file:
        body = _parsed(file.read())
    columns, rows, X = body.get("columns"), body.get("rows"), body.get("X")
    if isinstance(columns, dict):
        rows = [
            dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)
        ]
    elif isinstance(X, list):
        names = Encoding(inputs=inputs).features
        rows = [dict(zip(names, cells, strict=True)) for cells in X]
    if not isinstance(rows, list):
        raise InvalidInput(f"{path.name} holds no rows: {_READ_HERE}")
    return _chosen(rows, inputs)


def _parsed(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"this is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidInput(f"this is no JSON object: {text[:40]}")
    return body
