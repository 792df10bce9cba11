"""What a model says of rows: from the columns of a file to X, from X to y and its intervals."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from descend.datasets import Cell, ColumnType, Number, TableCell
from descend.encoding import Encoding, Input, NumericInput, Unseen
from descend.errors import InvalidInput
from descend.limits import MAX_ENCODED_CELLS, MAX_PREDICTIONS
from descend.models import LinearModel
from descend.unreadable import nested_type, unreadable_because
from service.summaries import interval_reach
from storage.arrow import Batch, Table
from storage.models import KnownStatistics

__all__ = [
    "AskedInterval",
    "Ends",
    "Predicted",
    "columns_of",
    "design_of",
    "design_of_records",
    "predicted_of",
    "refuse_too_many",
]

Floats = NDArray[np.float64]


class AskedInterval(BaseModel):
    """Which interval to give about each prediction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Annotated[Number, Field(gt=0, lt=1)] = 0.95
    kind: Literal["prediction", "mean"] = Field(
        "prediction", description="of a new observation of weight 1, or of the mean"
    )


@dataclass(frozen=True)
class Ends:
    """The ends of an interval about each prediction; shapes as y."""

    asked: AskedInterval
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Predicted:
    """What a model says: y of shape (n_rows, n_targets)."""

    model: LinearModel
    y: Floats
    ends: Ends | None


def predicted_of(
    model: LinearModel,
    X: ArrayLike,
    known: KnownStatistics | None,
    asked: AskedInterval | None,
    *,
    first_row: int = 0,
) -> Predicted:
    """Compute the predictions of a design matrix, between their ends where these are asked for.

    Args:
        model: the model.
        X: shape (n_rows, n_features).
        known: the model's statistics, for intervals.
        asked: which interval, if any.
        first_row: the number of the first row, for refusals.

    Raises:
        InvalidInput: when a prediction or an end is too large to write.
        Conflict: with the reason, where there is no interval.
    """
    if isinstance(X, list) and not X:
        X = np.empty((0, len(model.features)))
    y = _finite(model, X, first_row)
    return Predicted(model, y, _ends(asked, known, X, y) if asked else None)


def refuse_too_many(model: LinearModel, n_rows: int, param: str) -> None:
    """A row may be two bytes, and what becomes of it thousands of numbers."""
    n_features, n_targets = len(model.features), len(model.targets)
    if n_rows * n_features > MAX_ENCODED_CELLS or n_rows * n_targets > MAX_PREDICTIONS:
        raise InvalidInput(
            f"{n_rows} rows of {n_features} features and {n_targets} targets are too many for one"
            " request: send fewer at a time",
            param=param,
        )


def columns_of(model: LinearModel) -> dict[str, ColumnType | None]:
    """Say which columns of a file a model needs, and as what they are to be read.

    What stands in a CSV alone does not say: 0815 is a number, if it is no level.
    """
    return {column.name: _kind(column) for column in model.inputs}


def _kind(column: Input) -> ColumnType | None:
    if isinstance(column, NumericInput):
        return None if column.boolean else ColumnType.FLOAT64
    return ColumnType.STRING


def design_of(model: LinearModel, table: Table, *, unseen: Unseen) -> Floats:
    """Compute the design matrix of a file, as of the same rows in JSON.

    All of it at once: one product gives the same bits as one product of those rows.

    Raises:
        InvalidInput: names the column, and the row as an upload's errors do, from 1.
    """
    refuse_too_many(model, table.n_rows, "rows")
    encoding = Encoding.model_construct(inputs=model.inputs)
    X = np.empty((table.n_rows, len(model.features)))
    row = 0
    for batch in table.batches:
        columns = {one.name: _cells(batch, table.kinds[one.name], one) for one in model.inputs}
        with _numbered_from_one():
            X[row : row + batch.n_rows] = encoding.encode_columns(
                columns, unseen=unseen, first_row=row
            )
        row += batch.n_rows
    return X


def design_of_records(
    model: LinearModel, records: Sequence[Mapping[str, TableCell]], *, unseen: Unseen
) -> Floats:
    """Compute the design matrix of a table of records; columns nobody asks for may be there.

    Raises:
        InvalidInput: as `design_of` does, and where no record has a column.
    """
    refuse_too_many(model, len(records), "rows")
    names = [one.name for one in model.inputs]
    for name in names:
        if not any(name in record for record in records):
            raise InvalidInput(f"no record has a column {name!r}", param=name)
    rows = [{name: _plain(record.get(name), name) for name in names} for record in records]
    with _numbered_from_one():
        return model.encode(rows, unseen=unseen)


def _plain(cell: TableCell, name: str) -> Cell:
    if isinstance(cell, list | dict):
        raise InvalidInput(unreadable_because(name, nested_type(cell) or ""), param=name)
    return cell


def _cells(batch: Batch, kind: ColumnType, column: Input) -> NDArray[Any]:
    """Give numbers as such where the model takes them; anything else as JSON would hold it."""
    taken = {ColumnType.FLOAT64, ColumnType.INT64}
    if isinstance(column, NumericInput) and column.boolean:
        taken.add(ColumnType.BOOL)
    if isinstance(column, NumericInput) and kind in taken:
        return batch.floats(column.name)
    cells = np.empty(batch.n_rows, dtype=object)
    cells[:] = batch.first(column.name, batch.n_rows, most_bytes=_longest_level(column))
    return cells


def _longest_level(column: Input) -> int:
    """A file may hold gigabytes of longer texts, which are no levels however they go on."""
    levels = [] if isinstance(column, NumericInput) else column.levels
    return max((len(level.encode()) for level in levels), default=0)


@contextmanager
def _numbered_from_one() -> Iterator[None]:
    """A record of JSON has a place, a row of a file has a number, which its errors tell."""
    try:
        yield
    except InvalidInput as error:
        _, place, name = (error.param or "").split(".", 2)
        raise InvalidInput(f"row {int(place) + 1}: {error}", param=name) from None


def _finite(model: LinearModel, X: ArrayLike, first_row: int) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        y = model.predict(X)
    if not np.isfinite(y).all():
        row = first_row + int(np.flatnonzero(~np.isfinite(y).all(axis=1))[0])
        raise InvalidInput(f"row {row} predicts a number too large to write", param="X")
    return y


def _ends(asked: AskedInterval, known: KnownStatistics | None, X: ArrayLike, y: Floats) -> Ends:
    with np.errstate(over="ignore", invalid="ignore"):
        at = np.asarray(X, dtype=np.float64)
        reach = interval_reach(known, at, level=asked.level, of_mean=asked.kind == "mean")
        low, high = y - reach, y + reach
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise InvalidInput("an interval has an end too large to write", param="X")
    return Ends(asked, low, high)
