"""What long arrays of a body mean: X, y and weights as float64, records piece by piece."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from descend.datasets import Cell, Cells, CellsOfRow, InlineXY, Matrix, Number
from service.errors import InvalidFields
from service.pieces import LongArray
from service.problems import FieldError

__all__ = ["RECORDS", "put_back", "records"]

T = TypeVar("T")
Floats = NDArray[np.float64]
RECORDS: TypeAdapter[list[dict[str, Cell]]] = TypeAdapter(
    Annotated[list[dict[str, Cell]], Field(fail_fast=True)]
)
_MATRIX: TypeAdapter[list[list[float]]] = TypeAdapter(Matrix)
# Of a table: null is a missing cell, and becomes NaN.
_CELLS: TypeAdapter[list[list[float | None]]] = TypeAdapter(Cells)
_VECTOR: TypeAdapter[list[float | None]] = TypeAdapter(CellsOfRow)
_WEIGHTS: TypeAdapter[list[float | None]] = TypeAdapter(
    Annotated[list[Annotated[Number, Field(ge=0)] | None], Field(fail_fast=True)]
)


class Read(Protocol):
    """Reads a piece of an array: service.bodies.read_piece."""

    def __call__(
        self, piece: bytes, adapter: TypeAdapter[list[T]], *, name: str, first: int
    ) -> list[T]: ...


def put_back(parsed: T, arrays: Mapping[str, LongArray], *, within: str, read: Read) -> T:
    """Put arrays in the place of their first elements, which stand for them in what was parsed.

    Raises:
        InvalidFields: when an element is wrong, or they do not fit each other.
    """
    assert isinstance(parsed, BaseModel)  # noqa: S101  what has long arrays is an object
    holder = getattr(parsed, within) if within else parsed
    prefix = f"{within}." if within else ""
    adapter: TypeAdapter[Any] = _CELLS if isinstance(holder, InlineXY) else _MATRIX

    def floats(name: str, array: LongArray) -> Floats:
        if isinstance(getattr(holder, name)[0], list):
            width = len(getattr(holder, name)[0])
            return np.concatenate(list(_blocks(array, width, prefix + name, read, adapter)))
        return _vector(array, prefix + name, read)

    values = {name: one if name == "rows" else floats(name, one) for name, one in arrays.items()}
    whole = holder.model_copy(update=values)
    if isinstance(whole, InlineXY):
        _hold_together(whole, prefix)
    return parsed.model_copy(update={within: whole}) if within else whole


def records(rows: LongArray, read: Read) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield records, some at a time, with the number of the first."""
    first = 0
    for piece in rows.pieces():
        found = read(piece, RECORDS, name="rows", first=first)
        yield first, found
        first += len(found)


def _vector(array: LongArray, name: str, read: Read) -> Floats:
    adapter = _WEIGHTS if array.name == "sample_weight" else _VECTOR
    parts, first = [], 0
    for piece in array.pieces():
        cells = read(piece, adapter, name=name, first=first)
        parts.append(np.array(cells, dtype=np.float64))
        first += len(parts[-1])
    return np.concatenate(parts)


def _blocks(
    array: LongArray, width: int, name: str, read: Read, adapter: TypeAdapter[Any]
) -> Iterator[Floats]:
    first = 0
    for piece in array.pieces():
        rows = read(piece, adapter, name=name, first=first)
        for i, row in enumerate(rows, first):
            if len(row) != width:
                wrong = f"{array.name}[{i}] has {len(row)} numbers, {array.name}[0] has {width}"
                raise InvalidFields([FieldError(param=name, message=wrong, code="value_error")])
        yield np.array(rows, dtype=np.float64)
        first += len(rows)


def _hold_together(data: InlineXY, prefix: str) -> None:
    try:
        data.refuse_unequal_lengths()
    except PydanticCustomError as error:
        field = prefix + str((error.context or {})["field"])
        wrong = FieldError(param=field, message=error.message(), code=error.type)
        raise InvalidFields([wrong]) from None
