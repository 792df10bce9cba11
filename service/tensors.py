"""Tensors of the Open Inference Protocol: JSON or binary on the wire, columns of numpy here.

Binary tensors stand behind the JSON, in its order: numbers little-endian and row by row, each
text with its length in four bytes before it. Every refusal names the tensor.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from descend.datasets import Cell
from descend.errors import InvalidInput

__all__ = ["TEXT", "InputTensor", "Parameters", "binary_parts", "numbers_of", "texts_of"]

TEXT = "BYTES"
TRUTH = "BOOL"
NUMBERS: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("u1"),
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}
LENGTH_BYTES = 4
LONGEST_TEXT = 400

Parameters = dict[str, Cell]
# The first bad cell is enough, as in descend.datasets.
Cells = Annotated[list[Cell], Field(fail_fast=True)]


def _depth_of_data(value: object) -> str:
    return "nested" if isinstance(value, list) and value and isinstance(value[0], list) else "flat"


Data = Annotated[
    Annotated[Cells, Tag("flat")] | Annotated[list[Cells], Field(fail_fast=True), Tag("nested")],
    Discriminator(_depth_of_data),
]


class InputTensor(BaseModel):
    """An input: its data as JSON here, or behind the JSON in `binary_data_size` bytes."""

    model_config = ConfigDict(frozen=True)

    name: str
    shape: list[int] = Field(description="[n_rows, n_columns], or [n_rows] of a single column")
    datatype: str = Field(description=f"{', '.join(NUMBERS)} or {TEXT}")
    parameters: Parameters = {}
    data: Data | None = Field(
        None, description="row by row, flat or nested; null is a missing cell"
    )

    @property
    def n_cells(self) -> int:
        return math.prod(self.shape)

    def refused(self, why: str) -> InvalidInput:
        """Make the refusal of this tensor."""
        return InvalidInput(f"tensor {self.name[:200]!r} {why[:LONGEST_TEXT]}")


def binary_parts(tensors: Sequence[InputTensor], content: bytes) -> dict[str, bytes]:
    """Cut what stands behind the JSON into the data of the tensors that claim some of it."""
    parts: dict[str, bytes] = {}
    place = 0
    for tensor in tensors:
        if "shared_memory_region" in tensor.parameters:
            raise tensor.refused("is in shared memory, which this server does not read")
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            continue
        if isinstance(size, bool) or not isinstance(size, float) or not 0 <= size <= len(content):
            raise tensor.refused("has a binary_data_size that the body does not hold")
        parts[tensor.name] = part = content[place : place + int(size)]
        if len(part) < size:
            raise tensor.refused(f"has {len(part)} bytes left, not its {int(size)}")
        place += int(size)
    if place < len(content):
        raise InvalidInput(f"{len(content) - place} bytes behind the last tensor are nobody's")
    return parts


def numbers_of(tensor: InputTensor, part: bytes | None) -> NDArray[np.float64]:
    """Read numbers as float64, in the tensor's shape; NaN is a missing cell.

    Raises:
        InvalidInput: names the tensor.
    """
    dtype = NUMBERS.get(tensor.datatype)
    if dtype is None:
        raise tensor.refused(f"has datatype {tensor.datatype[:20]!r}, not {', '.join(NUMBERS)}")
    values = _from_json(tensor, dtype) if part is None else _from_bytes(tensor, part, dtype)
    if np.isinf(values).any():
        raise tensor.refused("holds a number that is not finite")
    if tensor.datatype == TRUTH and not np.isin(values, (0, 1)).all():
        raise tensor.refused("holds a byte that is neither 0 nor 1")
    return values.reshape(tensor.shape)


def texts_of(tensor: InputTensor, part: bytes | None) -> NDArray[np.object_]:
    """Read texts as objects, in the tensor's shape; None is a missing cell.

    Raises:
        InvalidInput: names the tensor.
    """
    if tensor.datatype != TEXT:
        raise tensor.refused(f"has datatype {tensor.datatype[:20]!r}; this column is text: {TEXT}")
    texts = _cells(tensor) if part is None else _texts_from_bytes(tensor, part)
    if not all(one is None or isinstance(one, str) for one in texts):
        raise tensor.refused("holds what is not text")
    _check_count(tensor, len(texts))
    column = np.empty(len(texts), dtype=object)
    column[:] = texts
    return column.reshape(tensor.shape)


def _check_count(tensor: InputTensor, found: int) -> None:
    if found != tensor.n_cells:
        raise tensor.refused(f"has {found} values; its shape {tensor.shape} has {tensor.n_cells}")


def _from_bytes(tensor: InputTensor, part: bytes, dtype: np.dtype[Any]) -> NDArray[np.float64]:
    if len(part) != tensor.n_cells * dtype.itemsize:
        raise tensor.refused(
            f"has {len(part)} bytes; its shape {tensor.shape} of {tensor.datatype} takes"
            f" {tensor.n_cells * dtype.itemsize}"
        )
    return np.frombuffer(part, dtype).astype(np.float64)


def _from_json(tensor: InputTensor, dtype: np.dtype[Any]) -> NDArray[np.float64]:
    cells = _cells(tensor)
    kind = bool if tensor.datatype == TRUTH else float
    if not all(one is None or type(one) is kind for one in cells):
        raise tensor.refused("holds what is not a number" if kind is float else "is true or false")
    _check_count(tensor, len(cells))
    values = np.array(cells, dtype=np.float64)  # None becomes NaN
    if tensor.datatype == TRUTH:
        return values
    if dtype.kind in "iu":
        _check_integers(tensor, values, dtype)
        return values
    with np.errstate(over="ignore"):
        return values.astype(dtype).astype(np.float64)  # 0.1 of FP32 is not 0.1


def _check_integers(tensor: InputTensor, values: NDArray[np.float64], dtype: np.dtype[Any]) -> None:
    known = values[~np.isnan(values)]
    if (known != np.floor(known)).any():
        raise tensor.refused(f"holds a number that is no {tensor.datatype}")
    ends = np.iinfo(dtype)
    if (known < ends.min).any() or (known > ends.max).any():
        raise tensor.refused(f"holds a number outside of {tensor.datatype}")


def _cells(tensor: InputTensor) -> Cells:
    if tensor.data is None:
        raise tensor.refused("has neither data nor a binary_data_size")
    flat: Cells = []
    for one in tensor.data:
        flat.extend(one) if isinstance(one, list) else flat.append(one)
    return flat


def _texts_from_bytes(tensor: InputTensor, part: bytes) -> Cells:
    texts: Cells = []
    place = 0
    while place < len(part):
        start = place + LENGTH_BYTES
        place = start + int.from_bytes(part[place:start], "little")
        if start > len(part) or place > len(part):
            raise tensor.refused("ends in the middle of a text")
        try:
            texts.append(part[start:place].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise tensor.refused(f"holds text that is not UTF-8, at {len(texts)}") from error
    return texts
