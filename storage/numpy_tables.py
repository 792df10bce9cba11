"""npy and npz to canonical Arrow files: arrays of numbers, memory-mapped, never a pickle.

An npz is a zip archive: its members are chosen by name, counted while they are inflated, and
written to places that we name.
"""

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from descend.datasets import ColumnType
from descend.errors import InvalidDataset
from descend.limits import MAX_COLUMNS
from storage.arrow_writer import batch_rows, write_arrow
from storage.artefacts import NO_ROOM
from storage.frames import check_size

__all__ = ["read_npy", "read_npz"]

_MAX_HEADER = 10_000
_BLOCK = 2**20
_BAD_HEADER = (ValueError, KeyError, SyntaxError, TypeError, RecursionError, tokenize.TokenError)
_BAD_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,  # zipfile follows a forged offset
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)
_MEMBERS = ("X", "y", "sample_weight")

Array = NDArray[Any]


@dataclass(frozen=True)
class _Named:
    """An array of columns, and what they are called."""

    array: Array
    names: list[str]


def read_npy(path: Path, target: Path, most_bytes: int) -> dict[str, Any]:
    """Write an array's canonical file: n_samples rows, columns x0, x1, …

    Returns:
        Which columns were floats, for the dataset's warnings.

    Raises:
        InvalidDataset: where it is no array of one or two dimensions of numbers, or holds infinity.
    """
    X = _opened(path, "the array")
    part = _Named(X, _numbered("x", X.shape[1]))
    _write([part], target, most_bytes)
    return {"floats": _floats([part])}


def read_npz(path: Path, target: Path, most_bytes: int) -> dict[str, Any]:
    """Write the canonical file of X and y, and of sample_weight where it is there.

    Returns:
        The dataset's default_target and default_weight, and which columns were floats.

    Raises:
        InvalidDataset: where the archive holds anything else, or they do not fit together.
    """
    arrays = _unpacked(path, target.parent, most_bytes)
    X, y, weight = arrays["X"], arrays["y"], arrays.get("sample_weight")
    one = arrays["y"].shape[1] == 1
    parts = [
        _Named(X, _numbered("x", X.shape[1])),
        _Named(y, ["y"] if one else _numbered("y", y.shape[1])),
    ]
    if weight is not None:
        if weight.shape[1] != 1 or not (weight >= 0).all():
            raise InvalidDataset("sample_weight must be one column of weights, >= 0")
        parts.append(_Named(weight, ["sample_weight"]))
    _write(parts, target, most_bytes)
    return {
        "default_target": parts[1].names,
        "default_weight": None if weight is None else "sample_weight",
        "floats": _floats(parts),
    }


def _numbered(letter: str, n: int) -> list[str]:
    if n > MAX_COLUMNS:
        raise InvalidDataset(f"there are {n} columns; at most {MAX_COLUMNS}")
    return [f"{letter}{j}" for j in range(n)]


def _unpacked(path: Path, folder: Path, most_bytes: int) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            _check_members(members, len(archive.infolist()), most_bytes)
            for name, info in members.items():
                with archive.open(info) as packed, (folder / f"{name}.npy").open("wb") as file:
                    _copy(packed, file, info.file_size)
    except _BAD_ARCHIVE as error:
        if isinstance(error, InvalidDataset) or getattr(error, "errno", None) in NO_ROOM:
            raise
        raise InvalidDataset("the npz archive is damaged, or packed in an unusual way") from None
    return {name: _opened(folder / f"{name}.npy", name) for name in members}


def _check_members(members: dict[str, zipfile.ZipInfo], n: int, most_bytes: int) -> None:
    if n != len(members) or not {"X", "y"} <= members.keys() <= set(_MEMBERS):
        raise InvalidDataset(
            "the npz archive must hold X and y, may hold sample_weight, and nothing else"
        )
    if sum(info.file_size for info in members.values()) > most_bytes:
        raise InvalidDataset(f"the npz archive has more than {most_bytes} bytes when inflated")


def _copy(packed: IO[bytes], file: IO[bytes], size: int) -> None:
    copied = 0
    while block := packed.read(_BLOCK):
        copied += len(block)
        if copied > size:
            raise InvalidDataset("the npz archive is damaged")
        file.write(block)


def _opened(path: Path, name: str) -> Array:
    """Map an array of numbers; two dimensions, a vector being one column."""
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            reader = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran, dtype = reader(file, max_header_size=_MAX_HEADER)
        except _BAD_HEADER:
            raise InvalidDataset(f"{name} is no npy array of numbers") from None
        offset = file.tell()
    if dtype.hasobject or dtype.kind not in "biuf" or dtype.itemsize > 8 or dtype.subdtype:
        raise InvalidDataset(f"{name} holds no integers, floats or booleans of at most 64 bits")
    if len(shape) not in (1, 2) or min(shape) <= 0:
        raise InvalidDataset(f"{name} must be one or two dimensions, none of them empty")
    if path.stat().st_size - offset != math.prod(shape) * dtype.itemsize:
        raise InvalidDataset(f"{name} has not as many bytes as its shape says")
    array = np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
    return array.reshape(len(array), -1).view(np.ndarray)


def _write(parts: list[_Named], target: Path, most_bytes: int) -> None:
    n_rows = len(parts[0].array)
    if any(len(part.array) != n_rows for part in parts):
        raise InvalidDataset("X, y and sample_weight have not the same number of rows")
    n_columns = sum(len(part.names) for part in parts)
    if n_columns > MAX_COLUMNS:
        raise InvalidDataset(f"there are {n_columns} columns; at most {MAX_COLUMNS}")
    check_size(n_rows, n_columns, most_bytes)
    kinds = {name: _kind(part.array) for part in parts for name in part.names}
    with target.open("wb") as file:
        write_arrow(file, kinds, _blocks(parts, n_rows, batch_rows(n_columns)))


def _floats(parts: list[_Named]) -> list[str]:
    return [name for part in parts if part.array.dtype.kind == "f" for name in part.names]


def _kind(array: Array) -> ColumnType:
    if array.dtype.kind == "b":
        return ColumnType.BOOL
    if array.dtype.kind == "f" or (
        array.dtype.itemsize == 8 and array.dtype.kind == "u" and array.max() >= 2**63
    ):
        return ColumnType.FLOAT64
    return ColumnType.INT64


def _blocks(parts: list[_Named], n_rows: int, rows: int) -> Iterator[dict[str, Array]]:
    for start in range(0, n_rows, rows):
        block: dict[str, Array] = {}
        for part in parts:
            cells = part.array[start : start + rows]
            if cells.dtype.kind == "f":
                _refuse_infinity(cells, part.names, start)
            block |= zip(part.names, np.ascontiguousarray(cells.T), strict=True)
        yield block


def _refuse_infinity(cells: Array, names: list[str], start: int) -> None:
    endless = np.isinf(cells)
    if endless.any():
        row, column = np.argwhere(endless)[0].tolist()
        raise InvalidDataset(
            f"column {names[column]!r} holds infinity: row {start + row + 1}", param=names[column]
        )
