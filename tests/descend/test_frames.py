"""Frames of pandas and polars, records and dictionaries: predicted by name, sent as they are."""

import json
import math
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from descend import frames
from descend.columns import UnreadableCells, cells_of
from descend.encoding import CategoricalInput, Encoding, NumericInput
from descend.errors import InvalidInput
from descend.models import LinearModel

INPUTS = [
    NumericInput(name="size", fill=10.0),
    CategoricalInput(name="zone", levels=["1", "2", "3"]),
    NumericInput(name="sold", boolean=True),
]
MODEL = LinearModel(
    features=["size", "zone=2", "zone=3", "sold"],
    targets=["y"],
    coef=[[2.0, 100.0, 200.0, 1000.0]],
    intercept=[0.5],
    encoding=Encoding(inputs=INPUTS),
)
CELLS = {
    "sold": [True, False, True],
    "day": [date(2026, 1, 1)] * 3,
    "zone": ["2", "1", "3"],
    "size": [1.0, None, 3.0],
    "tags": [[1], [], [2]],
}
WANTED = [[1102.5], [20.5], [1206.5]]


def pandas_frame(cells: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(cells)
    frame["zone"] = frame["zone"].astype(int).astype("category")
    return frame


def records(cells: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


TABLES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": pandas_frame,
    "polars": pl.DataFrame,
    "lazy": lambda cells: pl.DataFrame(cells).lazy(),
    "dictionary": dict,
    "records": records,
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_model_takes_its_columns_of_a_table_by_name(kind: str) -> None:
    np.testing.assert_array_equal(MODEL.predict(TABLES[kind](CELLS)), WANTED)


@pytest.mark.parametrize("kind", TABLES)
def test_columns_that_a_table_has_not_are_named(kind: str) -> None:
    cells = {name: CELLS[name] for name in ("zone", "day")}

    with pytest.raises(InvalidInput, match="has no column 'size', 'sold'") as refused:
        MODEL.predict(TABLES[kind](cells))

    assert refused.value.param == "size"


def test_a_table_of_the_features_themselves_is_taken_by_name_too() -> None:
    design = {"sold": [1.0], "zone=3": [0.0], "zone=2": [1.0], "size": [1.0]}

    np.testing.assert_array_equal(MODEL.predict(pd.DataFrame(design)), WANTED[:1])


@pytest.mark.parametrize(
    ("change", "said", "param"),
    [
        ({"zone": ["2", "9", "3"]}, "not trained on", "rows.1.zone"),
        ({"size": ["1", "2", "3"]}, "'size' is a number", "rows.0.size"),
        ({"zone": [2, 1, 3]}, "levels are text, also those of numbers", "rows.0.zone"),
        ({"size": [date(2026, 1, 1)] * 3}, "'size' holds a date", "size"),
        ({"size": [1.0]}, "equally long", "X"),
    ],
)
def test_cells_that_do_not_fit_are_refused_by_row_and_column(
    change: dict[str, Any], said: str, param: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        MODEL.predict(CELLS | change)

    assert refused.value.param == param


def test_a_level_that_is_new_may_count_as_the_base() -> None:
    assert MODEL.predict(CELLS | {"zone": ["9", "1", "3"]}, unseen="base")[0, 0] == 1002.5


def test_arrays_are_taken_by_place_as_before() -> None:
    np.testing.assert_array_equal(MODEL.predict([[1.0, 1.0, 0.0, 1.0]]), WANTED[:1])


# -- sent ---------------------------------------------------------------------------------------


def test_categories_of_numbers_are_sent_as_levels_and_decimals_as_numbers() -> None:
    frame = pd.DataFrame(
        {
            "zone": pd.Categorical([1, 2, None]),
            "half": pd.Categorical([1.5, 2.5, 1.5]),
            "flag": pd.Categorical([True, False, None]),
            "town": pd.Categorical(["Ulm", None, "Bonn"]),
            "money": [Decimal("1.25"), Decimal("NaN"), Decimal("10000000000.5")],
        }
    )

    told = frames.inline_columns(frames.columns_of(frame))

    assert told == {
        "columns": {
            "zone": ["1", "2", None],
            "half": ["1.5", "2.5", "1.5"],
            "flag": ["true", "false", None],
            "town": ["Ulm", None, "Bonn"],
            "money": [1.25, None, 10000000000.5],
        },
        "text": ["zone", "half", "flag", "town"],
    }
    money = pl.Series("money", [Decimal("1.25"), None])
    assert cells_of("money", money) == [1.25, None]


@pytest.mark.parametrize("hold", [pd.DataFrame, pl.DataFrame, dict], ids=lambda one: one.__name__)
def test_digits_beyond_a_float_are_told_or_sent(hold: Callable[[dict[str, Any]], Any]) -> None:
    fits = frames.columns_of(hold({"x": [Decimal("0.1"), Decimal("123456789012345.5")]}))
    long = frames.columns_of(hold({"x": [Decimal("0.12345678901234567"), Decimal(1)]}))
    whole = frames.columns_of(hold({"x": [2**70, 1]}))

    assert frames.inline_columns(fits) == {"columns": {"x": [0.1, 123456789012345.5]}}
    with pytest.warns(UserWarning, match="'x' has decimals of more than 16 digits"):
        frames.inline_columns(long)
    sent = pl.read_ipc_stream(frames.columns_body(whole).content)  # type: ignore[arg-type]
    assert sent["x"].to_list() == [Decimal(2**70), Decimal(1)]


@pytest.mark.parametrize("dtype", [pl.Categorical(), pl.Enum(["1", "2"])], ids=str)
def test_what_is_declared_a_category_is_sent_as_one_in_every_form(
    dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"zone": pl.Series(["1", "2"], dtype=dtype), "code": pl.Series(["1", "2"])}

    assert (frames.inline_columns(columns) or {})["text"] == ["zone"]
    assert frames.columns_body(columns).text == ("zone",)
    monkeypatch.setattr(frames, "find_spec", lambda _: None)
    assert frames.columns_body(columns).text == ("zone",)


@pytest.mark.parametrize("n_rows", [2, frames.INLINE_CELLS])
@pytest.mark.parametrize("package", [pd, pl])
def test_columns_that_json_cannot_say_go_as_arrow_where_polars_is(
    n_rows: int, package: Any
) -> None:
    cells = {
        "x": [1.0],
        "day": [date(2026, 1, 1)],
        "at": [datetime(2026, 1, 1, tzinfo=UTC)],
        "tags": [[1, 2]],
    }
    frame = package.DataFrame({name: values * n_rows for name, values in cells.items()})
    columns = frames.columns_of(frame)

    assert frames.inline_columns(columns) is None
    body = frames.columns_body(columns)
    assert isinstance(body.content, bytes)
    sent = pl.read_ipc_stream(body.content)
    assert [str(dtype.base_type()) for dtype in sent.dtypes] == [
        "Float64",
        "Date",
        "Datetime",
        "List",
    ]
    assert len(sent) == n_rows


@pytest.mark.parametrize(
    ("cells", "type_"),
    [
        ([uuid.UUID(int=1), None], "Binary"),
        ([[1], ["a"]], "List"),
        ([[1], "a"], "Binary"),
        ([date(2026, 1, 1), "soon"], "Binary"),
        ([{1}, {2}], "Binary"),
        ([b"raw", None], "Binary"),
    ],
    ids=str,
)
@pytest.mark.parametrize("hold", [pd.DataFrame, dict], ids=lambda one: one.__name__)
def test_no_column_of_other_things_is_a_reason_to_refuse_the_table(
    hold: Callable[[dict[str, Any]], Any], cells: list[Any], type_: str
) -> None:
    columns = frames.columns_of(hold({"x": [1.5, 2.5], "odd": cells}))

    assert frames.inline_columns(columns) is None
    content = frames.columns_body(columns).content
    assert isinstance(content, bytes)
    sent = pl.read_ipc_stream(content)
    assert sent["x"].to_list() == [1.5, 2.5]
    assert str(sent["odd"].dtype.base_type()) == type_
    if cells[0] != b"raw" and type_ == "Binary":
        assert set(sent["odd"].to_list()) <= {b"", None}, "no address in memory is sent"


def test_without_polars_they_stay_behind_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "find_spec", lambda _: None)
    columns = frames.columns_of({"x": [1.0, math.nan], "day": [date(2026, 1, 1)] * 2})

    with pytest.warns(UserWarning, match="not sent: column 'day' holds a date"):
        assert frames.inline_columns(columns) == {"columns": {"x": [1.0, None]}}
    with pytest.warns(UserWarning, match="not sent: column 'day'"):
        content = frames.columns_body(columns).content
    assert callable(content)
    assert [json.loads(line) for line in b"".join(content()).splitlines()] == [
        {"x": 1.0},
        {"x": None},
    ]
    with pytest.raises(UnreadableCells):
        frames.inline_columns({"day": columns["day"]})


def test_rows_to_predict_leave_such_columns_out() -> None:
    assert frames.rows_of(CELLS) == [
        {"sold": sold, "zone": zone, "size": size}
        for sold, zone, size in zip(CELLS["sold"], CELLS["zone"], CELLS["size"], strict=True)
    ]
