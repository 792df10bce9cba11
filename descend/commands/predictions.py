"""Predictions of a table's rows, block by block, by the server, which reads files as it reads
uploads: one reader, so that a cell is one thing in training and in prediction.

JSON and npy have no cells to be read: their values go to the server as values.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from descend.commands.pieces import pieces
from descend.encoding import Encoding, Unseen
from descend.errors import InvalidInput
from descend.models import LinearModel
from descend.packing import inner_suffix, opened, opened_text
from descend.predictions import Predictions

if TYPE_CHECKING:
    from descend.client import Client

__all__ = ["Asked", "predicted"]

_BLOCK_ROWS = 10_000
# Where the file does not begin with its names, a piece of it does not begin as the file does.
_WHOLE = frozenset({"comment", "skip_rows", "header"})
_OF_ROWS = re.compile(r"\brows? \d+(?:, \d+)*")


@dataclass(frozen=True)
class Asked:
    """How a table is read and what is asked of its rows."""

    csv_options: Mapping[str, Any]
    interval: float | None
    unseen: Unseen


def predicted(
    client: "Client", model: LinearModel, path: Path, asked: Asked
) -> Iterator[list[list[float]]]:
    """Predict a file's rows, in order; with an interval its ends stand behind: y, low, high.

    Raises:
        InvalidInput: when the file cannot be read, a column is missing, or a cell does not fit.
        WrongState: when the model has no statistics, which say how wide an interval is.
    """
    suffix = inner_suffix(path)
    if suffix in {".npy", ".json"}:
        if asked.csv_options and suffix == ".npy":
            name = next(iter(asked.csv_options))
            raise InvalidInput(f"{name} is for a table with text: leave it out", param=name)
        values = _array(path) if suffix == ".npy" else _values(model, path)
        return _of_values(client, model, values, asked)
    return _of_file(client, model, path, asked)


def _of_file(
    client: "Client", model: LinearModel, path: Path, asked: Asked
) -> Iterator[list[list[float]]]:
    limits = client.limits()
    features, targets = max(1, len(model.features)), len(model.targets)
    most_rows = max(1, min(limits.predictions // targets, limits.encoded_cells // features))
    whole = _WHOLE & asked.csv_options.keys() or asked.csv_options.get("encoding") == "utf-16"
    for done, piece in [(0, path)] if whole else pieces(path, most_rows):
        with _numbered(done):
            told = client.predict(
                str(model.id),
                piece,
                interval=asked.interval,
                unseen=asked.unseen,
                **asked.csv_options,
            )
        yield _rows(told)


def _of_values(
    client: "Client", model: LinearModel, values: Any, asked: Asked
) -> Iterator[list[list[float]]]:
    for done in range(0, max(1, len(values)), _BLOCK_ROWS):
        block = values[done : done + _BLOCK_ROWS]
        if not isinstance(block, np.ndarray):
            block = {one.name: [row.get(one.name) for row in block] for one in model.inputs}
        with _placed(done) if isinstance(block, np.ndarray) else _numbered(done):
            told = client.predict(
                str(model.id),
                block,
                interval=asked.interval,
                unseen=asked.unseen,
                **asked.csv_options,
            )
        yield _rows(told)


def _rows(told: Predictions) -> list[list[float]]:
    if told.interval is None:
        return told.y
    ends = zip(told.y, told.interval.low, told.interval.high, strict=True)
    return [[*y, *low, *high] for y, low, high in ends]


@contextmanager
def _numbered(done: int) -> Iterator[None]:
    """Count the rows that a refusal of a piece names from the beginning of the file."""

    def counted(found: re.Match[str]) -> str:
        return re.sub(r"\d+", lambda number: str(int(number[0]) + done), found[0])

    try:
        yield
    except InvalidInput as error:
        if done == 0:
            raise
        raise type(error)(_OF_ROWS.sub(counted, str(error)), param=error.param) from None


@contextmanager
def _placed(done: int) -> Iterator[None]:
    """Say which row is at fault, where the server says in which place of a block it is."""
    try:
        yield
    except InvalidInput as error:
        place = (error.param or "").split(".")
        if len(place) < 2 or not place[1].isdecimal():
            raise
        why = f"row {done + int(place[1]) + 1}: {error}"
        raise InvalidInput(why, param=error.param) from None


# --- values ------------------------------------------------------------------------------------


def _array(path: Path) -> NDArray[np.float64]:
    try:
        with opened(path) as file:  # an npy is read from where it pleases
            return np.asarray(np.load(BytesIO(file.read()), allow_pickle=False), dtype=np.float64)
    except (ValueError, EOFError) as error:
        raise InvalidInput(f"{path.name} holds no numbers: {error}") from None


def _values(model: LinearModel, path: Path) -> list[dict[str, Any]]:
    """Read a JSON body's records, rows, columns or X as records."""
    body = _parsed(path)
    body = {"rows": body} if isinstance(body, list) else body
    columns, rows, X = body.get("columns"), body.get("rows"), body.get("X")
    try:
        if isinstance(columns, dict):
            cells = zip(*columns.values(), strict=True)
            rows = [dict(zip(columns, row, strict=True)) for row in cells]
        elif isinstance(X, list):
            names = Encoding(inputs=model.inputs).features
            rows = [dict(zip(names, row, strict=True)) for row in X]
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{path.name} is no table: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput(f"{path.name} holds no rows, columns or X")
    missing = [
        one.name for one in model.inputs if rows and not any(one.name in row for row in rows)
    ]
    if missing:
        raise InvalidInput(f"{path.name} has no column {', '.join(missing[:10])}")
    return rows


def _parsed(path: Path) -> dict[str, Any] | list[Any]:
    try:
        with opened_text(path) as file:
            body = json.load(file, parse_constant=_no_number)
    except (ValueError, EOFError) as error:
        raise InvalidInput(f"{path.name} is no JSON: {error}") from None
    if not isinstance(body, dict | list):
        raise InvalidInput(f"{path.name} is no JSON object, and no list of records")
    return body


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")
