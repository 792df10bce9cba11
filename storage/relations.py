"""What a table's columns are to each other: copies, multiples, of scales far apart, row numbers."""

import numpy as np
from numpy.typing import NDArray

from descend.datasets import Column, ColumnType
from storage.arrow import Table
from storage.profile import few_of, is_sequence

__all__ = ["warnings_about_relations"]

# Beyond these the comparison of pairs is not worth the wait: it is a product of matrices.
COMPARED_COLUMNS = 200
COMPARED_ROWS = 10_000
LEAST_ROWS = 10
COLLINEAR = 1 - 1e-9
FAR_APART = 1e6
ID_ROWS = 20

Floats = NDArray[np.float64]


def warnings_about_relations(table: Table, columns: list[Column]) -> list[str]:
    """Name columns that are copies or multiples of others, row numbers, or of far-off scales."""
    copies = _copies(table, columns)
    numbers = [c for c in columns if c.is_numeric and c.name not in copies and c.std]
    return [
        *few_of([f"column {b!r} is a copy of {a!r}" for b, a in copies.items()], "are copies"),
        *_collinear(table, numbers),
        *_far_apart(numbers),
        *_row_numbers(table, columns),
    ]


def _copies(table: Table, columns: list[Column]) -> dict[str, str]:
    """Map each column that repeats an earlier one to that; equal profiles come first."""
    found: dict[str, str] = {}
    earlier: dict[object, list[str]] = {}
    for column in columns:
        if column.is_constant or column.missing == table.n_rows:
            continue
        profile = tuple(column.model_dump(exclude={"name", "sample", "unnamed"}).values())
        alike = earlier.setdefault(profile, [])
        same = next((name for name in alike[:3] if _equal(table, name, column)), None)
        if same is None:
            alike.append(column.name)
        else:
            found[column.name] = same
    return found


def _equal(table: Table, name: str, column: Column) -> bool:
    if column.is_numeric:
        return all(
            np.array_equal(batch.floats(name), batch.floats(column.name), equal_nan=True)
            for batch in table.batches
        )
    pairs = ((batch.texts(name), batch.texts(column.name)) for batch in table.batches)
    return all(a[1] == b[1] and np.array_equal(a[0], b[0]) for a, b in pairs)


def _collinear(table: Table, numbers: list[Column]) -> list[str]:
    if table.n_rows < LEAST_ROWS or len(numbers) < 2:
        return []
    if len(numbers) > COMPARED_COLUMNS:
        return [f"there are more than {COMPARED_COLUMNS} columns of numbers: pairs not compared"]
    every = -(-table.n_rows // COMPARED_ROWS)
    rows = np.concatenate(
        [
            np.stack([batch.floats(column.name)[::every] for column in numbers], axis=1)
            for batch in table.batches
        ]
    )
    in_rows = "" if every == 1 else f", in every {every}th row"
    found = [
        f"columns {numbers[i].name!r} and {numbers[j].name!r} are collinear{in_rows}"
        for i, j in np.argwhere(np.triu(np.abs(_correlations(rows)) > COLLINEAR, 1)).tolist()
    ]
    return few_of(found, "pairs are collinear")


def _correlations(rows: Floats) -> Floats:
    """Correlate all pairs of columns, each over the rows in which both are present.

    With Z the standardised columns, 0 where missing, and W = 1 where present:
    n = W'W, cov = Z'Z / n - (Z'W / n) (W'Z / n), var_i = (Z^2)'W / n - (Z'W / n)^2.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        W = (~np.isnan(rows)).astype(np.float64)
        present = W.sum(axis=0)
        Z = np.where(W, rows - np.where(W, rows, 0.0).sum(axis=0) / present, 0.0)
        Z /= np.sqrt((Z * Z).sum(axis=0) / present)
        Z = np.where(np.isfinite(Z), Z, 0.0)
        n = W.T @ W
        mean = Z.T @ W / n
        variance = (Z * Z).T @ W / n - mean * mean
        covariance = Z.T @ Z / n - mean * mean.T
        found = covariance / np.sqrt(variance * variance.T)
    return np.where((n >= LEAST_ROWS) & np.isfinite(found), found, 0.0)


def _far_apart(numbers: list[Column]) -> list[str]:
    if len(numbers) < 2:
        return []
    narrow = min(numbers, key=lambda column: column.std or 0.0)
    wide = max(numbers, key=lambda column: column.std or 0.0)
    if (wide.std or 0.0) <= FAR_APART * (narrow.std or 0.0):
        return []
    names = f"{wide.name!r} and {narrow.name!r}"
    times = f"{FAR_APART:,.0f}"
    return [
        f"the scales of columns {names} are more than {times} times apart: standardize handles it"
    ]


def _row_numbers(table: Table, columns: list[Column]) -> list[str]:
    found = [
        f"column {column.name!r} looks like an id: its integers only rise or only fall"
        for column in columns
        if column.dtype is ColumnType.INT64 and column.missing == 0 and table.n_rows > ID_ROWS
        if is_sequence(table.batches, column.name)
    ]
    return few_of(found, "columns look like ids")
