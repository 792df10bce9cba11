"""A Parquet file's footer, read before anything of the file is decoded.

A few bytes can claim billions of rows. Here the claims are held against each other, the file's
length and the limit. The footer is Thrift's compact protocol; the field numbers are those of
parquet-format's parquet.thrift (FileMetaData, RowGroup, ColumnChunk, ColumnMetaData).
"""

import struct
from pathlib import Path
from typing import Any

from descend.errors import InvalidDataset
from descend.limits import MAX_COLUMNS
from storage.arrow_schema import ArrowSchema, schema_of_message
from storage.frames import check_size

__all__ = ["check_parquet"]

_MOST_FOOTER = 2**25
_MOST_DEPTH = 32
_REPEATED = 2
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12


def check_parquet(path: Path, most_bytes: int) -> ArrowSchema:
    """Refuse a file whose footer is broken, or claims more than it can hold or than is allowed.

    Returns:
        What polars does not tell of the columns: which are categories, and which UUIDs.

    Raises:
        InvalidDataset: with the reason.
    """
    size = path.stat().st_size
    try:
        footer = _footer(path, size)
        groups = footer.get(4) or []
        n_columns = sum(1 for element in footer[2] if not element.get(5))  # without children
        n_rows = footer[3]
        if n_columns > MAX_COLUMNS:
            raise InvalidDataset(f"there are {n_columns} columns; at most {MAX_COLUMNS}")
        flat = all(element.get(3) != _REPEATED for element in footer[2])
        claimed = sum(_claimed(group, size, flat=flat) for group in groups)
        whole = n_rows == sum(group[3] for group in groups)
        told = ArrowSchema(categories=_categories(footer), unreadable=_uuids(footer[2]))
    except (
        KeyError,
        IndexError,
        ValueError,
        struct.error,
        TypeError,
        AttributeError,
        RecursionError,
    ):
        raise _damaged("its footer cannot be read") from None
    if not whole or n_rows < 0:
        raise _damaged("its row groups have not as many rows as it says")
    check_size(n_rows, n_columns, most_bytes)
    if claimed > most_bytes:
        raise InvalidDataset(f"the Parquet file has more than {most_bytes} bytes when decoded")
    return told


def _categories(footer: dict[int, Any]) -> frozenset[str]:
    """Name the columns that were dictionaries where Arrow wrote the file; it says so."""
    pairs = {pair.get(1): pair.get(2) for pair in footer.get(5) or []}
    return schema_of_message(pairs.get(b"ARROW:schema") or b"").categories


def _uuids(elements: list[dict[int, Any]]) -> dict[str, str]:
    """Name the columns whose logical type is UUID, which polars takes for bytes."""
    found, inner = {}, 0
    for element in elements[1:]:
        if inner == 0 and 14 in (element.get(10) or {}):
            found[element[4].decode()] = "uuid"
        inner = max(0, inner - 1) + (element.get(5) or 0)
    return found


def _damaged(how: str) -> InvalidDataset:
    return InvalidDataset(f"the Parquet file is damaged: {how}")


def _footer(path: Path, size: int) -> dict[int, Any]:
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, size - 8))
        tail = file.read(8)
        if head != b"PAR1" or tail[4:] != b"PAR1" or size < 12:
            encrypted = tail[4:] == b"PARE"
            raise _damaged("it is encrypted" if encrypted else "it has not its first or last bytes")
        (length,) = struct.unpack("<I", tail[:4])
        if length > min(size - 12, _MOST_FOOTER):
            raise _damaged("its footer is longer than it can be")
        file.seek(size - 8 - length)
        return _Compact(file.read(length)).struct(0)


def _claimed(group: dict[int, Any], size: int, *, flat: bool) -> int:
    """Check a row group; return the bytes that its columns have when they are decompressed."""
    claimed = 0
    for chunk in group[1]:
        column = chunk[3]
        values, decoded, stored = column[5], column[6], column[7]
        start = min(column[9], column.get(11) or column[9])
        if min(values, decoded, stored, start, group[3]) < 0 or start + stored > size:
            raise _damaged("a column lies outside of it")
        if flat and values != group[3]:
            raise _damaged("a column has not as many values as its row group has rows")
        claimed += decoded
    return claimed


class _Compact:
    """Thrift's compact protocol: structs as {field number: value}, lists as lists."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def struct(self, depth: int) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while header := self._byte():
            step, kind = header >> 4, header & 15
            number = number + step if step else self._signed()
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _MOST_DEPTH:
            raise _damaged("its footer is nested too deeply")
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind == _BINARY:
            return self._take(self._unsigned())
        if kind == _DOUBLE:
            return self._take(8)
        if kind == _MAP:
            raise _damaged("its footer holds what no footer holds")
        return self._byte() if kind <= _BYTE else self._signed()

    def _list(self, depth: int) -> list[Any]:
        header = self._byte()
        n = header >> 4
        n = self._unsigned() if n == 15 else n
        if n > len(self._data) - self._place:  # each takes a byte at least
            raise _damaged("its footer ends too early")
        return [self._value(header & 15, depth + 1) for _ in range(n)]

    def _take(self, n: int) -> bytes:
        if n > len(self._data) - self._place:
            raise _damaged("its footer ends too early")
        self._place += n
        return self._data[self._place - n : self._place]

    def _byte(self) -> int:
        self._place += 1
        return self._data[self._place - 1]

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise _damaged("its footer holds a number that is too long")

    def _signed(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)
