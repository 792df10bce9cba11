"""CSV files to canonical Arrow files, out of core: nothing here holds the table in memory.

The quick way: the first rows say what the columns are, and one streaming pass reads the rest as
exactly that, straight into the canonical file. polars refuses there what is no such cell. Then the
careful way begins: all cells as text, counted column by column, so that a refusal can name the
column and the rows. What a column is never depends on the way. (docs/decisions/0006)
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from descend.datasets import NULL_WORDS, ColumnType
from descend.errors import InvalidDataset
from storage.arrow import open_table
from storage.arrow_writer import batch_rows
from storage.cells import (
    as_boolean,
    as_number,
    first_rows,
    refuse_numbers_in_text,
    refuse_unfit_text,
)
from storage.csv_text import (
    as_utf8,
    count_rows,
    first_lines,
    found_delimiter,
    glance,
    read_header,
    refuse_missing,
)

if TYPE_CHECKING:
    import polars as pl

__all__ = ["NULL_WORDS", "CsvForm", "read_csv"]

_HEAD_ROWS = 5000


@dataclass(frozen=True)
class CsvForm:
    """How a CSV file is written, and what is known of its columns.

    Attributes:
        kinds: columns that must be there, with what they are; None: numbers, or true and false.
        only: the others are not asked for: they are kept as the text they are.
    """

    delimiter: str | None = None
    null_values: tuple[str, ...] | None = None
    decimal: str = "."
    encoding: str = "utf-8"
    kinds: Mapping[str, ColumnType | None] = field(default_factory=dict)
    only: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The words that stand for a missing cell; an empty cell always does."""
        return NULL_WORDS if self.null_values is None else self.null_values


@dataclass(frozen=True)
class _Source:
    path: Path
    delimiter: str
    names: list[str]
    form: CsvForm
    head: bytes | None = None  # the first lines: to begin with a large file takes polars 20 ms

    def scan(self, n_rows: int, **more: Any) -> "pl.LazyFrame":
        import polars as pl

        schema = more.pop("schema", dict.fromkeys(self.names, pl.String))
        return pl.scan_csv(
            self.head or self.path,
            separator=self.delimiter,
            schema=schema,
            n_rows=n_rows,
            **more,
        )


def read_csv(path: Path, form: CsvForm, target: Path) -> list[str]:
    """Write a CSV file's canonical Arrow file to `target`.

    Returns:
        Warnings: a delimiter that was found, columns of text that hold many numbers.

    Raises:
        InvalidDataset: about the header, a row of another width, bytes that are not in the
            encoding, NUL, no rows, cells that are not what their column is; it names the column
            and the rows, and shows no cell.
    """
    import polars as pl

    with as_utf8(path, form.encoding, target.parent) as text:
        delimiter = form.delimiter or found_delimiter(text)
        names = read_header(text, delimiter)
        refuse_missing(form.kinds, names)
        if form.only:
            form = replace(form, kinds=dict.fromkeys(names, ColumnType.STRING) | {**form.kinds})
        source = _Source(text, delimiter, names, form)
        try:
            done = _quickly(source, target)
            if not done:
                _carefully(source, target)
        except pl.exceptions.PolarsError:
            raise InvalidDataset("the file cannot be read as CSV: see its quotes") from None
    warnings = [f"the delimiter is {delimiter!r}, as found in the header"]
    return (warnings if form.delimiter is None and delimiter != "," else []) + _text_columns(
        target, form
    )


# The quick way


def _quickly(source: _Source, target: Path) -> bool:
    """Read the file as its first rows are; False where it turns out to be otherwise."""
    import polars as pl

    seen = glance(source.path, source.delimiter, len(source.names))
    if seen.plain and not seen.even:
        return False
    n_rows = seen.n_rows if seen.plain else _counted(source)
    if n_rows == 0 or source.form.decimal != ".":
        return False
    n_head = min(n_rows, _HEAD_ROWS)
    head = replace(source, head=first_lines(source.path, 1 + n_head) if seen.plain else None)
    try:
        kinds = _kinds(head, n_head)
        for words in _words_to_try(head, n_head):
            if _streamed(source, target, kinds=kinds, words=words, n_rows=n_rows):
                return True
    except (pl.exceptions.PolarsError, InvalidDataset):
        pass
    return False


