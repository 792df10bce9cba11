"""What a profile tells of a table, and what it warns about."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from descend.datasets import Dataset
from storage.ingest import dataset_of
from storage.profile import COUNTED_VALUES

ROWS = 300_000
APART = "are more than 1,000,000 times apart: standardize handles it"


def described(folder: Path, columns: dict[str, Any]) -> Dataset:
    path = folder / "t.arrow"
    pl.DataFrame(columns).write_ipc(
        path, compat_level=pl.CompatLevel.oldest(), record_batch_size=2**16
    )
    return dataset_of(path, name=None, format_="csv")


def noise(n: int = 1000) -> Any:
    return np.random.default_rng(0).normal(size=n)


def test_statistics_of_many_batches_are_those_of_the_whole(tmp_path: Path) -> None:
    values = 1e9 + np.random.default_rng(0).normal(size=ROWS)
    values[::7] = np.nan

    (column,) = described(tmp_path, {"a": pl.Series(values, nan_to_null=True)}).columns

    present = values[~np.isnan(values)]
    assert (column.min, column.max) == (present.min(), present.max())
    assert column.missing == ROWS - len(present)
    assert column.mean == pytest.approx(present.mean(), rel=1e-15)
    assert column.std == pytest.approx(present.std(), rel=1e-9)
    assert column.sample == present[:5].tolist()


@pytest.mark.parametrize("different", [7, COUNTED_VALUES, COUNTED_VALUES + 1])
def test_different_numbers_are_counted_exactly_or_not_at_all(
    tmp_path: Path, different: int
) -> None:
    (column,) = described(tmp_path, {"a": np.arange(ROWS) % different * 0.5}).columns

    assert column.distinct == (different if different <= COUNTED_VALUES else None)


@pytest.mark.parametrize(
    ("columns", "warning"),
    [
        ({"a": [1.0] * 30, "b": noise(30)}, "column 'a' is constant"),
        ({"a": ["x"] * 30}, "column 'a' is constant"),
        ({"a": noise(), "b": noise()}, "column 'b' is a copy of 'a'"),
        ({"a": ["x", "y", "x"], "b": ["x", "y", "x"]}, "column 'b' is a copy of 'a'"),
        ({"a": noise(), "b": 3 - 2 * noise()}, "columns 'a' and 'b' are collinear"),
        (
            {"a": noise(ROWS), "b": 2 * noise(ROWS)},
            "columns 'a' and 'b' are collinear, in every 30th row",
        ),
        (
            {f"c{j}": np.random.default_rng(j).normal(size=20) for j in range(201)},
            "there are more than 200 columns of numbers: pairs not compared",
        ),
        (
            {"a": noise(), "b": 1e7 * np.random.default_rng(1).normal(size=1000)},
            f"the scales of columns 'b' and 'a' {APART}",
        ),
        (
            {"a": np.arange(ROWS)},
            "column 'a' looks like an id: its integers only rise or only fall",
        ),
        (
            {"a": [f"row {i}" for i in range(21)]},
            "column 'a' looks like an id: each of its texts stands in one row only",
        ),
        ({"a": [2**53 + 1, 5]}, "column 'a' has integers that float64 cannot hold exactly"),
    ],
)
def test_what_will_surprise_is_said(tmp_path: Path, columns: dict[str, Any], warning: str) -> None:
    assert described(tmp_path, columns).warnings == [warning]


@pytest.mark.parametrize(
    "columns",
    [
        {"a": noise(), "b": noise() + 1e-4 * np.random.default_rng(1).normal(size=1000)},
        {"a": noise(9), "b": 2 * noise(9)},
        {"a": np.arange(20), "b": ["x", "y"] * 10},
        {"a": [*range(30), 7], "b": [3] * 30 + [4]},
    ],
    ids=["almost collinear", "too few rows to tell", "a short sequence", "not a sequence"],
)
def test_what_will_not_surprise_is_not(tmp_path: Path, columns: dict[str, Any]) -> None:
    assert described(tmp_path, columns).warnings == []


def test_gaps_do_not_hide_that_columns_are_collinear(tmp_path: Path) -> None:
    a, b = noise(), 5 * noise()
    a[::3], b[::4] = np.nan, np.nan
    columns = {"a": pl.Series(a, nan_to_null=True), "b": pl.Series(b, nan_to_null=True)}

    assert described(tmp_path, columns).warnings[-1] == "columns 'a' and 'b' are collinear"


def test_warnings_of_one_kind_are_few(tmp_path: Path) -> None:
    found = described(tmp_path, {f"c{j}": [1.0, 1.0] for j in range(50)}).warnings

    assert len(found) == 21
    assert found[-1] == "and 30 more columns are constant"
