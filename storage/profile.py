"""A table's profile: what a person wants to know of its columns before training on them.

Numbers are read batch by batch, so that a table of any length is profiled in little memory.
"""

import math
import os
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descend.counts import counted
from descend.datasets import Column, ColumnType
from descend.unreadable import UnreadableColumn, unreadable_because
from storage.arrow import Batch, Table

__all__ = [
    "COUNTED_ROWS",
    "COUNTED_VALUES",
    "few_of",
    "is_sequence",
    "profile",
    "profile_table",
    "warnings_about",
    "warnings_about_unreadable",
]

# Counting distinct numbers sorts them; beyond so many different ones it is not worth the wait.
COUNTED_VALUES = 100_000
# Counting distinct texts keeps them.
COUNTED_ROWS = 1_000_000
# Up to so many rows Python is quicker than numpy: the calls themselves are what costs.
FEW_ROWS = 100
SAMPLE = 5
SAMPLE_LENGTH = 100
MOST_WARNINGS = 20
THREADED_ROWS = 100_000
MOST_THREADS = 4

Floats = NDArray[np.float64]


def profile(name: str, values: Floats, *, dtype: ColumnType) -> Column:
    """Describe a column of numbers that is in memory.

    Args:
        name: of the column.
        values: shape (n_rows,), float64, NaN where a cell is missing.
        dtype: what the cells are.

    Returns:
        Counts, minimum, maximum, mean and standard deviation (dividing by n) of the present
        cells; None where there is no such number or it overflows. No sample.
    """
    seen = _Numbers()
    if len(values) <= FEW_ROWS:
        cells = seen.add_few(values.tolist())
        return seen.column(name, dtype, distinct=len(set(cells)))
    return seen.column(name, dtype, distinct=_distinct(seen.add(values)))


def profile_table(table: Table) -> list[Column]:
    """Describe every column of a canonical file, with a sample of its values.

    Long tables are read by several threads, a column each; numpy lets them run at once.
    """
    columns = [(table, name, kind) for name, kind in table.kinds.items()]
    if table.n_rows < THREADED_ROWS:
        return [_column(*column) for column in columns]
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as threads:
        return list(threads.map(lambda column: _column(*column), columns))


def _column(table: Table, name: str, kind: ColumnType) -> Column:
    if kind is ColumnType.STRING:
        return _text_column(table, name)
    return _number_column(table, name, kind)


def _number_column(table: Table, name: str, kind: ColumnType) -> Column:
    seen, different = _Numbers(), _Distinct()
    sample: list[float | int | bool] = []
    for batch in table.batches:
        values = batch.floats(name)
        present = seen.add(values)
        different.add(present)
        if not sample and len(present):
            # Not of `values`: float64 has not every int64.
            sample = _first_different(batch.stored(name)[~np.isnan(values)])
    return seen.column(name, kind, distinct=different.count, sample=sample)


@dataclass
class _Distinct:
    """The different values so far, until they are too many to be kept."""

    values: Floats | None = field(default_factory=lambda: np.empty(0))

    def add(self, present: Floats) -> None:
        if self.values is not None:
            self.values = np.union1d(self.values, present)
            if len(self.values) > COUNTED_VALUES:
                self.values = None

    @property
    def count(self) -> int | None:
        return None if self.values is None else len(self.values)


def _first_different(cells: NDArray[Any]) -> list[float | int | bool]:
    """Find the first values that differ; most columns have them near their top."""
    for top in (cells[:1000], cells):
        found, places = np.unique(top, return_index=True)
        if len(found) >= SAMPLE:
            break
    first: list[float | int | bool] = found[np.argsort(places)[:SAMPLE]].tolist()
    return first


@dataclass
class _Numbers:
    """What is known of a column after some of its batches (Chan, Golub, LeVeque 1979, eq. 2.1)."""

    rows: int = 0
    present: int = 0
    low: float = math.inf
    high: float = -math.inf
    mean: float = 0.0
    spread: float = 0.0  # sum of squared deviations from the mean

    def add(self, values: Floats) -> Floats:
        """Take in some cells; return those that are present."""
        missing = np.isnan(values)
        cells = values[~missing] if missing.any() else values
        self.rows += len(values)
        if not len(cells):
            return cells
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(cells.mean())
            deviations = cells - mean
            self._merge(len(cells), mean, float(deviations @ deviations))
        self.low = min(self.low, float(cells.min()))
        self.high = max(self.high, float(cells.max()))
        return cells

    def add_few(self, values: list[float]) -> list[float]:
        """Do what `add` does for a few numbers in a twentieth of its time."""
        cells = [value for value in values if value == value]  # noqa: PLR0124  NaN is not itself
        self.rows += len(values)
        if not cells:
            return cells
        try:
            mean = math.fsum(cells) / len(cells)
        except OverflowError:
            mean = math.inf
        self._merge(len(cells), mean, sum((cell - mean) * (cell - mean) for cell in cells))
        self.low, self.high = min(self.low, *cells), max(self.high, *cells)
        return cells

    def _merge(self, n: int, mean: float, spread: float) -> None:
        if not self.present:
            self.present, self.mean, self.spread = n, mean, spread
            return
        total, step = self.present + n, mean - self.mean
        self.spread += spread + step * step * (self.present * n / total)
        self.mean += step * (n / total)
        self.present = total

    @property
    def std(self) -> float:
        return math.sqrt(self.spread / self.present)

    def column(
        self,
        name: str,
        dtype: ColumnType,
        *,
        distinct: int | None,
        sample: list[float | int | bool] | None = None,
    ) -> Column:
        missing = self.rows - self.present
        if not self.present:
            return Column(name=name, dtype=dtype, missing=missing, distinct=0)
        return Column(
            name=name,
            dtype=dtype,
            missing=missing,
            min=self.low,
            max=self.high,
            mean=self.mean if math.isfinite(self.mean) else None,
            std=self.std if math.isfinite(self.std) else None,
            distinct=distinct,
            sample=sample or [],
        )


