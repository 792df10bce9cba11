"""CSV files to canonical Arrow files, out of core: nothing here holds the table in memory.

The quick way: the first rows say what the columns are, and one streaming pass reads the rest as
exactly that, straight into the canonical file. polars refuses there what is no such cell. Then the
careful way begins: all cells as text, counted column by column, so that a refusal can name the
column and the rows. What a column is never depends on the way. (docs/decisions/0006)
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from descend.datasets import ColumnType
from descend.errors import InvalidDataset
from storage.arrow import open_table
from storage.canonical_sink import sink_canonical
from storage.cells import refuse_unfit_text
from storage.column_kinds import kinds_of, zeros_lost
from storage.csv_form import CsvForm, Reading
from storage.csv_layout import Layout, laid_out
from storage.csv_source import Source
from storage.csv_text import count_rows, first_lines, glance, refuse_missing
from storage.date_columns import DateTable, derivations_in
from storage.dates import Derivation, date_of_text, of_text, wanted_derivations
from storage.text_columns import refuse_meant

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ReadCsv", "read_csv"]

_HEAD_ROWS = 5000


@dataclass(frozen=True)
class ReadCsv:
    """What is to be told of a CSV that was read.

    Attributes:
        warnings: what was found, what dates became, columns of text with numbers.
        unnamed: columns that the file does not name.
    """

    warnings: list[str]
    unnamed: list[str]


def read_csv(path: Path, form: CsvForm, target: Path) -> ReadCsv:
    """Write a CSV file's canonical Arrow file to `target`.

    Raises:
        InvalidDataset: about the header, a row of another width, bytes that are not in the
            encoding, NUL, no rows, cells that are not what their column is; it names the column
            and the rows, and shows no cell.
        InvalidInput: about an option that names no column, or a value that is none of its own.
    """
    import polars as pl

    with laid_out(path, form, target.parent) as layout:
        source = _source(layout, form)
        try:
            made = [] if _quickly(source, target) else _carefully(source, target)
        except pl.exceptions.PolarsError:
            raise InvalidDataset("the file cannot be read as CSV: see its quotes") from None
        made += _leading_zeros(target, source)
    return ReadCsv([*layout.warnings, *made, *_text_columns(target, source)], layout.unnamed)


def _source(layout: Layout, form: CsvForm) -> Source:
    names = layout.names
    made = {one.name for one in wanted_derivations(form.kinds, names)}
    refuse_missing([name for name in form.kinds if name not in made], names)
    if form.only:
        form = replace(form, kinds=dict.fromkeys(names, ColumnType.STRING) | {**form.kinds})
    return Source(
        form=form,
        reading=Reading.of(form, names),
        path=layout.path,
        delimiter=layout.delimiter,
        names=names,
    )


# The quick way


def _quickly(source: Source, target: Path) -> bool:
    """Read the file as its first rows are; False where it turns out to be otherwise."""
    import polars as pl

    if not source.reading.is_plain or wanted_derivations(source.form.kinds, source.names):
        return False
    seen = glance(source.path, source.delimiter, len(source.names))
    if seen.plain and not seen.even:
        return False
    n_rows = seen.n_rows if seen.plain else _counted(source)
    if n_rows == 0:
        return False
    n_head = min(n_rows, _HEAD_ROWS)
    head = replace(source, head=first_lines(source.path, 1 + n_head) if seen.plain else None)
    try:
        kinds = kinds_of(head.scan(n_head), head.names, head, n_rows=n_head)
        for words in _words_to_try(head, n_head):
            if _streamed(source, target, kinds=kinds, words=words, n_rows=n_rows):
                return True
    except (pl.exceptions.PolarsError, InvalidDataset):
        pass
    return False


def _counted(source: Source) -> int:
    return count_rows(source.path, source.delimiter, len(source.names))


def _words_to_try(head: Source, n_rows: int) -> list[list[str]]:
    """Looking for ten words in every cell costs a third: first only where the head has one."""
    import polars as pl

    words = list(head.form.words)
    cells = head.scan(n_rows)
    seen = cells.select(pl.any_horizontal(pl.all().is_in(words).any())).collect().item()
    return [words] if seen else [[], words]


def _streamed(
    source: Source,
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
    scan = scan.with_columns(map(source.text, texts))
    try:
        sink_canonical(scan, target, len(source.names))
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


def _polars_types() -> "dict[ColumnType, Any]":
    import polars as pl

    return {
        ColumnType.FLOAT64: pl.Float64,
        ColumnType.INT64: pl.Int64,
        ColumnType.BOOL: pl.Boolean,
        ColumnType.STRING: pl.String,
    }


# The careful way


def _carefully(source: Source, target: Path) -> list[str]:
    n_rows = _counted(source)
    kinds = kinds_of(source.scan(n_rows), source.names, source, n_rows=n_rows)
    dates = _dates(source, n_rows)
    columns: list[pl.Expr] = []
    for name in source.names:
        made = [of_text(one) for one in dates if one.column == name]
        columns += (
            made
            if made and name not in source.form.kinds
            else [source.cast(name, kinds[name]), *made]
        )
    sink_canonical(source.scan(n_rows).select(columns), target, len(columns))
    return [f"column {one.column!r} is dates: made {one.name!r}" for one in dates]


def _dates(source: Source, n_rows: int) -> list[Derivation]:
    table = DateTable(
        scan=source.scan(n_rows),
        names=source.names,
        among=[name for name in source.names if name not in source.form.kinds],
        cell=source.cell,
        day=lambda name: date_of_text(source.cell(name)),
    )
    return derivations_in(table, source.reading, wanted=source.form.kinds)


def _leading_zeros(target: Path, source: Source) -> list[str]:
    table = open_table(target)
    whole = [
        name
        for name in source.names
        if table.kinds.get(name) is ColumnType.INT64 and name not in source.form.kinds
    ]
    return zeros_lost(source.scan(table.n_rows), whole, source)


def _text_columns(target: Path, source: Source) -> list[str]:
    """Look at the columns of text once more: were they meant to be something else?"""
    import polars as pl

    kinds = open_table(target).kinds
    texts = [name for name, kind in kinds.items() if kind is ColumnType.STRING]
    scan = pl.scan_ipc(target)
    refuse_unfit_text(scan, texts)
    return refuse_meant(scan, [name for name in texts if name not in source.form.kinds], source)
