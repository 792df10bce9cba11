"""CSV files to canonical Arrow files, out of core: nothing here holds the table in memory.

Three passes. The first reads bytes: is this text, of one width, with a header? The second asks of
every column whether all its cells are numbers. The third writes the typed columns. polars alone
would fill short rows, let a single bad cell turn a column into text, and show cells in its errors.
"""

import codecs
import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from descend.datasets import Column, ColumnType
from descend.errors import InvalidDataset
from descend.limits import MAX_COLUMNS, MAX_NAME_LENGTH
from storage.artefacts import no_room_is_storage_full
from storage.profile import COUNTED_ROWS

if TYPE_CHECKING:
    import polars as pl

__all__ = ["CsvTable", "TypedColumns", "read_csv"]

_BLOCK = 2**24
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_MAX_CELL = 1_000_000


@dataclass(frozen=True)
class CsvTable:
    """A CSV file and how it is written."""

    path: Path
    delimiter: str
    null_values: tuple[str, ...]
    decimal: str
    encoding: str


@dataclass(frozen=True)
class TypedColumns:
    """What the columns turned out to be; numeric ones are not yet profiled."""

    n_rows: int
    columns: list[Column]
    warnings: list[str]


def read_csv(table: CsvTable, target: Path, *, batch_cells: int) -> TypedColumns:
    """Write the table's canonical Arrow file to `target`."""
    with no_room_is_storage_full(), _as_utf8(table, target) as (path, quoted):
        names = _header(path, table.delimiter)
        n_rows = (_rows_quoted if quoted else _rows_plain)(path, table.delimiter, len(names))
        if n_rows == 0:
            raise InvalidDataset("the file has a header and no rows")
        return _typed(table, path, names=names, n_rows=n_rows, target=target, cells=batch_cells)


# First pass: bytes


@contextmanager
def _as_utf8(table: CsvTable, target: Path) -> Iterator[tuple[Path, bool]]:
    """Check the bytes; give a path to the text in UTF-8 and whether it has quotes."""
    if codecs.lookup(table.encoding).name == "utf-8":
        yield table.path, _checked(table, None)
        return
    copy = target.with_name(f"{target.name}.utf8")
    try:
        with copy.open("wb") as file:
            quoted = _checked(table, file)
        yield copy, quoted
    finally:
        copy.unlink(missing_ok=True)


