"""Predictions of a table's rows, block by block, by the model itself: the table is sent nowhere."""

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from descend.datasets import NULL_WORDS
from descend.encoding import Encoding, Input, NumericInput, Record, Unseen
from descend.errors import InvalidInput
from descend.models import LinearModel

__all__ = ["predicted"]

Cell = float | bool | str | None

_BLOCK_ROWS = 10_000
_BOOLEANS = {"true": True, "false": False}
_READ_HERE = "CSV, NDJSON, npy, and JSON with rows, columns or X are"


def predicted(model: LinearModel, path: Path, *, unseen: Unseen) -> Iterator[list[list[float]]]:
    """Predict a file's rows, in order, a block of rows at a time.

    Raises:
        InvalidInput: when the file cannot be read, a column is missing, or a cell does not fit.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        yield model.predict(np.load(path, allow_pickle=False)).tolist()
        return
    done = 0
    for block in _blocks(_records(model, path, suffix)):
        try:
            X = model.encode(block, unseen=unseen)
        except InvalidInput as error:
            raise InvalidInput(_placed(error, done), param=error.param) from None
        yield model.predict(X).tolist()
        done += len(block)


def _placed(error: InvalidInput, done: int) -> str:
    """Say which row of the file it is; the first below the header is row 1."""
    place = (error.param or "").split(".")
    return f"row {done + int(place[1]) + 1}: {error}" if len(place) > 1 else str(error)


def _blocks(records: Iterator[Record]) -> Iterator[list[Record]]:
    while block := list(islice(records, _BLOCK_ROWS)):
        yield block


def _records(model: LinearModel, path: Path, suffix: str) -> Iterator[Record]:
    inputs = _inputs(model)
    if suffix in {".csv", ".tsv", ".txt"}:
        return _of_csv(path, inputs)
    if suffix in {".ndjson", ".jsonl"}:
        return _of_lines(path, inputs)
    if suffix == ".json":
        return _of_json(path, inputs)
    raise InvalidInput(f"{path.name} cannot be read for predictions: {_READ_HERE}")


def _inputs(model: LinearModel) -> list[Input]:
    if model.encoding is not None:
        return model.encoding.inputs
    return [NumericInput(name=name) for name in model.features]


def _chosen(rows: Iterable[Record], inputs: list[Input]) -> Iterator[Record]:
    """Leave out what the model does not use: the target, an id."""
    for row in rows:
        yield {column.name: row.get(column.name) for column in inputs}


# --- CSV ---------------------------------------------------------------------------------------


def _of_csv(path: Path, inputs: list[Input]) -> Iterator[Record]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = file.readline()
        file.seek(0)
        reader = csv.DictReader(file, delimiter=_delimiter(header))
        missing = [one.name for one in inputs if one.name not in (reader.fieldnames or [])]
        if missing:
            raise InvalidInput(f"{path.name} has no column {', '.join(missing[:10])}")
        for number, row in enumerate(reader, start=1):
            yield {one.name: _cell(one, row[one.name], number) for one in inputs}


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
    with path.open(encoding="utf-8") as file:
        yield from _chosen((_parsed(line) for line in file if line.strip()), inputs)


def _of_json(path: Path, inputs: list[Input]) -> Iterator[Record]:
    body = _parsed(path.read_text(encoding="utf-8"))
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
