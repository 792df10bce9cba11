"""From raw columns to the numbers a model is made of, as fitted on the data it was trained on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Discriminator, Field

from descend.errors import InvalidInput

__all__ = ["CategoricalInput", "Encoding", "Input", "NumericInput", "Record", "Unseen"]

Value = float | bool | str | None
Record = Mapping[str, Value]
Unseen = Literal["error", "base"]
MOST_LEVELS_SHOWN = 10


class NumericInput(BaseModel):
    """A column of numbers or booleans: one feature of the same name."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["numeric"] = "numeric"
    name: str
    boolean: bool = Field(False, description="true and false are given for 1 and 0")
    fill: float | None = Field(None, description="for a missing cell; null: there may be none")

    @property
    def features(self) -> list[str]:
        return [self.name]


class CategoricalInput(BaseModel):
    """A column of text: one feature of 0 and 1 for each level but the base.

    A row of the base level is 0 in all of them: what it predicts is in the intercept.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["categorical"] = "categorical"
    name: str
    levels: list[str] = Field(min_length=1, description="sorted; the first is the base level")
    fill: str | None = Field(None, description="the level of a missing cell; null: there is none")

    @property
    def base(self) -> str:
        return self.levels[0]

    @property
    def features(self) -> list[str]:
        return [f"{self.name}={level}" for level in self.levels[1:]]


Input = Annotated[NumericInput | CategoricalInput, Discriminator("kind")]


class Encoding(BaseModel):
    """How records become rows of the design matrix, in the order of the model's features.

    Example:
        >>> encoding = Encoding(inputs=[CategoricalInput(name="c", levels=["a", "b"])])
        >>> encoding.encode([{"c": "b"}, {"c": "a"}])
        array([[1.],
               [0.]])
    """

    model_config = ConfigDict(frozen=True)

    inputs: list[Input] = Field(min_length=1)

    @property
    def features(self) -> list[str]:
        """Names of the columns that come out, e.g. `age` and `city=Rome`."""
        return [feature for column in self.inputs for feature in column.features]

    @property
    def is_plain(self) -> bool:
        """Whether the columns are numbers, taken as they are."""
        return all(
            isinstance(one, NumericInput) and one.fill is None and not one.boolean
            for one in self.inputs
        )

    def encode(
        self, records: Sequence[Record], *, unseen: Unseen = "error", first_row: int = 0
    ) -> NDArray[np.float64]:
        """Compute the design matrix of raw records.

        Args:
            records: each with a value for every input and nothing else; None is a missing cell.
            unseen: what becomes of a level that was not in the training data: an error, or the
                base level.
            first_row: the number of the first record, for refusals.

        Returns:
            Shape (n_records, n_features), float64.

        Raises:
            InvalidInput: names the record and the column.
        """
        X = np.zeros((len(records), len(self.features)))
        for column, block in self._blocks(X):
            cells = [record.get(column.name) for record in records]
            if isinstance(column, NumericInput):
                block[:, 0] = _numbers(column, cells, first_row=first_row)
            else:
                _fill_levels(block, column, cells, unseen=unseen, first_row=first_row)
        _refuse_unknown(records, {column.name for column in self.inputs}, first_row=first_row)
        return X

    def encode_columns(
        self,
        columns: Mapping[str, NDArray[Any]],
        *,
        unseen: Unseen = "error",
        first_row: int = 0,
    ) -> NDArray[np.float64]:
        """Compute the design matrix of whole columns: many rows, without a record for each.

        Args:
            columns: a column for every input, each of shape (n_rows,): numbers as float64, where
                NaN is a missing cell; anything else as objects, as in a record: None is one.
            unseen: as in `encode`.
            first_row: the number of the first row, for refusals.

        Returns:
            Shape (n_rows, n_features), float64.

        Raises:
            InvalidInput: names the row and the column.
        """
        X = np.zeros((len(columns[self.inputs[0].name]), len(self.features)))
        for column, block in self._blocks(X):
            cells = columns[column.name]
            if isinstance(column, NumericInput) and cells.dtype == object:
                block[:, 0] = _numbers(column, cells.tolist(), first_row=first_row)
            elif isinstance(column, NumericInput):
                block[:, 0] = _filled(column, cells, first_row=first_row)
            else:
                _fill_levels(block, column, cells.tolist(), unseen=unseen, first_row=first_row)
        return X

    def _blocks(
        self, X: NDArray[np.float64]
    ) -> Iterator[tuple[NumericInput | CategoricalInput, NDArray[np.float64]]]:
        """Each input with the columns of X that are its features."""
        place = 0
        for column in self.inputs:
            width = len(column.features)
            yield column, X[:, place : place + width]
            place += width


def _numbers(column: NumericInput, cells: Sequence[Value], *, first_row: int = 0) -> list[float]:
    return [_number(column, place, cell) for place, cell in enumerate(cells, first_row)]


def _number(column: NumericInput, place: int, value: Value) -> float:
    if value is None and column.fill is not None:
        return column.fill
    if value is None:
        raise InvalidInput(f"feature {column.name!r} is missing", param=_param(place, column.name))
    if isinstance(value, str) or (isinstance(value, bool) and not column.boolean):
        raise InvalidInput(f"feature {column.name!r} is a number", param=_param(place, column.name))
    return float(value)


def _filled(
    column: NumericInput, cells: NDArray[np.float64], *, first_row: int
) -> NDArray[np.float64]:
    missing = np.isnan(cells)
    if not missing.any():
        return cells
    if column.fill is None:
        place = first_row + int(np.flatnonzero(missing)[0])
        raise InvalidInput(f"feature {column.name!r} is missing", param=_param(place, column.name))
    return np.where(missing, column.fill, cells)


def _fill_levels(
    block: NDArray[np.float64],
    column: CategoricalInput,
    cells: Sequence[object],
    *,
    unseen: Unseen,
    first_row: int = 0,
) -> None:
    places = {level: i for i, level in enumerate(column.levels)}
    for i, value in enumerate(cells, first_row):
        level = column.fill if value is None else value
        if level is None:
            raise InvalidInput(f"feature {column.name!r} is missing", param=_param(i, column.name))
        if not isinstance(level, str):
            raise InvalidInput(
                f"feature {column.name!r} has a level that the model was not trained on: levels are"
                " text, also those of numbers",
                param=_param(i, column.name),
            )
        known = places.get(level)
        if known is None and unseen == "error":
            raise InvalidInput(
                f"feature {column.name!r} has a level that the model was not trained on; it knows"
                f' {_listed(column.levels)}. With "unseen": "base" it counts as the base level',
                param=_param(i, column.name),
            )
        if known:
            block[i - first_row, known - 1] = 1.0


def _refuse_unknown(records: Sequence[Record], names: set[str], *, first_row: int) -> None:
    for i, record in enumerate(records, first_row):
        for name in record:
            if name not in names:
                raise InvalidInput("the model has no such feature", param=_param(i, name[:100]))


def _param(place: int, name: str) -> str:
    return f"rows.{place}.{name}"


def _listed(levels: Sequence[str]) -> str:
    shown = ", ".join(levels[:MOST_LEVELS_SHOWN])
    return shown if len(levels) <= MOST_LEVELS_SHOWN else f"{shown}, …"