def _checked(table: CsvTable, copy: Any) -> bool:
    decoder = codecs.getincrementaldecoder(table.encoding)("strict")
    lines, quoted = 1, False
    with table.path.open("rb") as file:
        while True:
            block = file.read(_BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line = lines + error.object[: error.start].count(b"\n")
                raise InvalidDataset(f"line {line} is not {table.encoding}") from None
            if "\0" in text:
                line = lines + text[: text.index("\0")].count("\n")
                raise InvalidDataset(f"line {line} has a NUL character")
            lines += text.count("\n")
            quoted = quoted or '"' in text
            if copy is not None:
                copy.write(text.encode("utf-8"))
            if not block:
                return quoted


def _header(path: Path, delimiter: str) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            names = next(csv.reader(file, delimiter=delimiter, strict=True), [])
        except csv.Error:
            raise InvalidDataset("the header cannot be read: see its quotes") from None
    if not names:
        raise InvalidDataset("the file is empty: its first line must name the columns")
    if len(names) > MAX_COLUMNS:
        raise InvalidDataset(f"there are {len(names)} columns; at most {MAX_COLUMNS}")
    seen: dict[str, int] = {}
    for place, name in enumerate(names, 1):
        if not name.strip():
            raise InvalidDataset(f"column {place} has no name")
        if len(name) > MAX_NAME_LENGTH:
            raise InvalidDataset(
                f"the name of column {place} is longer than {MAX_NAME_LENGTH} characters"
            )
        if name in seen:
            raise InvalidDataset(f"columns {seen[name]} and {place} have the same name", param=name)
        seen[name] = place
    if all(re.match(_NUMBER, name.strip()) for name in names):
        raise InvalidDataset("the first line holds numbers: it must name the columns")
    return names


def _rows_plain(path: Path, delimiter: str, width: int) -> int:
    """Count the rows of a file without quotes: a line is a row, a delimiter ends a cell."""
    line, rest = 0, b""
    last = 0  # the last line that is not empty
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            block = rest + block
            end = block.rfind(b"\n") + 1
            line, last = _counted(block[:end], delimiter, width=width, line=line, last=last)
            rest = block[end:]
    if rest:
        line, last = _counted(rest + b"\n", delimiter, width=width, line=line, last=last)
    return last - 1


def _counted(lines: bytes, delimiter: str, *, width: int, line: int, last: int) -> tuple[int, int]:
    data = np.frombuffer(lines, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    if not len(ends):
        return line, last
    starts = np.concatenate([[0], ends[:-1] + 1])
    breaks = np.searchsorted(
        np.flatnonzero(data == ord(delimiter)), np.concatenate([starts, ends[-1:]])
    )
    cells = np.diff(breaks) + 1
    length = ends - starts
    empty = (length == 0) | ((length == 1) & (data[starts] == ord("\r")))
    _refuse_ragged(cells, empty, width=width, line=line, last=last)
    filled = np.flatnonzero(~empty)
    return line + len(ends), line + int(filled[-1]) + 1 if len(filled) else last


def _refuse_ragged(
    cells: NDArray[np.intp], empty: NDArray[np.bool_], *, width: int, line: int, last: int
) -> None:
    """Empty lines are fine at the end of the file, and in a table of one column."""
    wrong = np.flatnonzero(~empty & (cells != width))
    if len(wrong):
        place = int(wrong[0])
        raise InvalidDataset(
            f"row {line + place} has {cells[place]} cells, the header names {width} columns"
        )
    filled = np.flatnonzero(~empty)
    if width == 1 or not len(filled):
        return
    gaps = np.flatnonzero(empty[: filled[-1]])
    if last < line or len(gaps):
        row = last + 1 if last < line else line + int(gaps[0]) + 1
        raise InvalidDataset(f"line {row} is empty")


def _rows_quoted(path: Path, delimiter: str, width: int) -> int:
    """Count the rows of a file with quotes, in which a line need not be a row."""
    rows, empty = -1, list[int]()
    csv.field_size_limit(_MAX_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                if not cells:
                    empty.append(reader.line_num)
                    continue
                if empty and width > 1:
                    raise InvalidDataset(f"line {empty[0]} is empty")
                rows += 1 + len(empty)
                empty.clear()
                if len(cells) != width:
                    raise InvalidDataset(
                        f"row {rows} has {len(cells)} cells, the header names {width} columns"
                    )
        except csv.Error:
            raise InvalidDataset(
                f"row {rows + 1} cannot be read: see its quotes, and that no cell has more than"
                f" {_MAX_CELL} characters"
            ) from None
    return rows


# Second and third pass: columns


def _typed(
    table: CsvTable, path: Path, *, names: list[str], n_rows: int, target: Path, cells: int
) -> TypedColumns:
    import polars as pl

    scan = pl.scan_csv(
        path,
        separator=table.delimiter,
        schema=dict.fromkeys(names, pl.String),
        null_values=list(table.null_values) or None,
        n_rows=n_rows,
    )
    try:
        counts = _counts(scan, names, n_rows=n_rows, decimal=table.decimal)
        kinds = {name: _kind(counts, name) for name in names}
        scan.select(_cast(name, kinds[name], decimal=table.decimal) for name in names).sink_ipc(
            target,
            compat_level=pl.CompatLevel.oldest(),
            record_batch_size=max(1, cells // len(names)),
        )
    except pl.exceptions.PolarsError:
        raise InvalidDataset("the file cannot be read as CSV: see its quotes") from None
    columns = [
        Column(
            name=name,
            dtype=kinds[name],
            missing=n_rows - counts[name]["present"],
            distinct=counts[name].get("distinct"),
        )
        for name in names
    ]
    return TypedColumns(n_rows, columns, _warnings(counts, kinds))


Counts = dict[str, dict[str, int]]


def _counts(scan: "pl.LazyFrame", names: list[str], *, n_rows: int, decimal: str) -> Counts:
    """Count each column's cells, numbers and integers; of the others look closer."""
    import polars as pl

    asked: list[pl.Expr] = [pl.len().alias("rows\0")]
    for name in names:
        cell = _cell(name, decimal)
        asked += [
            cell.count().alias(f"present\0{name}"),
            cell.cast(pl.Float64, strict=False).is_finite().sum().alias(f"number\0{name}"),
            cell.cast(pl.Int64, strict=False).count().alias(f"integer\0{name}"),
        ]
    counts = _answers(scan, asked)
    if counts.pop("")["rows"] != n_rows:
        raise InvalidDataset("the rows cannot be told apart: see the quotes inside of cells")
    others = [name for name in names if counts[name]["number"] != counts[name]["present"]]
    for name, more in _answers(scan, _closer(others, n_rows, decimal)).items():
        counts[name] |= more
    return counts


def _closer(names: list[str], n_rows: int, decimal: str) -> "list[pl.Expr]":
    import polars as pl

    asked: list[pl.Expr] = []
    for name in names:
        cell = _cell(name, decimal)
        number = cell.cast(pl.Float64, strict=False).is_finite().fill_null(value=False)
        boolean = cell.str.to_lowercase().is_in(["true", "false"])
        asked += [
            boolean.sum().alias(f"boolean\0{name}"),
            ((cell.is_not_null() & ~number).arg_max() + 1).alias(f"bad_row\0{name}"),
        ]
        if n_rows <= COUNTED_ROWS:
            asked.append(pl.col(name).drop_nulls().n_unique().alias(f"distinct\0{name}"))
    return asked


def _answers(scan: "pl.LazyFrame", asked: "list[pl.Expr]") -> Counts:
    """Ask everything in one pass; an answer is named `what NUL column`."""
    if not asked:
        return {}
    counts: Counts = {}
    for key, value in scan.select(asked).collect(engine="streaming").row(0, named=True).items():
        what, name = key.split("\0", 1)
        counts.setdefault(name, {})[what] = value
    return counts


def _kind(counts: Counts, name: str) -> ColumnType:
    count = counts[name]
    if count["number"] == count["present"]:
        whole = count["integer"] == count["present"] > 0
        return ColumnType.INT64 if whole else ColumnType.FLOAT64
    return ColumnType.BOOL if count["boolean"] == count["present"] else ColumnType.STRING


def _cast(name: str, kind: ColumnType, *, decimal: str) -> "pl.Expr":
    import polars as pl

    cell = _cell(name, decimal)
    if kind is ColumnType.FLOAT64:
        return cell.cast(pl.Float64)
    if kind is ColumnType.INT64:
        return cell.cast(pl.Int64)
    if kind is ColumnType.BOOL:
        return cell.str.to_lowercase() == "true"
    return pl.col(name)


def _cell(name: str, decimal: str) -> "pl.Expr":
    import polars as pl

    cell = pl.col(name).str.strip_chars()
    cell = pl.when(cell != "").then(cell)
    if decimal == ".":
        return cell
    # A point in a file with decimal commas groups thousands: 1.234 must not become 1.234.
    return cell.str.replace(".", "_", literal=True).str.replace(decimal, ".", literal=True)


def _warnings(counts: Counts, kinds: dict[str, ColumnType]) -> list[str]:
    return [
        f"column {name!r} is text: {counts[name]['present'] - counts[name]['number']} of its"
        f" {counts[name]['present']} cells are no numbers, the first in row"
        f" {counts[name]['bad_row']}"
        for name, kind in kinds.items()
        if kind is ColumnType.STRING and counts[name]["number"]
    ]
