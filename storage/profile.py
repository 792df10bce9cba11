"""A column's profile: what a person wants to know before training on it."""

import math

import numpy as np
from numpy.typing import NDArray

from descend.datasets import Column, ColumnType

__all__ = ["COUNTED_ROWS", "profile", "warnings_about"]

# Counting distinct values sorts the column; beyond this it is not worth the wait.
COUNTED_ROWS = 1_000_000
# A set is quicker than a sort where the call itself is what costs.
FEW_ROWS = 100


def profile(name: str, values: NDArray[np.float64], *, dtype: ColumnType) -> Column:
    """Describe a numeric column.

    Args:
        name: of the column.
        values: shape (n_rows,), float64, NaN where a cell is missing.
        dtype: what the cells are.

    Returns:
        Counts, minimum, maximum, mean and standard deviation (dividing by n) of the present
        cells; None where there is no such number or it overflows.
    """
    missing = np.isnan(values)
    n_missing = int(missing.sum())
    present = values[~missing] if n_missing else values
    if not len(present):
        return Column(name=name, dtype=dtype, missing=n_missing, distinct=0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(present.mean()), float(present.std())
    return Column(
        name=name,
        dtype=dtype,
        missing=n_missing,
        min=float(present.min()),
        max=float(present.max()),
        mean=mean if math.isfinite(mean) else None,
        std=std if math.isfinite(std) else None,
        distinct=_distinct(present),
    )


def _distinct(present: NDArray[np.float64]) -> int | None:
    if len(present) <= FEW_ROWS:
        return len(set(present.tolist()))
    return len(np.unique(present)) if len(present) <= COUNTED_ROWS else None


def warnings_about(columns: list[Column], n_rows: int) -> list[str]:
    """Name the columns that will surprise."""
    found = []
    for column in columns:
        if column.missing == n_rows:
            found.append(f"column {column.name!r} is empty")
        elif column.missing:
            found.append(f"column {column.name!r} has {column.missing} missing cells")
        if column.is_constant and n_rows > 1:
            found.append(f"column {column.name!r} is constant")
        if column.dtype is ColumnType.INT64 and _beyond_float(column):
            found.append(f"column {column.name!r} has integers that float64 cannot hold exactly")
    return found


def _beyond_float(column: Column) -> bool:
    return max(abs(column.min or 0), abs(column.max or 0)) > 2**53 - 1