def _counted(source: _Source) -> int:
    return count_rows(source.path, source.delimiter, len(source.names))


def _words_to_try(head: _Source, n_rows: int) -> list[list[str]]:
    """Looking for ten words in every cell costs a third: first only where the head has one."""
    import polars as pl

    words = list(head.form.words)
    cells = head.scan(n_rows)
    seen = cells.select(pl.any_horizontal(pl.all().is_in(words).any())).collect().item()
    return [words] if seen else [[], words]


def _streamed(
    source: _Source,
    target: Path,
    *,
    kinds: Mapping[str, ColumnType],
    words: list[str],
    n_rows: int,
) -> bool:
    import polars as pl

    types = _polars_types()
    schema = {name: types[kinds[name]] for name in source.names}
    scan = source.scan(n_rows, schema=schema, null_values=words or None)
    texts = [name for name in source.names if kinds[name] is ColumnType.STRING]
    scan = scan.with_columns(_cast(name, ColumnType.STRING, source.form) for name in texts)
    try:
        _sink(scan, target, len(source.names))
    except pl.exceptions.PolarsError:
        return False
    return open_table(target).n_rows == n_rows and _is_finite(target)


def _is_finite(target: Path) -> bool:
    """Say whether no number is infinite and none NaN, which a CSV has no word for."""
    table = open_table(target)
    floats = [name for name, kind in table.kinds.items() if kind is ColumnType.FLOAT64]
    return all(
        np.count_nonzero(np.isfinite(batch.floats(name))) == batch.n_rows - batch.n_missing(name)
        for batch in table.batches
        for name in floats
    )


def _sink(scan: "pl.LazyFrame", target: Path, n_columns: int) -> None:
    """Write to `target`, whole or not at all.

    A pass that fails leaves threads of polars behind that write a little longer: to a file of its
    own, which nobody reads, or they would write into the next attempt's.
    """
    import polars as pl

    attempt = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        scan.sink_ipc(
            attempt,
            compat_level=pl.CompatLevel.oldest(),
            record_batch_size=batch_rows(n_columns),
        )
        attempt.rename(target)
    finally:
        attempt.unlink(missing_ok=True)


def _polars_types() -> "dict[ColumnType, Any]":
    import polars as pl

    return {
        ColumnType.FLOAT64: pl.Float64,
        ColumnType.INT64: pl.Int64,
        ColumnType.BOOL: pl.Boolean,
        ColumnType.STRING: pl.String,
    }


# The careful way


def _carefully(source: _Source, target: Path) -> None:
    n_rows = _counted(source)
    kinds = _kinds(source, n_rows)
    scan = source.scan(n_rows).select(
        _cast(name, kinds[name], source.form) for name in source.names
    )
    _sink(scan, target, len(source.names))


def _kinds(source: _Source, n_rows: int) -> dict[str, ColumnType]:
    """Find out what the columns of the first n_rows are; refuse those that are it almost."""
    counts = _counts(source, n_rows)
    kinds = {name: _kind_of(name, source.form, counts[name]) for name in source.names}
    for name, kind in kinds.items():
        if kind is not ColumnType.STRING:
            _refuse_other_cells(source, name, kind=kind, count=counts[name], n_rows=n_rows)
    return kinds


Count = dict[str, int]


