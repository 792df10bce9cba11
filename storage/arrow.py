"""Read numeric columns of an Arrow IPC file into float64 arrays, with numpy alone.

A training process must not load a data frame library: polars costs 0.3 s and starts a dozen
threads, which a fork server may not have. What storage.ingest writes is simple enough to be read
here: uncompressed record batches of float64, int64, bool and text. See the Arrow columnar format,
"IPC File Format", and its Schema.fbs, Message.fbs and File.fbs; the words below are theirs.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from descend.errors import CorruptArtefact, InvalidDataset

__all__ = ["read_columns"]

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]

_INT, _FLOAT, _TEXT, _BOOL, _LARGE_TEXT = 2, 3, 5, 6, 20
_BUFFERS = {_INT: 2, _FLOAT: 2, _BOOL: 2, _TEXT: 3, _LARGE_TEXT: 3}


def read_columns(source: Path | bytes, names: Sequence[str]) -> dict[str, Floats]:
    """Read columns by name.

    Args:
        source: a canonical Arrow file, or its bytes; a file is memory-mapped.
        names: float64, int64 or bool columns.

    Returns:
        float64 arrays of n_rows each, read-only where they are views of the file; NaN where a
        cell is missing.

    Raises:
        InvalidDataset: when a column is absent or not numeric.
        CorruptArtefact: when the file is not one that this house wrote.
    """
    if isinstance(source, Path) and source.stat().st_size > 0:
        data: Bytes = np.memmap(source, np.uint8, "r")
    else:
        data = np.frombuffer(source if isinstance(source, bytes) else b"", np.uint8)
    try:
        footer = _footer(data)
        fields = {field.name: field for field in _fields(footer)}
        for name in names:
            if name not in fields or not fields[name].is_numeric:
                raise InvalidDataset(f"there is no column of numbers named {name!r}", param=name)
        batches = [_Batch(data, *block) for block in _blocks(footer)]
        return {name: _column(batches, fields[name]) for name in names}
    except (struct.error, IndexError, ValueError, UnicodeDecodeError) as error:
        if isinstance(error, InvalidDataset):
            raise
        raise CorruptArtefact("the data is no canonical Arrow file") from error


@dataclass(frozen=True)
class _Table:
    """A flatbuffers table: fields are found through its vtable; absent ones are None."""

    data: memoryview
    place: int

    def _field(self, index: int) -> int | None:
        (back,) = struct.unpack_from("<i", self.data, self.place)
        vtable = self.place - back
        (size,) = struct.unpack_from("<H", self.data, vtable)
        if 4 + 2 * index >= size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, vtable + 4 + 2 * index)
        return self.place + offset if offset else None

    def number(self, index: int, code: str, default: int = 0) -> int:
        place = self._field(index)
        return default if place is None else int(struct.unpack_from(code, self.data, place)[0])

    def table(self, index: int) -> "_Table | None":
        place = self._field(index)
        return None if place is None else _Table(self.data, _followed(self.data, place))

    def vector(self, index: int) -> tuple[int, int]:
        """Place of the first element, and how many there are."""
        place = self._field(index)
        if place is None:
            return 0, 0
        start = _followed(self.data, place)
        return start + 4, int(struct.unpack_from("<I", self.data, start)[0])

    def tables(self, index: int) -> Iterator["_Table"]:
        start, n = self.vector(index)
        for place in range(start, start + 4 * n, 4):
            yield _Table(self.data, _followed(self.data, place))

    def text(self, index: int) -> str:
        start, n = self.vector(index)
        return bytes(self.data[start : start + n]).decode("utf-8")


def _followed(data: memoryview, place: int) -> int:
    return place + int(struct.unpack_from("<I", data, place)[0])


@dataclass(frozen=True)
class _Field:
    name: str
    kind: int
    first_buffer: int
    node: int

    @property
    def is_numeric(self) -> bool:
        return self.kind in {_INT, _FLOAT, _BOOL}


def _footer(data: Bytes) -> _Table:
    if data[:6].tobytes() != b"ARROW1" or data[-6:].tobytes() != b"ARROW1":
        raise CorruptArtefact("the data is no Arrow file")
    (size,) = struct.unpack("<i", data[-10:-6].tobytes())
    start = len(data) - 10 - size
    return _Table(data.data, _followed(data.data, start))


def _fields(footer: _Table) -> Iterator[_Field]:
    schema = footer.table(1)
    if schema is None:
        raise CorruptArtefact("the Arrow file has no schema")
    buffers = 0
    for node, field in enumerate(schema.tables(1)):
        kind = field.number(2, "<B")
        if kind not in _BUFFERS:
            raise CorruptArtefact("the Arrow file has a column of an unknown type")
        yield _Field(field.text(0), kind, buffers, node)
        buffers += _BUFFERS[kind]


def _blocks(footer: _Table) -> Iterator[tuple[int, int]]:
    """Where each record batch's metadata begins, and how long it is."""
    start, n = footer.vector(3)
    for place in range(start, start + 24 * n, 24):
        yield struct.unpack_from("<qi", footer.data, place)


class _Batch:
    """A record batch: for each column a node (rows, missing) and buffers in the body."""

    def __init__(self, data: Bytes, place: int, metadata_length: int) -> None:
        header = _Table(data.data, _followed(data.data, place + 8)).table(2)
        if header is None or header.table(3) is not None:
            raise CorruptArtefact("the Arrow file is compressed")
        self._data = data
        self._header = header
        self._body = place + metadata_length
        self._nodes, _ = header.vector(1)
        self._buffers, _ = header.vector(2)

    def column(self, field: _Field) -> Floats:
        n_rows, n_missing = struct.unpack_from(
            "<qq", self._data.data, self._nodes + 16 * field.node
        )
        values = self._buffer(field.first_buffer + 1)
        if field.kind == _BOOL:
            column = _bits(values, n_rows).astype(np.float64)
        else:
            stored = values[: 8 * n_rows].view("<i8" if field.kind == _INT else "<f8")
            column = stored.astype(np.float64, copy=False)
        if n_missing:
            present = _bits(self._buffer(field.first_buffer), n_rows)
            column = np.where(present, column, np.nan)
        return column

    def _buffer(self, index: int) -> Bytes:
        offset, size = struct.unpack_from("<qq", self._data.data, self._buffers + 16 * index)
        return self._data[self._body + offset : self._body + offset + size]


def _bits(packed: Bytes, n: int) -> NDArray[np.bool_]:
    return np.unpackbits(packed, count=n, bitorder="little").astype(np.bool_)


def _column(batches: Sequence[_Batch], field: _Field) -> Floats:
    parts = [batch.column(field) for batch in batches]
    return parts[0] if len(parts) == 1 else np.concatenate(parts or [np.empty(0)])
