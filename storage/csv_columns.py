"""What the columns of a CSV file are: every cell as text, counted, one column beside the other."""

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

from descend.datasets import ColumnType
from descend.errors import InvalidDataset
from descend.field_errors import FieldError
from storage.cells import first_rows
from storage.column_errors import column_error, refuse_columns, rows_named
from storage.csv_form import CsvForm
from storage.csv_source import Source
from storage.dates import Derivation, date_of_text, derived, wanted_derivations
from storage.text_columns import few, number_error

if TYPE_CHECKING:
    import polars as pl

__all__ = ["dates_of", "kinds_of"]

Count = dict[str, int]
_NUMBERS = (ColumnType.FLOAT64, ColumnType.INT64)


def kinds_of(source: Source, n_rows: int) -> dict[str, ColumnType]:
    """Find out what the columns of the first n_rows are.

    Raises:
        InvalidDataset: about columns whose kind was given, and that are it almost.
    """
    counts = _counts(source, n_rows)
    kinds = {name: _kind_of(name, source.form, counts[name]) for name in source.names}
    wrong = {
        name: counts[name]["present"] - counts[name][kind]
        for name, kind in kinds.items()
        if kind is not ColumnType.STRING
    }
    refuse_columns(
        [
            _other_cells(source, name, kind=kinds[name], bad=bad, n_rows=n_rows)
            for name, bad in wrong.items()
            if bad
        ]
    )
    return kinds


def _counts(source: Source, n_rows: int) -> dict[str, Count]:
    """Count each column's cells, numbers, integers and booleans."""
    import polars as pl

    asked: list[pl.Expr] = [pl.len().alias("rows\0")]
    for name in source.names:
        asked.append(source.cell(name).count().alias(f"present\0{name}"))
        asked += [source.read(name, kind).count().alias(f"{kind}\0{name}") for kind in _NUMBERS]
    counts = _answers(source.scan(n_rows), asked)
    if counts.pop("")["rows"] != n_rows:
        raise InvalidDataset("the rows cannot be told apart: see the quotes inside of cells")
    others = [n for n in source.names if counts[n][ColumnType.FLOAT64] != counts[n]["present"]]
    booleans = [
        source.read(name, ColumnType.BOOL).count().alias(f"{ColumnType.BOOL}\0{name}")
        for name in dict.fromkeys((*others, *source.form.kinds))
        if name in counts
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


def _other_cells(
    source: Source, name: str, *, kind: ColumnType, bad: int, n_rows: int
) -> FieldError:
    """Where a column's type was given, every cell must be of it."""
    scan = source.scan(n_rows)
    rows = first_rows(scan, source.cell(name).is_not_null() & source.read(name, kind).is_null())
    cells = scan.select(source.text(name))
    form = source.reading.form_of(name)
    why = number_error(cells, name, form) if kind in _NUMBERS else None
    are = "is" if bad == 1 else "are"
    return column_error(
        name,
        f"must be {kind}, and {bad} of its cells {are} not: {rows_named(rows)}",
        code="not_of_type",
        rows=rows,
        n_cells=bad,
        options=why.options[:-1] if why else [],
        as_text_too=False,
    )


# Dates


def dates_of(source: Source, n_rows: int) -> list[Derivation]:
    """Find the columns to be made of dates: as asked for, or as their names say they are wanted.

    Raises:
        InvalidDataset: about cells that are no dates, or where there are none at all.
    """
    wanted = wanted_derivations(source.form.kinds, source.names)
    asked = dict(source.reading.dates)
    if source.reading.any_dates:
        asked |= dict.fromkeys(_columns_of_dates(source, n_rows, asked), source.reading.any_dates)
        if not asked:
            raise InvalidDataset("no column holds dates as in 2024-12-31", param="dates")
    columns = dict.fromkeys((*asked, *(one.column for one in wanted)))
    first = _first_days(source, n_rows, columns)
    pairs = [(name, part) for name, parts in asked.items() for part in parts]
    known = {one.column for one in wanted}
    return wanted + derived([p for p in pairs if p[0] not in known], first, source.names)


def _columns_of_dates(source: Source, n_rows: int, asked: Iterable[str]) -> list[str]:
    names = [name for name in source.names if name not in {*asked, *source.form.kinds}]
    counted = [source.cell(name).count().alias(f"present\0{name}") for name in names]
    counted += [date_of_text(source.cell(name)).count().alias(f"dates\0{name}") for name in names]
    counts = _answers(source.scan(n_rows), counted)
    return [
        name
        for name, count in counts.items()
        if count["dates"] and few(count["present"] - count["dates"], count["present"])
    ]


def _first_days(source: Source, n_rows: int, columns: Iterable[str]) -> dict[str, date | None]:
    """Find each column's first day; all of its cells must be dates."""
    first: dict[str, date | None] = {}
    wrong = []
    for name in columns:
        cell = source.cell(name)
        day = date_of_text(cell)
        told = source.scan(n_rows).select(
            bad=(cell.is_not_null() & day.is_null()).sum(), first=day.min()
        )
        bad, first[name] = told.collect(engine="streaming").row(0)
        if bad:
            rows = first_rows(source.scan(n_rows), cell.is_not_null() & day.is_null())
            are = "is" if bad == 1 else "are"
            message = f"must be dates as in 2024-12-31, and {bad} of its cells {are} not"
            wrong.append(
                column_error(
                    name,
                    f"{message}: {rows_named(rows)}",
                    code="not_of_type",
                    rows=rows,
                    n_cells=bad,
                    as_text_too=False,
                )
            )
    refuse_columns(wrong)
    return first
