from datetime import UTC, datetime
from typing import Any

import pytest

from descend.datasets import Column, ColumnType, Dataset
from descend.errors import InvalidInput
from descend.ids import new_id
from descend.jobs import JobSpec
from service.admission import admit


def column(name: str, **profile: Any) -> Column:
    return Column(**{"name": name, "dtype": ColumnType.FLOAT64, "missing": 0} | profile)


def dataset(*columns: Column, n_rows: int = 10, **more: Any) -> Dataset:
    return Dataset(
        id=new_id("ds"),
        format="csv",
        n_rows=n_rows,
        n_columns=len(columns),
        size_bytes=100,
        sha256="0" * 64,
        columns=list(columns),
        created_at=datetime.now(UTC),
        **more,
    )


TABLE = dataset(
    column("hours", min=1.0, max=2.0),
    column("rooms", dtype=ColumnType.INT64, min=1, max=4),
    column("town", dtype=ColumnType.STRING),
    column("age", missing=3, min=0.0, max=9.0),
    column("heavy", min=0.0, max=2.0),
    column("negative", min=-1.0, max=2.0),
    column("nothing", min=0.0, max=0.0),
    column("price", min=1.0, max=2.0),
)
ARRAYS = dataset(
    column("x0"),
    column("y"),
    column("sample_weight", min=0.0, max=1.0),
    default_target=["y"],
    default_weight="sample_weight",
)


def spec(**fields: Any) -> JobSpec:
    return JobSpec.model_validate({"dataset": new_id("ds"), **fields})


def test_features_are_all_columns_but_targets_and_weight() -> None:
    table = dataset(column("a"), column("w", min=0.0, max=1.0), column("b"), column("y"))

    admitted = admit(spec(target="y", weight="w"), table)

    assert admitted.targets == ("y",)
    assert admitted.features == ("a", "b")
    assert admitted.weight == "w"


def test_the_order_of_the_features_is_the_request_s() -> None:
    admitted = admit(spec(target="price", features=["rooms", "hours"]), TABLE)

    assert admitted.features == ("rooms", "hours")


def test_an_upload_with_X_and_y_needs_no_target() -> None:
    admitted = admit(spec(), ARRAYS)

    assert admitted == admit(spec(target="y", weight="sample_weight"), ARRAYS)


def test_a_default_weight_that_is_asked_for_as_a_feature_is_a_feature() -> None:
    admitted = admit(spec(features=["x0", "sample_weight"]), ARRAYS)

    assert admitted.weight is None


