"""NDJSON to canonical Arrow files: a row a line, the rules of inline columns, any length.

The file is read twice: once to learn what every column is, once to write it. polars is not asked,
because it turns a column in which numbers meet text into text.
"""

import json
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from descend.datasets import ColumnType
from descend.errors import InvalidDataset
from descend.limits import MAX_COLUMNS
from descend.unreadable import nested_type, unreadable_because
from storage.arrow_writer import Cells, batch_rows, write_arrow
from storage.csv_text import MAX_CELL, check_names

__all__ = ["read_ndjson"]

_MAX_LINE = 2**26
_KINDS = {bool: ColumnType.BOOL, str: ColumnType.STRING}

Row = dict[str, Any]


def read_ndjson(path: Path, target: Path, *, only: Collection[str] | None = None) -> dict[str, str]:
    """Write an NDJSON file's canonical Arrow file to `target`.

    Args:
        path: of the file.
        target: of what is written.
        only: columns that are wanted; nobody looks at the others.

    Returns:
        The columns with lists or objects in them, which are not in the canonical file, and their
        types.

    Raises:
        InvalidDataset: about a line that is no object, or a column that mixes cells of several
            types; it names the line or the row.
    """
    columns: dict[str, _Seen] = {}
    n_rows = 0
    for n_rows, row in _rows(path):
        for name, cell in _wanted(row, only).items():
            if name not in columns:
                if len(columns) == MAX_COLUMNS:
                    raise InvalidDataset(f"there are more than {MAX_COLUMNS} columns")
                columns[name] = _Seen()
            columns[name].add(cell, name, n_rows)
    if n_rows == 0:
        raise InvalidDataset("the file has no rows")
    check_names(list(columns))
    unreadable = {name: seen.nested for name, seen in columns.items() if seen.nested}
    kinds = {name: seen.kind for name, seen in columns.items() if name not in unreadable}
    if unreadable and not kinds:
        name, type_ = next(iter(unreadable.items()))
        raise InvalidDataset(unreadable_because(name, type_), param=name)
    with target.open("wb") as file:
        write_arrow(file, kinds, _parts(path, kinds))
    return unreadable


def _wanted(row: Row, only: Collection[str] | None) -> Row:
    return row if only is None else {name: row[name] for name in only if name in row}


@dataclass
class _Seen:
    """What the cells of a column have been so far."""

    first: type | None = None
    whole: bool = field(default=True)
    nested: str | None = None  # the type of a column that holds lists or objects

    def add(self, cell: object, name: str, row: int) -> None:
        if cell is None or self.nested:
            return
        self.nested = nested_type(cell)
        if self.nested:
            return
        kind = float if type(cell) is int else type(cell)
        if self.first is None:
            self.first = kind
        elif self.first is not kind:
            _refuse(name, row, "is of another type than the cells before: they mix")
        if kind is float:
            self.whole = self.whole and type(cell) is int and -(2**63) <= cell < 2**63
            _check_number(cell, name, row)
        elif isinstance(cell, str):
            _check_text(cell, name, row)

    @property
    def kind(self) -> ColumnType:
        if self.first in _KINDS:
            return _KINDS[self.first]
        return ColumnType.INT64 if self.whole and self.first else ColumnType.FLOAT64


def _check_number(cell: Any, name: str, row: int) -> None:
    try:
        finite = math.isfinite(cell)
    except OverflowError:
        finite = False
    if not finite:
        _refuse(name, row, "is too large a number")


def _check_text(cell: str, name: str, row: int) -> None:
    if len(cell) > MAX_CELL:
        _refuse(name, row, f"has more than {MAX_CELL} characters")
    if "\0" in cell:
        _refuse(name, row, "has a NUL character")
    if not cell.isascii() and any("\ud800" <= sign <= "\udfff" for sign in cell):
        _refuse(name, row, "has half of a surrogate pair")


def _refuse(name: str, row: int, what: str) -> NoReturn:
    raise InvalidDataset(f"row {row} of column {name!r} {what}", param=name)


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Give each row with its number; empty lines are none."""
    row = 0
    with path.open("rb") as file:
        for line_number in range(1, 2**63):
            line = file.readline(_MAX_LINE)
            if not line:
                return
            if len(line) == _MAX_LINE and not line.endswith(b"\n"):
                raise InvalidDataset(f"line {line_number} has more than {_MAX_LINE} bytes")
            if line.strip():
                row += 1
                yield row, _object(line, line_number)


def _object(line: bytes, number: int) -> Row:
    try:
        row = json.loads(
            line.decode("utf-8-sig"), object_pairs_hook=_members, parse_constant=_constant
        )
    except UnicodeDecodeError:
        raise InvalidDataset(f"line {number} is not utf-8") from None
    except RecursionError:
        raise InvalidDataset(f"line {number} is nested too deeply") from None
    except _NotJson as error:
        raise InvalidDataset(f"line {number} {error}") from None
    except ValueError:  # no JSON, or an integer of more than 4300 digits
        raise InvalidDataset(f"line {number} is not JSON: each line must be an object") from None
    if not isinstance(row, dict):
        raise InvalidDataset(f"line {number} is no object: each line must be one, a row")
    return row


class _NotJson(Exception):
    """What json reads and JSON does not know."""


def _members(pairs: list[tuple[str, Any]]) -> Row:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _NotJson("names a column twice")
    return members


def _constant(_: str) -> NoReturn:
    raise _NotJson("holds NaN or Infinity, which JSON has not: send null for a missing cell")


def _parts(path: Path, kinds: dict[str, ColumnType]) -> Iterator[dict[str, Cells]]:
    most = batch_rows(len(kinds))
    part: list[Row] = []
    for _, row in _rows(path):
        part.append(row)
        if len(part) == most:
            yield _columns(part, kinds)
            part = []
    if part:
        yield _columns(part, kinds)


def _columns(rows: list[Row], kinds: dict[str, ColumnType]) -> dict[str, Cells]:
    nothing = dict.fromkeys(ColumnType) | {ColumnType.FLOAT64: math.nan}
    columns: dict[str, Cells] = {}
    for name, kind in kinds.items():
        cells = [row.get(name) for row in rows]
        columns[name] = [nothing[kind] if cell is None else cell for cell in cells]
    return columns
