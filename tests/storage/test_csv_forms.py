"""Numbers, dates and flags as people write them: read when asked for, refused with what reads them.

A column of them never becomes text in silence, and never levels.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from descend.datasets import ColumnType, UploadFormat
from descend.errors import InvalidDataset, InvalidInput
from descend.field_errors import FieldError
from storage.ingest import Ingested, ingested_at, read_columns
from storage.ingest_files import Order, ingest_file, read_file

Csv = Callable[..., Ingested]


@pytest.fixture
def csv(tmp_path: Path) -> Csv:
    def ingest(content: str, **options: object) -> Ingested:
        path, target = tmp_path / "upload.csv", tmp_path / "t.arrow"
        path.write_text(content, encoding="utf-8")
        order = Order(path=path, target=target, format=UploadFormat.CSV, **options)  # type: ignore[arg-type]
        return ingested_at(ingest_file(order), target)

    return ingest


def table(cells: list[str]) -> str:
    """A table in which no cell needs quotes: columns `x`, of these, and `y`."""
    return "x|y\n" + "".join(f"{cell}|{i}.5\n" for i, cell in enumerate(cells))


def x_of(ingested: Ingested, name: str = "x") -> list[float]:
    assert ingested.inline is not None
    found: list[float] = read_columns(ingested.inline, [name])[name].tolist()
    return found


def refused(csv: Csv, text: str, **options: object) -> tuple[FieldError, ...]:
    with pytest.raises(InvalidDataset) as refusal:
        csv(text, **options)
    return refusal.value.errors


# Cells, what they are, and the options that a refusal must name for them, the likeliest first.
WRITTEN: list[tuple[list[str], list[float], dict[str, list[str]]]] = [
    (
        ["$1,950", "$12,000.50", "-$7", "$-8"],
        [1950, 12000.5, -7, -8],
        {"thousands": ["x:,"], "strip": ["x:$"]},
    ),
    (["12 %", "13.5%", "14 %"], [12, 13.5, 14], {"strip": ["x:%"]}),
    (["1,234,567", "2,000", "12"], [1234567, 2000, 12], {"thousands": ["x:,"]}),
    (["1.950,50", "887,09", "3.954"], [1950.5, 887.09, 3954], {"thousands": ["x:."]}),
    (["1.234.567", "2.000", "12"], [1234567, 2000, 12], {"thousands": ["x:."]}),
    (["1'234.5", "2\u2019000", "3"], [1234.5, 2000, 3], {"thousands": ["x:'"]}),
    (["1 234.5", "2\u00a0000", "3\u202f000"], [1234.5, 2000, 3000], {"thousands": ["x: "]}),
    (["1,5", "2,25", "3"], [1.5, 2.25, 3], {"decimal": [","]}),
    (["1 234,5", "2 000", "3"], [1234.5, 2000, 3], {"thousands": ["x: "], "decimal": [","]}),
    (["20 €", "3,50 €", "7 €"], [20, 3.5, 7], {"decimal": [","], "strip": ["x:€"]}),
    (["USD 5", "USD 7.25", "USD 8"], [5, 7.25, 8], {"strip": ["x:USD"]}),
    (
        ["R$ 1.234,56", "R$ 5,00", "R$ 7"],
        [1234.56, 5, 7],
        {"thousands": ["x:."], "strip": ["x:R$"]},
    ),
    (
        ["(1,234)", "2,000", "(3)", "4,000"],
        [-1234, 2000, -3, 4000],
        {"thousands": ["x:,"], "strip": ["x:()"]},
    ),
    (["($5)", "$6.25", "$7"], [-5, 6.25, 7], {"strip": ["x:$", "x:()"]}),
    (["12-", "13", "14.5-"], [-12, 13, -14.5], {"strip": ["x:-"]}),
    (["0 kN", "1", "2", "3", "4 kN"], [0, 1, 2, 3, 4], {"strip": ["x:kN"]}),
    (["36 months", "60 months", "36 months"], [36, 60, 36], {"strip": ["x:months"]}),
    (["23.4 km/h", "18 km/h", "19km/h"], [23.4, 18, 19], {"strip": ["x:km/h"]}),
    (["5 m2", "6 m2", "7.5 m2"], [5, 6, 7.5], {"strip": ["x:m2"]}),
]


@pytest.mark.parametrize(("cells", "numbers", "options"), WRITTEN, ids=lambda v: str(v)[:30])
def test_numbers_in_another_form_are_refused_with_the_option_that_reads_them(
    csv: Csv, cells: list[str], numbers: list[float], options: dict[str, list[str]]
) -> None:
    (error,) = refused(csv, table(cells))

    assert (error.column, error.param) == ("x", "x")
    assert error.options[0] == options
    assert error.options[-1] == {"text": ["x"]}
    given = {name: tuple(values) for name, values in options.items()}
    text = table(cells).replace(".5\n", ",5\n") if "decimal" in options else table(cells)
    assert x_of(csv(text, **given)) == numbers


@pytest.mark.parametrize("cells", [cells for cells, _, _ in WRITTEN], ids=str)
def test_a_refusal_shows_rows_and_no_cell(csv: Csv, cells: list[str]) -> None:
    with pytest.raises(InvalidDataset, match=r"rows? \d") as refusal:
        csv(table(cells))

    (error,) = refusal.value.errors
    assert error.rows
    assert not any(cell in str(refusal.value) for cell in cells if len(cell) > 3)


def test_grouping_and_a_decimal_sign_that_look_alike_are_both_named(csv: Csv) -> None:
    (error,) = refused(csv, table(["1,234", "2,345", "3,456"]))

    assert error.options == [{"thousands": ["x:,"]}, {"decimal": [","]}, {"text": ["x"]}]


def test_a_true_minus_sign_is_a_minus(csv: Csv) -> None:
    assert x_of(csv(table(["\u22125", "6", "\u22127.5"]))) == [-5, 6, -7.5]


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        (["1,234", "12,34", "5,678", "9"], 2),
        (["1,234", "1,2345", "5,678"], 2),
        (["1,234", "1234,567", "5,678"], 2),
        (["1,234", "0,123", "5,678"], 2),
        (["1,23,456", "5,678", "9,876"], 1),
        (["1,234", "5,678", ",123"], 3),
    ],
)
def test_groups_that_are_not_of_three_digits_are_refused_by_row(
    csv: Csv, cells: list[str], row: int
) -> None:
    (error,) = refused(csv, table(cells), thousands=(",",))

    assert error.rows == [row]


@pytest.mark.parametrize("strip", ["(", ")", "5", "-1", ".", "+", "1,0"])
def test_what_is_part_of_a_number_is_not_taken_off(csv: Csv, strip: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        csv(table(["(5)", "6"]), strip=(f"x:{strip}",))

    assert refusal.value.param == "strip"


def test_a_text_is_taken_off_once(csv: Csv) -> None:
    (error,) = refused(csv, table(["$$5", "$6", "$7"]), strip=("$",))

    assert error.rows == [1]


def test_an_option_may_be_for_one_column_whose_name_has_commas_and_colons(csv: Csv) -> None:
    text = '"a: b, c",y\n$1,1%\n$2,2%\n'

    ingested = csv(text, strip=("a: b, c:$", "y:%"))

    assert x_of(ingested, "a: b, c") == [1, 2]
    assert x_of(ingested, "y") == [1, 2]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("strip", "z:$"),
        ("thousands", "z:,"),
        ("thousands", ";"),
        ("dates", "x:decade"),
        ("dates", "z:year"),
    ],
)
def test_an_option_that_names_nothing_is_refused_by_its_name(
    csv: Csv, option: str, value: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        csv(table(["5", "6"]), **{option: (value,)})

    assert refusal.value.param == option


LEVELS = [
    ["18-24", "25-34", "35-44"],
    ["1st", "2nd", "3rd", "1st", "2nd", "3rd"],
    ["A12", "B13", "C1"],
    ["PC 17599", "A/5 21171", "113803", "C.A. 33112"],
    ["12A", "14B", "13C", "9D"],
    ["10+ years", "< 1 year", "2 years", "3 years"],
    ["12:30", "13:40", "01:00"],
    ["192.168.0.1", "10.0.0.2", "10.0.0.3"],
    ["90210-1234", "12345-6789"],
    ["12 Main St", "40 Elm Ave", "7 Oak Rd", "9 Fir Ln"],
    ["red", "blue", "red"],
]


@pytest.mark.parametrize("cells", LEVELS, ids=lambda cells: str(cells[0]))
def test_codes_ranges_and_words_are_levels_and_codes_are_said_to_be(
    csv: Csv, cells: list[str]
) -> None:
    ingested = csv(table(cells))

    assert ingested.dataset.columns[0].dtype is ColumnType.STRING
    said = any("'x' is text" in warning for warning in ingested.dataset.warnings)
    assert said is any(sign.isdigit() for sign in "".join(cells))


def test_units_of_different_scales_are_never_offered_as_one(csv: Csv) -> None:
    (error,) = refused(csv, table(["5 kg", "300 g", "2 kg", "100 g", "7 kg"]))

    assert error.options == [{"text": ["x"]}]
    assert "different units" in error.message


def test_a_rare_text_beside_a_number_is_not_shown(csv: Csv) -> None:
    with pytest.raises(InvalidDataset) as refusal:
        csv(table(["5", "6", "7", "8", "9 Smith", *map(str, range(20))]))

    assert "Smith" not in f"{refusal.value} {refusal.value.errors}"


@pytest.mark.parametrize("head", [0, 6000], ids=["in the head", "far down"])
def test_one_word_among_true_and_false_is_refused_by_row(csv: Csv, head: int) -> None:
    cells = ["true", "FALSE"] * (head // 2) + ["true", "false", "unknown", "True"]

    (error,) = refused(csv, table(cells))

    assert (error.column, error.rows, error.n_cells) == ("x", [head + 3], 1)
    assert csv(table(cells), text=("x",)).dataset.columns[0].dtype is ColumnType.STRING
    assert csv(table(cells), null_values=("unknown",)).dataset.columns[0].missing == 1


def test_every_bad_column_is_in_one_refusal(csv: Csv) -> None:
    text = "a|b|c|d|y\n$5|true|2024-01-31|7|1\n$6|x|2024-02-01|?|2\n$7|false|2024-03-01|8|3\n"

    with pytest.raises(InvalidDataset) as refusal:
        csv(text)

    assert [error.column for error in refusal.value.errors] == ["a", "b", "c", "d"]
    assert "4 columns cannot be read" in str(refusal.value)
    assert "Send strip=a:$ and text=b,d and dates=c:days" in str(refusal.value)


# Dates

DATES = ["2024-02-01", "2023-12-31", "", "2024-03-01"]


def test_dates_are_refused_with_what_can_be_made_of_them(csv: Csv) -> None:
    (error,) = refused(csv, table(DATES))

    assert error.code == "dates"
    assert error.options == [
        {"dates": ["x:days"]},
        {"dates": ["x:year"]},
        {"dates": ["x:month"]},
        {"dates": ["x:weekday"]},
        {"text": ["x"]},
    ]


def test_dates_become_what_was_asked_for_and_it_is_said(csv: Csv) -> None:
    parts = ("x:days", "x:year", "x:month", "x:weekday")

    ingested = csv(table(DATES), dates=parts)

    names = [column.name for column in ingested.dataset.columns]
    assert names == ["x [days since 2023-12-31]", "x [year]", "x [month]", "x [weekday]", "y"]
    found = {name: x_of(ingested, name) for name in names[:4]}
    np.testing.assert_equal(found["x [days since 2023-12-31]"], [32, 0, np.nan, 61])
    np.testing.assert_equal(found["x [year]"], [2024, 2023, np.nan, 2024])
    np.testing.assert_equal(found["x [month]"], [2, 12, np.nan, 3])
    np.testing.assert_equal(found["x [weekday]"], [4, 7, np.nan, 5])
    assert "column 'x' is dates: made 'x [year]'" in ingested.dataset.warnings


@pytest.mark.parametrize(
    ("cell", "days"),
    [
        ("2024-01-02", 1),
        ("2024-01-02T06:00", 1.25),
        ("2024-01-02 06:00:00", 1.25),
        ("2024-01-02T06:00:00.000Z", 1.25),
        ("2024-01-02T08:30+02:30", 1.25),
        ("2024-01-02T01:00:00-0500", 1.25),
        ("2024-03", 60),
    ],
)
def test_times_of_day_are_fractions_in_utc(csv: Csv, cell: str, days: float) -> None:
    ingested = csv(table(["2024-01-01", cell]), dates=("days",))

    assert x_of(ingested, "x [days since 2024-01-01]") == [0, days]


def test_for_all_columns_only_those_of_dates_change(csv: Csv) -> None:
    ingested = csv("x|town|y\n2024-01-01|Ulm|1\n2024-01-03|Bonn|2\n", dates=("days",))

    assert [c.name for c in ingested.dataset.columns] == ["x [days since 2024-01-01]", "town", "y"]
    with pytest.raises(InvalidDataset, match="no column holds dates"):
        csv(table(["a", "b"]), dates=("days",))


def test_a_day_that_is_none_is_refused_by_row(csv: Csv) -> None:
    cells = ["2024-01-01", "2023-02-29", "2024-01-03"]

    assert [error.rows for error in refused(csv, table(cells))] == [[2]]
    assert [error.rows for error in refused(csv, table(cells), dates=("x:year",))] == [[2]]


@pytest.mark.parametrize(
    "cells",
    [["31.12.2023", "1.1.2024", "2.3.2024"], ["12/31/2023", "1/1/2024", "2/3/2024"],
     ["3-Jan-24", "4-Feb-24", "5-Mar-24"]],
    ids=str,
)  # fmt: skip
def test_dates_that_can_be_read_in_two_ways_are_refused(csv: Csv, cells: list[str]) -> None:
    (error,) = refused(csv, table(cells))

    assert error.code == "dates"
    assert "2024-12-31" in error.message


def test_rows_that_come_later_count_from_the_same_day(csv: Csv, tmp_path: Path) -> None:
    """To be appended, and to be predicted: the model knows the derived column alone."""
    name = "x [days since 2024-01-01]"
    csv(table(["2024-01-01"] * 3), dates=("days",))
    path, target = tmp_path / "later.csv", tmp_path / "later.arrow"
    path.write_text(table(["2024-02-01", "2024-01-31"]))
    order = Order(
        path=path, target=target, format=UploadFormat.CSV, columns={name: ColumnType.FLOAT64}
    )

    read_file(order)

    assert read_columns(target, [name])[name].tolist() == [31, 30]


def test_appended_dates_are_the_parents_columns(csv: Csv, tmp_path: Path) -> None:
    parent = csv(table(["2024-01-01"] * 3), dates=("days", "x:days"))
    assert parent.inline is not None
    below = tmp_path / "parent.arrow"
    below.write_bytes(parent.inline)

    both = csv(table(["2024-02-01"]), parent=below)

    assert x_of(both, "x [days since 2024-01-01]") == [0, 0, 0, 31]