INIT = {"hyperparameters": {"init": {"coef": [[1.0, 2.0]], "intercept": [1.0]}}}
GOOD = {"target": "price", "features": ["hours", "rooms"]}


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({}, "target", "name the column to predict"),
        ({"target": "cost"}, "target", "'cost'"),
        ({"target": "town", "features": ["hours"]}, "target", "holds text"),
        ({"target": "price"}, "features", "'age' has 3 missing cells"),
        (
            {"target": "price", "features": ["town"], "categorical": "error"},
            "features",
            "'town' holds text",
        ),
        ({"target": "price", "features": ["age"]}, "features", "'age' has 3 missing cells"),
        ({"target": "price", "features": ["size"]}, "features", "'size'"),
        ({"target": "price", "features": ["price"]}, "features", "a target and a feature"),
        ({**GOOD, "weight": "hours"}, "weight", "the weight and a feature"),
        ({**GOOD, "weight": "price"}, "weight", "the weight and a target"),
        ({**GOOD, "weight": "mass"}, "weight", "'mass'"),
        ({**GOOD, "weight": "town"}, "weight", "holds text"),
        ({**GOOD, "weight": "age"}, "weight", "missing"),
        ({**GOOD, "weight": "negative"}, "weight", "below 0"),
        ({**GOOD, "weight": "nothing"}, "weight", "only zeros"),
        (
            {**GOOD, "hyperparameters": {"init": {"coef": [[1.0]]}}},
            "hyperparameters.init.coef",
            "1 rows (targets) of 2 numbers",
        ),
        (
            {**GOOD, "hyperparameters": {"init": {"coef": [[1.0, 2.0], [1.0, 2.0]]}}},
            "hyperparameters.init.coef",
            "1 rows",
        ),
        (
            {**GOOD, "hyperparameters": {"init": {"coef": [[1.0, 2.0]], "intercept": []}}},
            "hyperparameters.init.intercept",
            "1 numbers",
        ),
        (
            {
                **GOOD,
                "hyperparameters": {
                    "init": {"coef": [[1.0, 2.0]], "intercept": [0.0]},
                    "fit_intercept": False,
                },
            },
            "hyperparameters.init.intercept",
            "no intercept is fitted",
        ),
    ],
)
def test_what_cannot_train_is_refused_with_its_field(
    fields: dict[str, Any], param: str, says: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        admit(spec(**fields), TABLE)

    assert refused.value.param == param
    assert says in refused.value.message


def test_one_row_cannot_be_split() -> None:
    table = dataset(column("a"), column("y"), n_rows=1)

    with pytest.raises(InvalidInput, match="one row cannot"):
        admit(spec(target="y", hyperparameters={"validation_fraction": 0.9}), table)


def test_a_table_of_targets_alone_has_no_features() -> None:
    with pytest.raises(InvalidInput, match="no column is left"):
        admit(spec(target="y"), dataset(column("y")))


def test_more_coefficients_than_a_model_may_have_are_refused() -> None:
    names = [f"c{i}" for i in range(2100)]
    table = dataset(*(column(name) for name in names))

    with pytest.raises(InvalidInput, match="coefficients"):
        admit(spec(target=names[:1000], features=names[1000:]), table)


def test_weights_of_the_right_shape_are_let_in() -> None:
    assert admit(spec(**GOOD, **INIT), TABLE).features == ("hours", "rooms")


def test_every_column_that_cannot_be_used_is_in_one_refusal() -> None:
    table = dataset(
        column("a", missing=2, min=0.0, max=1.0),
        column("b", missing=10),
        column("c", dtype=ColumnType.STRING, distinct=30),
        column("y", missing=1, min=0.0, max=1.0),
        n_rows=40,
    )
    table = table.model_copy(update={"n_rows": 40})

    with pytest.raises(InvalidInput) as refused:
        admit(spec(target="y", features=["a", "b", "c"]), table)

    found = [(one.column, one.param, one.code) for one in refused.value.errors]
    assert found == [
        ("y", "target", "missing_cells"),
        ("a", "features", "missing_cells"),
        ("b", "features", "missing_cells"),
        ("c", "features", "levels"),
    ]
    assert refused.value.errors[0].options == [{"missing": ["drop"]}, {"missing": ["mean"]}]
    assert refused.value.errors[3].options == [{"exclude": ["c"]}]
    assert all(f"column {name!r}" in refused.value.message for name in "yabc")


MIXED = dataset(
    column("index", dtype=ColumnType.INT64, unnamed=True, min=0, max=99),
    column("empty", missing=100),
    column("name", dtype=ColumnType.STRING, distinct=99),
    column("street", dtype=ColumnType.STRING, distinct=26),
    column("kind", dtype=ColumnType.STRING, distinct=25),
    column("same", dtype=ColumnType.STRING, distinct=1),
    column("long", dtype=ColumnType.STRING, distinct=None),
    column("area", min=0.0, max=1.0),
    column("one", min=1.0, max=1.0),
    column("y", min=0.0, max=1.0),
    n_rows=100,
)


def test_by_default_what_is_no_feature_is_left_out_and_said() -> None:
    admitted = admit(spec(target="y"), MIXED)

    assert admitted.features == ("kind", "area", "one")
    assert admitted.warnings == (
        "column 'index' is left out of the features: not named in the file",
        "column 'empty' is left out of the features: empty",
        "columns 'name', 'street', 'long' are left out of the features: text of too many levels",
        "column 'same' is left out of the features: text of one level",
    )


def test_named_features_are_taken_without_a_word_and_excluded_ones_are_not() -> None:
    named = admit(spec(target="y", features=["index", "street", "area"], exclude=["area"]), MIXED)
    rest = admit(spec(target="y", exclude=["kind", "name"]), MIXED)

    assert (named.features, named.warnings) == (("index", "street"), ())
    assert rest.features == ("area", "one")
    with pytest.raises(InvalidInput, match="there is no column 'gone', 'lost'") as refused:
        admit(spec(target="y", exclude=["area", "gone", "lost"]), MIXED)
    assert refused.value.param == "exclude"


def test_text_that_is_to_be_refused_is_not_left_out_instead() -> None:
    with pytest.raises(InvalidInput, match="'kind' holds text"):
        admit(spec(target="y", categorical="error"), MIXED)


LOAD = column("load", min=9, max=40)
WHOLE = ColumnType.INT64


@pytest.mark.parametrize(
    ("columns", "guess"),
    [
        ([column("price", min=0, max=9), column("area", min=0, max=9)], "price"),
        ([LOAD, column("model year", dtype=WHOLE, min=70, max=82)], "load"),
        ([LOAD, column("Jahr", min=1, max=2)], "load"),
        ([LOAD, column("built", dtype=WHOLE, min=1950, max=2020)], "load"),
        ([LOAD, column("customer_id", min=1, max=2)], "load"),
        ([LOAD, column("patientID", min=1, max=2)], "load"),
        ([LOAD, column("day [days since 2024-01-01]", min=0, max=9)], "load"),
        ([LOAD, column("n", dtype=WHOLE, min=5, max=104, distinct=100)], "load"),
        ([LOAD, column("unnamed_1", unnamed=True, min=0, max=99)], "load"),
        ([LOAD, column("one", min=1, max=1), column("t", dtype=ColumnType.STRING)], "load"),
        ([LOAD, column("humid", min=1, max=2)], "humid"),
        ([column("id", min=1, max=2), column("year", min=1, max=2)], None),
    ],
    ids=lambda value: value[-1].name if isinstance(value, list) else "",
)
def test_the_guessed_target_is_never_a_year_or_an_id(
    columns: list[Column], guess: str | None
) -> None:
    assert dataset(*columns, n_rows=100).suggested_target == guess
