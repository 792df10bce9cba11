"""From raw records to the design matrix, and what is refused on the way."""

import json
from typing import Any

import numpy as np
import pytest

from descend.encoding import CategoricalInput, Encoding, NumericInput
from descend.errors import InvalidInput

AGE = NumericInput(name="age")
TOWN = CategoricalInput(name="town", levels=["Bonn", "Oslo", "Rome"])
UNION = NumericInput(name="union", boolean=True)
FILLED = Encoding(
    inputs=[
        NumericInput(name="age", fill=40.5),
        CategoricalInput(name="town", levels=["Bonn", "Oslo", "Rome"], fill="Oslo"),
    ]
)
MIXED = Encoding(inputs=[AGE, TOWN, UNION])
WHOLE: dict[str, Any] = {"age": 30, "town": "Rome", "union": True}


def test_a_level_is_a_feature_but_for_the_base() -> None:
    X = MIXED.encode([WHOLE, {"union": False, "town": "Bonn", "age": -1.5}])

    assert MIXED.features == ["age", "town=Oslo", "town=Rome", "union"]
    assert X.dtype == np.float64
    assert X.tolist() == [[30, 0, 1, 1], [-1.5, 0, 0, 0]]


def test_text_of_one_level_is_no_feature() -> None:
    encoding = Encoding(inputs=[CategoricalInput(name="c", levels=["only"]), AGE])

    assert encoding.features == ["age"]
    assert encoding.encode([{"c": "only", "age": 2}]).tolist() == [[2]]


@pytest.mark.parametrize("record", [{"age": None, "town": None}, {}, {"town": None}])
def test_a_missing_cell_takes_its_fill(record: dict[str, Any]) -> None:
    assert FILLED.encode([record]).tolist() == [[40.5, 1, 0]]


def test_a_boolean_may_be_given_as_a_number() -> None:
    assert MIXED.encode([{**WHOLE, "union": 0.5}])[0, 3] == 0.5


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"age": None}, "rows.1.age", "'age' is missing"),
        ({"age": ...}, "rows.1.age", "'age' is missing"),
        ({"age": "30"}, "rows.1.age", "'age' is a number"),
        ({"age": True}, "rows.1.age", "'age' is a number"),
        ({"union": "true"}, "rows.1.union", "'union' is a number"),
        ({"town": None}, "rows.1.town", "'town' is missing"),
        ({"town": ...}, "rows.1.town", "'town' is missing"),
        ({"town": "Paris"}, "rows.1.town", 'it knows Bonn, Oslo, Rome. With "unseen": "base"'),
        ({"town": 1}, "rows.1.town", "a level that the model was not trained on"),
        ({"town": True}, "rows.1.town", "a level that the model was not trained on"),
        ({"town": ""}, "rows.1.town", "a level that the model was not trained on"),
        ({"size": 1}, "rows.1.size", "no such feature"),
        ({"town=Rome": 1}, "rows.1.town=Rome", "no such feature"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_by_its_place_and_column(
    change: dict[str, Any], param: str, says: str
) -> None:
    record = {name: cell for name, cell in {**WHOLE, **change}.items() if cell is not ...}

    with pytest.raises(InvalidInput) as refused:
        MIXED.encode([WHOLE, record])

    assert refused.value.param == param
    assert says in refused.value.message
    assert "Paris" not in refused.value.message


def test_an_unseen_level_counts_as_the_base_where_that_is_asked_for() -> None:
    rows = [{**WHOLE, "town": "Paris"}, {**WHOLE, "town": "Bonn"}]

    X = MIXED.encode(rows, unseen="base")

    assert X[0].tolist() == X[1].tolist()


def test_the_base_is_not_what_fills_a_missing_cell() -> None:
    with pytest.raises(InvalidInput, match="'town' is missing"):
        MIXED.encode([{**WHOLE, "town": None}], unseen="base")


def test_no_more_than_ten_levels_are_listed() -> None:
    levels = [f"l{i:02}" for i in range(30)]
    encoding = Encoding(inputs=[CategoricalInput(name="c", levels=levels)])

    with pytest.raises(InvalidInput, match=r"l00, .*l09, …") as refused:
        encoding.encode([{"c": "z"}])

    assert "l10" not in refused.value.message


def test_a_long_name_is_cut_in_a_refusal() -> None:
    with pytest.raises(InvalidInput) as refused:
        MIXED.encode([{**WHOLE, "x" * 5000: 1}])

    assert len(refused.value.param or "") < 120


@pytest.mark.parametrize(
    ("encoding", "plain"),
    [
        (Encoding(inputs=[AGE]), True),
        (Encoding(inputs=[AGE, UNION]), False),
        (Encoding(inputs=[AGE, TOWN]), False),
        (Encoding(inputs=[NumericInput(name="age", fill=0.0)]), False),
    ],
)
def test_numbers_taken_as_they_are_are_plain(encoding: Encoding, *, plain: bool) -> None:
    assert encoding.is_plain is plain


def test_an_encoding_is_the_same_when_read_back() -> None:
    for encoding in (MIXED, FILLED):
        body = json.loads(encoding.model_dump_json())

        assert Encoding.model_validate(body) == encoding
