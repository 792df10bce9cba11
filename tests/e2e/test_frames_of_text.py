"""Frames whose columns are text of numbers: told, read when asked, groups where so declared."""

from typing import Any

import pandas as pd
import polars as pl
import pytest

from descend import Client
from descend.errors import InvalidInput

AREA = [33.0, 32.0, 58.0, 40.0]
RENTS = ["$1,330", "$1,320", "$1,580", "$1,400"]
READING = {"thousands": "rent:,", "strip": "rent:$"}
both = pytest.mark.parametrize("package", [pd, pl], ids=["pandas", "polars"])
# What is small goes inside the job, what is large is uploaded.
sizes = pytest.mark.parametrize("copies", [1, 6_000])


@both
@sizes
def test_text_of_numbers_is_refused_and_read_when_asked(
    client: Client, package: Any, copies: int
) -> None:
    frame = package.DataFrame({"area": AREA * copies, "rent": RENTS * copies})

    with pytest.raises(InvalidInput, match="thousands=rent:, and strip=rent:") as refusal:
        client.train(frame, target="rent", optimizer="exact")
    model = client.train(frame, target="rent", optimizer="exact", **READING).wait().model

    assert refusal.value.errors[0].options[0] == {"thousands": ["rent:,"], "strip": ["rent:$"]}
    assert [*model.coef[0], *model.intercept] == pytest.approx([10, 1000])


@both
@sizes
def test_a_declared_category_of_digits_is_a_group_without_a_word(
    client: Client, package: Any, copies: int
) -> None:
    zones = ["1", "2", "1", "2"] * copies
    category = (
        pd.Series(zones, dtype="category")
        if package is pd
        else pl.Series(zones, dtype=pl.Categorical)
    )
    frame = package.DataFrame({"zone": category, "y": [1.0, 3.0, 1.0, 3.0] * copies})

    model = client.train(frame, target="y", optimizer="exact").wait().model

    assert model.features == ["zone=2"]
    assert model.coef[0] == pytest.approx([2.0])


def test_columns_that_the_job_does_not_use_need_not_be_readable(client: Client) -> None:
    frame = pd.DataFrame({"area": AREA, "note": RENTS, "y": [3.3, 3.2, 5.8, 4.0]})

    for options in ({"features": ["area"]}, {"exclude": ["note"]}):
        run = client.train(frame, target="y", optimizer="exact", **options)  # type: ignore[arg-type]

        assert run.wait().model.features == ["area"]


def test_a_table_is_predicted_as_its_text_is_said_to_be_written(client: Client) -> None:
    frame = pd.DataFrame({"rent": RENTS, "area": AREA})
    run = client.train(frame, target="area", optimizer="exact", **READING).wait()  # type: ignore[arg-type]
    model_id = str(run.job.model_id)

    told = client.predict(model_id, frame[["rent"]], **READING)  # type: ignore[arg-type]

    assert [row[0] for row in told.y] == pytest.approx(AREA)
    with pytest.raises(InvalidInput, match="'rent' is a number"):
        client.predict(model_id, frame[["rent"]])