def _distinct(present: Floats) -> int | None:
    different = _Distinct()
    for start in range(0, len(present), COUNTED_VALUES):
        different.add(present[start : start + COUNTED_VALUES])
    return different.count


def _text_column(table: Table, name: str) -> Column:
    counted = table.n_rows <= COUNTED_ROWS
    different: dict[str, None] = {}
    for batch in table.batches if counted else table.batches[:1]:
        different |= dict.fromkeys(batch.texts(name)[1])
    return Column(
        name=name,
        dtype=ColumnType.STRING,
        missing=sum(batch.n_missing(name) for batch in table.batches),
        distinct=len(different) if counted else None,
        sample=[_shortened(text) for text in list(different)[:SAMPLE]],
    )


def _shortened(text: str) -> str:
    return text if len(text) <= SAMPLE_LENGTH else f"{text[:SAMPLE_LENGTH]}…"


def warnings_about(
    columns: list[Column], n_rows: int, *, floats: Collection[str] = ()
) -> list[str]:
    """Name the columns that will surprise, by what their profiles alone tell.

    `floats`: columns that came as floats, of which reading has lost nothing.
    """
    found: dict[str, list[str]] = {}
    for column in columns:
        for kind, warning in _about(column, n_rows, is_float=column.name in floats):
            found.setdefault(kind, []).append(f"column {column.name!r} {warning}")
    return [
        warning
        for kind, warnings in found.items()
        for warning in few_of(warnings, f"columns {kind}")
    ]


def warnings_about_unreadable(columns: Iterable[UnreadableColumn]) -> list[str]:
    """Say of each column that is not kept what it holds, and what can be made of it."""
    found = [f"not kept: {unreadable_because(one.name, one.type)}" for one in columns]
    return few_of(found, "columns are not kept")


def few_of(warnings: list[str], what: str) -> list[str]:
    """Keep so many warnings of one kind that they are read."""
    if len(warnings) <= MOST_WARNINGS:
        return warnings
    more = len(warnings) - MOST_WARNINGS
    return [*warnings[:MOST_WARNINGS], f"and {more} more {what}"]


def _about(column: Column, n_rows: int, *, is_float: bool) -> Iterator[tuple[str, str]]:
    if column.missing == n_rows:
        yield "are empty", "is empty"
    elif column.missing:
        yield "have missing cells", f"has {counted(column.missing, 'missing cell')}"
    if n_rows > 1 and (column.is_constant or (_is_text(column) and column.distinct == 1)):
        yield "are constant", "is constant"
    if column.dtype is ColumnType.INT64 and _beyond_float(column):
        yield (
            "have integers that float64 cannot hold exactly",
            "has integers that float64 cannot hold exactly",
        )
    if column.dtype is ColumnType.FLOAT64 and not is_float and _beyond_float(column):
        yield (
            "have numbers beyond 2^53",
            "has numbers beyond 2^53: float64 keeps 16 digits, and rounds longer integers",
        )
    if _is_text(column) and column.missing == 0 and column.distinct == n_rows > 20:
        yield "look like ids", "looks like an id: each of its texts stands in one row only"


def _is_text(column: Column) -> bool:
    return column.dtype is ColumnType.STRING


def _beyond_float(column: Column) -> bool:
    return max(abs(column.min or 0), abs(column.max or 0)) > 2**53 - 1


def is_sequence(batches: tuple[Batch, ...], name: str) -> bool:
    """Say whether a column only rises or only falls."""
    steps: set[float] = set()
    last: float | None = None
    for batch in batches:
        values = batch.floats(name)
        with np.errstate(invalid="ignore"):
            signs = np.sign(np.diff(values, prepend=values[:1] if last is None else last))
        steps |= set(np.unique(signs[1:] if last is None else signs).tolist())
        if len(steps) != 1 or not steps & {-1.0, 1.0}:
            return False
        last = float(values[-1])
    return True