def _counts(source: _Source, n_rows: int) -> dict[str, Count]:
    """Count each column's cells, numbers, integers and booleans."""
    import polars as pl

    asked: list[pl.Expr] = [pl.len().alias("rows\0")]
    for name in source.names:
        cell = _cell(name, source.form)
        asked += [
            cell.count().alias(f"present\0{name}"),
            as_number(cell, decimal=source.form.decimal)
            .count()
            .alias(f"{ColumnType.FLOAT64}\0{name}"),
            cell.cast(pl.Int64, strict=False).count().alias(f"{ColumnType.INT64}\0{name}"),
        ]
    counts = _answers(source.scan(n_rows), asked)
    if counts.pop("")["rows"] != n_rows:
        raise InvalidDataset("the rows cannot be told apart: see the quotes inside of cells")
    others = [n for n in source.names if counts[n][ColumnType.FLOAT64] != counts[n]["present"]]
    booleans = [
        as_boolean(_cell(name, source.form)).count().alias(f"{ColumnType.BOOL}\0{name}")
        for name in {*others, *source.form.kinds}
    ]
    for name, more in _answers(source.scan(n_rows), booleans).items():
        counts[name] |= more
    return counts


def _answers(scan: "pl.LazyFrame", asked: "list[pl.Expr]") -> dict[str, Count]:
    """Ask everything in one pass; an answer is named `what NUL column`."""
    if not asked:
        return {}
    counts: dict[str, Count] = {}
    for key, value in scan.select(asked).collect(engine="streaming").row(0, named=True).items():
        what, name = key.split("\0", 1)
        counts.setdefault(name, {})[what] = value
    return counts


def _kind_of(name: str, form: CsvForm, count: Count) -> ColumnType:
    kind = form.kinds.get(name) or _kind(count)
    if kind is ColumnType.STRING and form.kinds.get(name, kind) is None:
        # It may not be text: it is refused as a column of what most of its cells are.
        return max(ColumnType.FLOAT64, ColumnType.BOOL, key=count.__getitem__)
    return kind


def _kind(count: Count) -> ColumnType:
    present = count["present"]
    if count[ColumnType.FLOAT64] == present:
        whole = count[ColumnType.INT64] == present > 0
        return ColumnType.INT64 if whole else ColumnType.FLOAT64
    return ColumnType.BOOL if count[ColumnType.BOOL] == present else ColumnType.STRING


def _refuse_other_cells(
    source: _Source, name: str, *, kind: ColumnType, count: Count, n_rows: int
) -> None:
    """Where a column's type was given, every cell must be of it."""
    bad = count["present"] - count[kind]
    if not bad:
        return
    cell = _cell(name, source.form)
    wrong = cell.is_not_null() & _cast_cell(cell, kind, source.form).is_null()
    where = first_rows(source.scan(n_rows), wrong)
    are = "is" if bad == 1 else "are"
    raise InvalidDataset(
        f"column {name!r} must be {kind}, and {bad} of its cells {are} not: {where}", param=name
    )


def _cast(name: str, kind: ColumnType, form: CsvForm) -> "pl.Expr":
    import polars as pl

    if kind is ColumnType.STRING:
        return pl.when(~_is_missing(pl.col(name), form)).then(pl.col(name)).alias(name)
    return _cast_cell(_cell(name, form), kind, form).alias(name)


def _cast_cell(cell: "pl.Expr", kind: ColumnType, form: CsvForm) -> "pl.Expr":
    import polars as pl

    if kind is ColumnType.FLOAT64:
        return as_number(cell, decimal=form.decimal)
    return cell.cast(pl.Int64, strict=False) if kind is ColumnType.INT64 else as_boolean(cell)


def _cell(name: str, form: CsvForm) -> "pl.Expr":
    import polars as pl

    cell = pl.col(name).str.strip_chars()
    return pl.when((cell != "") & ~_is_missing(cell, form)).then(cell)


def _is_missing(cell: "pl.Expr", form: CsvForm) -> "pl.Expr":
    return cell.str.strip_chars().is_in(list(form.words))


def _text_columns(target: Path, form: CsvForm) -> list[str]:
    """Look at the columns of text once more: were they meant to be numbers?"""
    import polars as pl

    kinds = open_table(target).kinds
    texts = [name for name, kind in kinds.items() if kind is ColumnType.STRING]
    found = [name for name in texts if name not in form.kinds]
    scan = pl.scan_ipc(target)
    refuse_unfit_text(scan, texts)
    return refuse_numbers_in_text(scan, found, decimal=form.decimal)
