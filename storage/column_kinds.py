"""What columns of text are: every cell is counted, one column beside the other."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from descend.datasets import ColumnType
from descend.errors import InvalidDataset
from descend.field_errors import FieldError
from storage.cells import first_rows
from storage.column_errors import as_text, column_error, refuse_columns, rows_named
from storage.csv_form import CsvForm
from storage.profile import few_of
from storage.text_cells import TextCells
from storage.text_columns import number_error

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Count", "counts_of", "kinds_of", "zeros_lost"]

Count = dict[str, int]
_NUMBERS = (ColumnType.FLOAT64, ColumnType.INT64)


def kinds_of(
    scan: "pl.LazyFrame", names: Sequence[str], cells: TextCells, *, n_rows: int | None = None
) -> dict[str, ColumnType]:
    """Find out what columns of text are.

    Args:
        scan: the table, these columns text.
        names: the columns.
        cells: how their cells are read, and what is known of some.
        n_rows: how many rows there must be, where that is known.

    Raises:
        InvalidDataset: about columns whose kind was given, and that are it almost.
    """
    counts = _counts(scan, names, cells, n_rows)
    kinds = {name: _kind_of(name, cells.form, counts[name]) for name in names}
    wrong = {
        name: counts[name]["present"] - counts[name][kind]
        for name, kind in kinds.items()
        if kind is not ColumnType.STRING
    }
    refuse_columns(
        [
            _other_cells(scan, cells, name, kind=kinds[name], bad=bad)
            for name, bad in wrong.items()
            if bad
        ],
        typed=cells.form.typed,
    )
    return kinds


def zeros_lost(scan: "pl.LazyFrame", names: Sequence[str], cells: TextCells) -> list[str]:
    """Warn of whole numbers that begin with 0, as ids and zip codes do, and lose it."""
    if not names:
        return []
    zeros = (cells.cell(name).str.contains(r"^[+-]?0[0-9]").any().alias(name) for name in names)
    found = scan.select(zeros).collect(engine="streaming").row(0, named=True)
    return few_of(
        [
            f"column {name!r} has whole numbers that begin with 0: the zeros are lost;"
            f" text={as_text(name)} keeps them"
            for name, has in found.items()
            if has
        ],
        "columns lose zeros",
    )


def counts_of(scan: "pl.LazyFrame", asked: "Mapping[tuple[str, str], pl.Expr]") -> dict[str, Count]:
    """Ask everything, by (what, column), in one pass; the answers are by column, then by what."""
    if not asked:
        return {}
    exprs = [expr.alias(f"{what}\0{name}") for (what, name), expr in asked.items()]
    counts: dict[str, Count] = {}
    for key, value in scan.select(exprs).collect(engine="streaming").row(0, named=True).items():
        what, name = key.split("\0", 1)
        counts.setdefault(name, {})[what] = value
    return counts


def _counts(
    scan: "pl.LazyFrame", names: Sequence[str], cells: TextCells, n_rows: int | None
) -> dict[str, Count]:
    """Count each column's cells, numbers, integers and booleans."""
    import polars as pl

    asked: dict[tuple[str, str], pl.Expr] = {("rows", ""): pl.len()}
    for name in names:
        asked["present", name] = cells.cell(name).count()
        asked |= {(kind.value, name): cells.read(name, kind).count() for kind in _NUMBERS}
    counts = counts_of(scan, asked)
    if counts.pop("")["rows"] != n_rows is not None:
        raise InvalidDataset("the rows cannot be told apart: see the quotes inside of cells")
    others = [name for name in names if counts[name][ColumnType.FLOAT64] != counts[name]["present"]]
    booleans = {
        (ColumnType.BOOL.value, name): cells.read(name, ColumnType.BOOL).count()
        for name in dict.fromkeys((*others, *cells.form.kinds))
        if name in counts
    }
    for name, more in counts_of(scan, booleans).items():
        counts[name] |= more
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
    scan: "pl.LazyFrame", cells: TextCells, name: str, *, kind: ColumnType, bad: int
) -> FieldError:
    """Where a column's type was given, every cell must be of it."""
    rows = first_rows(scan, cells.cell(name).is_not_null() & cells.read(name, kind).is_null())
    texts = scan.select(cells.text(name))
    why = number_error(texts, name, cells) if kind in _NUMBERS else None
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
