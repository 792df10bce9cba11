"""Dates in typed tables made into numbers, by the same option and rules as in CSV.

Columns of dates and of timestamps, and columns of text that holds ISO dates.
"""

from collections.abc import Collection, Sequence
from datetime import date
from typing import TYPE_CHECKING

from descend.errors import InvalidDataset
from storage.cells import first_rows
from storage.column_errors import column_error, refuse_columns, rows_named
from storage.csv_form import CsvForm, Reading
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

__all__ = ["made_of", "made_of_dates"]


def made_of_dates(
    frame: "pl.LazyFrame", dates: Sequence[str], wanted: Collection[str]
) -> list[Derivation]:
    """Say what is made of the dates of a table.

    Args:
        frame: the table.
        dates: what is asked for, each a value for all columns of dates or `COLUMN:value`.
        wanted: names of columns that are needed; of a derived one its dates may be there.

    Raises:
        InvalidInput: about a column that is not there, or a value that is none of the option's.
        InvalidDataset: about columns that hold no dates.
    """
    schema = frame.collect_schema()
    names = schema.names()
    needed = wanted_derivations(wanted, names)
    reading = Reading.of(CsvForm(dates=tuple(dates)), names)
    asked = dict(reading.dates)
    if reading.any_dates:
        found = _columns_of_dates(frame, [name for name in names if name not in asked])
        asked |= dict.fromkeys(found, reading.any_dates)
        if not asked:
            raise InvalidDataset("no column holds dates as in 2024-12-31", param="dates")
    first = _first_days(frame, dict.fromkeys((*asked, *(one.column for one in needed))))
    known = {one.column for one in needed}
    pairs = [(n, part) for n, parts in asked.items() for part in parts if n not in known]
    return needed + derived(pairs, first, names)


def made_of(one: Derivation, dtype: "pl.DataType") -> "pl.Expr":
    """Make a derived column of a column of this type."""
    return of_temporal(one) if _is_temporal(dtype) else of_text(one)


def _is_temporal(dtype: "pl.DataType") -> bool:
    import polars as pl

    return dtype.base_type() in (pl.Date, pl.Datetime)


def _columns_of_dates(frame: "pl.LazyFrame", names: Sequence[str]) -> list[str]:
    import polars as pl

    schema = frame.collect_schema()
    texts = [name for name in names if schema[name] == pl.String]
    asked = [pl.col(name).count().alias(f"present\0{name}") for name in texts]
    asked += [_day(name, schema[name]).count().alias(f"dates\0{name}") for name in texts]
    told = frame.select(asked).collect(engine="streaming").row(0, named=True) if texts else {}
    return [
        name
        for name in names
        if _is_temporal(schema[name])
        or (
            told.get(f"dates\0{name}")
            and few(told[f"present\0{name}"] - told[f"dates\0{name}"], told[f"present\0{name}"])
        )
    ]


def _day(name: str, dtype: "pl.DataType") -> "pl.Expr":
    import polars as pl

    if _is_temporal(dtype):
        return pl.col(name).cast(pl.Date)
    if dtype != pl.String:
        raise InvalidDataset(f"column {name!r} holds no dates", param=name)
    return date_of_text(pl.col(name).str.strip_chars())


def _first_days(frame: "pl.LazyFrame", columns: Collection[str]) -> "dict[str, date | None]":
    import polars as pl

    schema, first, wrong = frame.collect_schema(), dict[str, date | None](), []
    for name in columns:
        day = _day(name, schema[name])
        odd = pl.col(name).is_not_null() & day.is_null()
        told = frame.select(bad=odd.sum(), first=day.min()).collect(engine="streaming")
        bad, first[name] = told.row(0)
        if bad:
            rows = first_rows(frame, odd)
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
