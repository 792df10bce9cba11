"""Read an Arrow IPC file with numpy alone, record batch by record batch.

A training process must not load a data frame library: polars costs 0.3 s and starts a dozen
threads, which a fork server may not have. What storage.ingest writes is simple enough to be read
here: uncompressed record batches of float64, int64, bool and text. See the Arrow columnar format,
"IPC File Format", and its Schema.fbs, Message.fbs and File.fbs; the words below are theirs.
"""

import itertools
import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descend.datasets import ColumnType
from descend.errors import CorruptArtefact, InvalidDataset

__all__ = ["Batch", "FlatTable", "Table", "flat_root", "open_table", "read_columns"]

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Codes = NDArray[np.int32]

_INT, _FLOAT, _TEXT, _BOOL, _LARGE_TEXT = 2, 3, 5, 6, 20
_BUFFERS = {_INT: 2, _FLOAT: 2, _BOOL: 2, _TEXT: 3, _LARGE_TEXT: 3}
_KINDS = {
    _INT: ColumnType.INT64,
    _FLOAT: ColumnType.FLOAT64,
    _BOOL: ColumnType.BOOL,
    _TEXT: ColumnType.STRING,
    _LARGE_TEXT: ColumnType.STRING,
}


def read_columns(source: Path | bytes, names: Sequence[str]) -> dict[str, Floats]:
    """Read columns of numbers by name, whole.

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
    table = open_table(source)
    for name in names:
        if table.kinds.get(name, ColumnType.STRING) is ColumnType.STRING:
            raise _no_column(name, "numbers")
    return {name: _joined([batch.floats(name) for batch in table.batches]) for name in names}


def open_table(source: Path | bytes) -> "Table":
    """Open a canonical Arrow file, or its bytes, to be read batch by batch.

    Nothing but the footer and the batches' headers is read here; a file is memory-mapped.

    Raises:
        CorruptArtefact: when the file is not one that this house wrote.
    """
    with _corrupt_where_unreadable():
        data = _bytes_of(source)
        footer = _footer(data)
        fields = {field.name: field for field in _fields(footer)}
        batches = tuple(Batch(data, block, fields) for block in _blocks(footer))
    return Table(
        names=tuple(fields),
        kinds={name: _KINDS[field.kind] for name, field in fields.items()},
        n_rows=sum(batch.n_rows for batch in batches),
        batches=batches,
    )


@dataclass(frozen=True)
class Table:
    """A canonical file that is open: its columns in order, and its rows in batches."""

    names: tuple[str, ...]
    kinds: dict[str, ColumnType]
    n_rows: int
    batches: "tuple[Batch, ...]"


class Batch:
    """Some of a table's rows; a column is decoded when it is asked for, and not kept."""

    def __init__(self, data: Bytes, block: tuple[int, int], fields: "dict[str, _Field]") -> None:
        place, metadata_length = block
        message = FlatTable(data.data, _followed(data.data, place + 8))
        header = message.table(2)
        if header is None or header.table(3) is not None:
            raise CorruptArtefact("the Arrow file is compressed")
        self.n_rows = header.number(0, "<q")
        self._data = data
        self._fields = fields
        self._body = place + metadata_length
        self._nodes, n_nodes = header.vector(1)
        self._buffers, n_buffers = header.vector(2)
        if self.n_rows < 0 or n_nodes != len(fields) or n_buffers != _n_buffers(fields):
            raise CorruptArtefact("a record batch is not one of its table")

    def floats(self, name: str) -> Floats:
        """Read a column of numbers: float64, NaN where missing; a read-only view where it can be.

        Raises:
            InvalidDataset: when the column is absent or not numeric.
            CorruptArtefact: when its buffers are not what the header says.
        """
        field = self._number_field(name)
        with _corrupt_where_unreadable():
            column = self._stored(field).astype(np.float64, copy=False)
            present = self._present(field)
            return column if present is None else np.where(present, column, np.nan)

    def stored(self, name: str) -> NDArray[Any]:
        """Read a column of numbers as it is kept: float64, bool, or int64 that is not rounded.

        What stands where a cell is missing means nothing.

        Raises:
            InvalidDataset, CorruptArtefact: as `floats` does.
        """
        field = self._number_field(name)
        with _corrupt_where_unreadable():
            return self._stored(field)

    def n_missing(self, name: str) -> int:
        """Count the missing cells, as the header says."""
        with _corrupt_where_unreadable():
            place = self._nodes + 16 * self._fields[name].node + 8
            return int(struct.unpack_from("<q", self._data.data, place)[0])

    def texts(self, name: str) -> tuple[Codes, list[str]]:
        """Read a column of text as codes into its distinct values.

        Returns:
            codes: int32, n_rows of them, -1 where a cell is missing; and the values in the order
            in which they first appear in this batch.

        Raises:
            InvalidDataset: when the column is absent or no text.
            CorruptArtefact: when its buffers are not what the header says.
        """
        field = self._fields.get(name)
        if field is None or _KINDS[field.kind] is not ColumnType.STRING:
            raise _no_column(name, "text")
        with _corrupt_where_unreadable():
            dtype = "<i8" if field.kind == _LARGE_TEXT else "<i4"
            offsets = self._values(field.first_buffer + 1, dtype, self.n_rows + 1)
            content = self._buffer(field.first_buffer + 2)
            if self.n_rows and (
                offsets[0] < 0 or offsets[-1] > len(content) or (np.diff(offsets) < 0).any()
            ):
                raise CorruptArtefact("a column of text is torn")
            codes, levels = _coded(content.tobytes(), offsets.tolist(), self._present(field))
            return codes, [level.decode("utf-8") for level in levels]

    def first(
        self, name: str, n: int, *, most_bytes: int | None = None
    ) -> list[float | int | bool | str | None]:
        """Give the first n cells of a column of any kind, None where one is missing.

        Args:
            name: of the column.
            n: how many cells.
            most_bytes: a longer text is cut, and is none of those that are not longer.

        Raises:
            CorruptArtefact: when its buffers are not what the header says.
        """
        field, n = self._fields[name], min(n, self.n_rows)
        with _corrupt_where_unreadable():
            cells = self._cells(field, n, most_bytes)
            present = self._present(field)
        if present is None:
            return cells
        return [cell if there else None for cell, there in zip(cells, present[:n], strict=True)]

    def _number_field(self, name: str) -> "_Field":
        field = self._fields.get(name)
        if field is None or _KINDS[field.kind] is ColumnType.STRING:
            raise _no_column(name, "numbers")
        return field

    def _stored(self, field: "_Field") -> NDArray[Any]:
        if field.kind == _BOOL:
            return self._bits(field.first_buffer + 1)
        dtype = "<i8" if field.kind == _INT else "<f8"
        return self._values(field.first_buffer + 1, dtype, self.n_rows)

    def _cells(self, field: "_Field", n: int, most_bytes: int | None) -> list[Any]:
        values = field.first_buffer + 1
        if field.kind == _BOOL:
            bits: list[bool] = self._bits(values)[:n].tolist()
            return bits
        if _KINDS[field.kind] is not ColumnType.STRING:
            dtype = "<i8" if field.kind == _INT else "<f8"
            numbers: list[float | int] = self._values(values, dtype, n).tolist()
            return numbers
        dtype = "<i8" if field.kind == _LARGE_TEXT else "<i4"
        offsets = self._values(values, dtype, n + 1).tolist()
        content = self._buffer(values + 1)
        return [
            _text(content[start:stop], most_bytes) for start, stop in itertools.pairwise(offsets)
        ]

    def _present(self, field: "_Field") -> NDArray[np.bool_] | None:
        n_rows, n_missing = struct.unpack_from(
            "<qq", self._data.data, self._nodes + 16 * field.node
        )
        if n_rows != self.n_rows:
            raise CorruptArtefact("a column is shorter than its batch")
        return self._bits(field.first_buffer) if n_missing else None

    def _bits(self, index: int) -> NDArray[np.bool_]:
        packed = self._values(index, "u1", -(-self.n_rows // 8))
        return np.unpackbits(packed, count=self.n_rows, bitorder="little").astype(np.bool_)

    def _values(self, index: int, dtype: str, n: int) -> NDArray[Any]:
        size = n * np.dtype(dtype).itemsize
        buffer = self._buffer(index)
        if len(buffer) < size:
            raise CorruptArtefact("a column is shorter than its batch")
        return buffer[:size].view(dtype)

    def _buffer(self, index: int) -> Bytes:
        offset, size = struct.unpack_from("<qq", self._data.data, self._buffers + 16 * index)
        start = self._body + offset
        if offset < 0 or size < 0 or start + size > len(self._data):
            raise CorruptArtefact("a column lies outside of its file")
        return self._data[start : start + size]


def _text(content: Bytes, most_bytes: int | None) -> str:
    if most_bytes is None or len(content) <= most_bytes:
        return content.tobytes().decode("utf-8")
    # One byte more than is allowed stays; half a sign becomes one of three bytes, never nothing.
    return content[: most_bytes + 1].tobytes().decode("utf-8", "replace")


def _coded(
    content: bytes, offsets: list[int], present: NDArray[np.bool_] | None
) -> tuple[Codes, list[bytes]]:
    levels: dict[bytes, int] = {}
    codes = np.full(len(offsets) - 1, -1, np.int32)
    rows = range(len(codes)) if present is None else np.flatnonzero(present).tolist()
    found = [
        levels.setdefault(content[offsets[row] : offsets[row + 1]], len(levels)) for row in rows
    ]
    codes[slice(None) if present is None else present] = found
    return codes, list(levels)


def _joined(parts: list[Floats]) -> Floats:
    return parts[0] if len(parts) == 1 else np.concatenate(parts or [np.empty(0)])


def _no_column(name: str, kind: str) -> InvalidDataset:
    return InvalidDataset(f"there is no column of {kind} named {name!r}", param=name)


@contextmanager
def _corrupt_where_unreadable() -> Iterator[None]:
    try:
        yield
    except (struct.error, IndexError, ValueError, UnicodeDecodeError, OverflowError) as error:
        raise CorruptArtefact("the data is no canonical Arrow file") from error


def _bytes_of(source: Path | bytes) -> Bytes:
    if isinstance(source, bytes):
        return np.frombuffer(source, np.uint8)
    with source.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # ValueError when empty
    return np.frombuffer(mapped, np.uint8)


# The footer, a flatbuffer


@dataclass(frozen=True)
class FlatTable:
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

    def table(self, index: int) -> "FlatTable | None":
        place = self._field(index)
        return None if place is None else FlatTable(self.data, _followed(self.data, place))

    def vector(self, index: int) -> tuple[int, int]:
        """Place of the first element, and how many there are."""
        place = self._field(index)
        if place is None:
            return 0, 0
        start = _followed(self.data, place)
        return start + 4, int(struct.unpack_from("<I", self.data, start)[0])

    def tables(self, index: int) -> Iterator["FlatTable"]:
        start, n = self.vector(index)
        for place in range(start, start + 4 * n, 4):
            yield FlatTable(self.data, _followed(self.data, place))

    def text(self, index: int) -> str:
        start, n = self.vector(index)
        return bytes(self.data[start : start + n]).decode("utf-8")


def flat_root(data: bytes) -> FlatTable:
    """Give the table that a flatbuffer is about."""
    view = memoryview(data)
    return FlatTable(view, _followed(view, 0))


def _followed(data: memoryview, place: int) -> int:
    return place + int(struct.unpack_from("<I", data, place)[0])


@dataclass(frozen=True)
class _Field:
    name: str
    kind: int
    first_buffer: int
    node: int


def _footer(data: Bytes) -> FlatTable:
    if data[:6].tobytes() != b"ARROW1" or data[-6:].tobytes() != b"ARROW1":
        raise CorruptArtefact("the data is no Arrow file")
    (size,) = struct.unpack("<i", data[-10:-6].tobytes())
    start = len(data) - 10 - size
    return FlatTable(data.data, _followed(data.data, start))


def _fields(footer: FlatTable) -> Iterator[_Field]:
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


def _n_buffers(fields: dict[str, _Field]) -> int:
    return sum(_BUFFERS[field.kind] for field in fields.values())


def _blocks(footer: FlatTable) -> Iterator[tuple[int, int]]:
    """Where each record batch's metadata begins, and how long it is."""
    start, n = footer.vector(3)
    for place in range(start, start + 24 * n, 24):
        yield struct.unpack_from("<qi", footer.data, place)
