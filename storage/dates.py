"""Dates made into numbers: days since the first, year, month, weekday.

A derived column says in its own name what it is, `day [days since 2024-01-01]` or `day [year]`: so
that rows which come later, to be appended or predicted, are counted from the same day without
anybody having to keep it. Whatever a table is read from (text of a CSV, a column of dates in
Parquet or Arrow) goes through `derived`.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from descend.datasets import ColumnType
from descend.errors import InvalidDataset

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "DATE_PARTS",
    "ISO_DATE",
    "Derivation",
    "date_of_text",
    "derivation_of",
    "derived",
    "of_temporal",
    "of_text",
    "wanted_derivations",
]

DATE_PARTS = ("days", "year", "month", "weekday")
_DAY = r"[0-9]{4}-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01]))?"
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?"
# ISO 8601: a day or a month, with a time and its distance from UTC or without.
ISO_DATE = rf"^{_DAY}(?:[T ]{_CLOCK}\s?(?:Z|UTC|[+-][0-9]{{2}}(?::?[0-9]{{2}})?)?)?$"
_NAMED = re.compile(
    r"^(?P<column>.+) "
    r"\[(?:days since (?P<origin>\d{4}-\d{2}-\d{2})|(?P<part>year|month|weekday))\]$"
)
_SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Derivation:
    """A number made of a date: its part, or the days since `origin`."""

    column: str
    part: str
    origin: date | None = None

    @property
    def name(self) -> str:
        since = f" since {self.origin.isoformat()}" if self.origin else ""
        return f"{self.column} [{self.part}{since}]"

    @property
    def dtype(self) -> ColumnType:
        """Days have fractions where there are times of day; the other parts are whole."""
        return ColumnType.FLOAT64 if self.part == "days" else ColumnType.INT64


def derivation_of(name: str) -> Derivation | None:
    """Read what a derived column's name says; None of any other name."""
    found = _NAMED.match(name)
    if found is None:
        return None
    try:
        origin = date.fromisoformat(found["origin"]) if found["origin"] else None
    except ValueError:
        return None
    return Derivation(found["column"], found["part"] or "days", origin)


def wanted_derivations(wanted: Iterable[str], names: Collection[str]) -> list[Derivation]:
    """Find the wanted columns that a table has not, but whose dates it has."""
    missing = [derivation_of(name) for name in wanted if name not in names]
    return [one for one in missing if one is not None and one.column in names]


def derived(
    asked: Iterable[tuple[str, str]], first_day: "dict[str, date | None]", names: Collection[str]
) -> list[Derivation]:
    """Name what is made of each (column, part); days count from the column's first day.

    Raises:
        InvalidDataset: where a column has no date to count from, or a name is taken.
    """
    found = []
    for column, part in dict.fromkeys(asked):
        origin = first_day[column] if part == "days" else None
        if part == "days" and origin is None:
            raise InvalidDataset(f"column {column!r} has no date: leave it out", param=column)
        one = Derivation(column, part, origin)
        if one.name in names:
            raise InvalidDataset(f"there is a column {one.name!r} already", param=column)
        found.append(one)
    return found


def date_of_text(cell: "pl.Expr") -> "pl.Expr":
    """Read the day of an ISO date, as it is written there; null where it is none."""
    import polars as pl

    day = cell.str.extract(r"^([0-9]{4}-[0-9]{2}-[0-9]{2})", 1)
    month = cell.str.extract(r"^([0-9]{4}-[0-9]{2})$", 1) + "-01"
    text = pl.when(cell.str.contains(ISO_DATE)).then(pl.coalesce(day, month))
    return text.str.to_date("%Y-%m-%d", strict=False)


def of_text(one: Derivation) -> "pl.Expr":
    """Make a derived column of a column of ISO dates; missing where the cell is none."""
    import polars as pl

    cell = pl.col(one.column).str.strip_chars()
    return _part_of(date_of_text(cell), _time_of_text(cell), one)


def of_temporal(one: Derivation) -> "pl.Expr":
    """Make a derived column of a column of dates, or of dates and times, as Arrow has them."""
    import polars as pl

    column = pl.col(one.column)
    day = column.cast(pl.Date)
    time = (column.cast(pl.Datetime("us")) - day.cast(pl.Datetime("us"))).dt.total_microseconds()
    return _part_of(day, time / (1e6 * _SECONDS_A_DAY), one)


def _time_of_text(cell: "pl.Expr") -> "pl.Expr":
    """Read the time of day as a fraction of the day, in UTC where it says how far it is from it."""
    import polars as pl

    def number(pattern: str, group: int = 1) -> pl.Expr:
        found = cell.str.extract(pattern, group).str.replace(",", ".", literal=True)
        return found.cast(pl.Float64, strict=False).fill_null(0.0)

    clock = r"[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2}(?:[.,][0-9]+)?))?"
    zone = r"[0-9]\s?[+-]([0-9]{2}):?([0-9]{2})?$"
    seconds = 3600 * number(clock) + 60 * number(clock, 2) + number(clock, 3)
    distance = 3600 * number(zone) + 60 * number(zone, 2)
    west = cell.str.contains(r"-[0-9]{2}:?(?:[0-9]{2})?$")
    timed = cell.str.contains(":", literal=True)  # else a date's own hyphen is taken for a sign
    utc = seconds + pl.when(west).then(distance).otherwise(-distance)
    return pl.when(timed).then(utc / _SECONDS_A_DAY).otherwise(0.0)


def _part_of(day: "pl.Expr", time: "pl.Expr", one: Derivation) -> "pl.Expr":
    """Make the derived column of a column's days and times of day, as fractions."""
    import polars as pl

    if one.origin is not None:
        first = (one.origin - date(1970, 1, 1)).days
        return ((day.cast(pl.Int32) - first) + time).cast(pl.Float64).alias(one.name)
    made = {"year": day.dt.year, "month": day.dt.month, "weekday": day.dt.weekday}[one.part]()
    return made.cast(pl.Int64).alias(one.name)
