"""Which columns of a table are dates, and what is to be made of them, whatever the table is.

Columns of text that holds ISO dates, and columns of dates and of timestamps, as Arrow has them.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from descend.errors import InvalidDataset
from storage.cells import first_rows
from storage.column_errors import column_error, refuse_columns, rows_named
from storage.column_kinds import counts_of
from storage.csv_form import Reading
from storage.dates import (
    Derivation,
    date_of_text,
    derived,
    of_temporal,
    of_text,
    wanted_derivations,
)
from storage.text_columns import few

if TYPE_CHECKING:
    import polars as pl

__all__ = ["DateTable", "derivations_in", "expr_of", "frame_of_dates", "is_temporal"]


@dataclass(frozen=True)
class DateTable:
    """A table, and how the day in a cell is read.

    Attributes:
        scan: the table.
        names: its columns.
        among: those that may be found to hold dates without being named.
        cell: a column's cells; null where they are missing.
        day: their days; null where a cell is no date. It refuses a column that can hold none.
    """

    scan: "pl.LazyFrame"
    names: Collection[str]
    among: Collection[str]
    cell: "Callable[[str], pl.Expr]"
    day: "Callable[[str], pl.Expr]"


def frame_of_dates(frame: "pl.LazyFrame") -> DateTable:
    """Look for dates in a typed table: in its columns of dates, of timestamps and of text."""
    import polars as pl

    schema = frame.collect_schema()

    def day(name: str) -> pl.Expr:
        if is_temporal(schema[name]):
            return pl.col(name).cast(pl.Date)
        if schema[name] != pl.String:
            raise InvalidDataset(f"column {name!r} holds no dates", param=name)
        return date_of_text(pl.col(name).str.strip_chars())

    among = [name for name, dtype in schema.items() if dtype == pl.String or is_temporal(dtype)]
    return DateTable(frame, schema.names(), among, pl.col, day)


def derivations_in(
    table: DateTable, reading: Reading, *, wanted: Collection[str]
) -> list[Derivation]:
    """Find the columns to be made of dates: as asked for, or as their names say they are wanted.

    Args:
        table: where the dates are.
        reading: what is asked for.
        wanted: names of columns that are needed; of a derived one its dates may be there.

    Raises:
        InvalidDataset: about cells that are no dates, or where there are none at all.
    """
    needed = wanted_derivations(wanted, table.names)
    asked = dict(reading.dates)
    if reading.any_dates:
        found = _columns_of_dates(table, [name for name in table.among if name not in asked])
        asked |= dict.fromkeys(found, reading.any_dates)
        if not asked:
            raise InvalidDataset("no column holds dates as in 2024-12-31", param="dates")
    first = _first_days(table, dict.fromkeys((*asked, *(one.column for one in needed))))
    known = {one.column for one in needed}
    pairs = [(name, part) for name, parts in asked.items() if name not in known for part in parts]
    return needed + derived(pairs, first, table.names)


def expr_of(one: Derivation, dtype: "pl.DataType") -> "pl.Expr":
    """Make a derived column of a column of this type."""
    return of_temporal(one) if is_temporal(dtype) else of_text(one)


def is_temporal(dtype: "pl.DataType") -> bool:
    import polars as pl

    return dtype.base_type() in (pl.Date, pl.Datetime)


def _columns_of_dates(table: DateTable, names: Sequence[str]) -> list[str]:
    asked = {("present", name): table.cell(name).count() for name in names}
    asked |= {("dates", name): table.day(name).count() for name in names}
    return [
        name
        for name, count in counts_of(table.scan, asked).items()
        if count["dates"] and few(count["present"] - count["dates"], count["present"])
    ]


def _first_days(table: DateTable, columns: Iterable[str]) -> dict[str, date | None]:
    """Find each column's first day; all of its cells must be dates."""
    first: dict[str, date | None] = {}
    wrong = []
    for name in columns:
        day = table.day(name)
        odd = table.cell(name).is_not_null() & day.is_null()
        told = table.scan.select(bad=odd.sum(), first=day.min()).collect(engine="streaming")
        bad, first[name] = told.row(0)
        if bad:
            rows = first_rows(table.scan, odd)
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
