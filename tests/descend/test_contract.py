"""The contract's values: what is accepted, what is refused, and by which name."""

import re
from typing import Literal

import numpy as np
import pytest
from numpy.typing import ArrayLike
from pydantic import ValidationError

import descend
from descend.errors import DescendError, InvalidInput, error_class
from descend.history import History
from descend.ids import ID_PATTERNS, new_id, uuid7
from descend.jobs import TERMINAL, TRANSITIONS, Hyperparameters, JobSpec, JobState
from descend.models import LinearModel, product
from descend.specs import Options

XY = '{"X": [[1], [2]], "y": [1, 2]}'


def locations(error: ValidationError) -> set[str]:
    return {str(part) for item in error.errors(include_input=False) for part in item["loc"]}


def every_error_class() -> list[type[DescendError]]:
    found = [DescendError]
    for kind in found:
        found.extend(k for k in kind.__subclasses__() if k.__module__ == DescendError.__module__)
    return found


def test_every_public_name_exists() -> None:
    assert all(getattr(descend, name) is not None for name in descend.__all__)


def test_every_error_has_a_code_of_its_own_and_a_default_message() -> None:
    kinds = every_error_class()

    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(kind().message for kind in kinds)
    assert all(error_class(kind.code) is kind for kind in kinds)


def test_an_unknown_code_is_a_plain_descend_error() -> None:
    assert error_class("from_the_future") is DescendError


def test_terminal_states_lead_nowhere_and_every_other_state_leads_to_an_end() -> None:
    assert {s for s in JobState if s.is_terminal} == TERMINAL
    assert all(TRANSITIONS[s] & TERMINAL for s in JobState if s not in TERMINAL)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('{"dataset": {"X": [[1], [2, 3]], "y": [1, 2]}}', "X"),
        ('{"dataset": {"X": [[1], [false]], "y": [1, 2]}}', "X"),
        ('{"dataset": {"X": [[1], ["2"]], "y": [1, 2]}}', "X"),
        ('{"dataset": {"X": [[1], [NaN]], "y": [1, 2]}}', "X"),
        ('{"dataset": {"X": [[]], "y": [1]}}', "X"),
        ('{"dataset": {"X": [], "y": []}}', "X"),
        ('{"dataset": {"X": [[1]], "y": [1e999]}}', "y"),
        ('{"dataset": {"X": [[1]], "y": [[1], [2, 3]]}}', "y"),
        ('{"dataset": {"X": [[1]], "y": [1], "sample_weight": [-1]}}', "sample_weight"),
        ('{"dataset": {"columns": {"a": [1], "b": [1, 2]}}}', "columns"),
        ('{"dataset": "ds_1"}', "dataset"),
        ('{"dataset": %s, "color": 1}' % XY, "color"),
        ('{"dataset": %s, "priority": 10}' % XY, "priority"),
        ('{"dataset": %s, "priority": true}' % XY, "priority"),
        ('{"dataset": %s, "features": ["a", "a"]}' % XY, "features"),
        ('{"dataset": %s, "missing": "median"}' % XY, "missing"),
        ('{"dataset": %s, "hyperparameters": {"optimizer": "newton"}}' % XY, "optimizer"),
        ('{"dataset": %s, "hyperparameters": {"learning_rate": 0}}' % XY, "learning_rate"),
        ('{"dataset": %s, "hyperparameters": {"learning_rate": "fast"}}' % XY, "learning_rate"),
        ('{"dataset": %s, "hyperparameters": {"max_epochs": 1.5}}' % XY, "max_epochs"),
        ('{"dataset": %s, "hyperparameters": {"max_epochs": 10000001}}' % XY, "max_epochs"),
        ('{"dataset": %s, "hyperparameters": {"batch_size": 0}}' % XY, "batch_size"),
        ('{"dataset": %s, "hyperparameters": {"loss": "hinge"}}' % XY, "loss"),
        ('{"dataset": %s, "hyperparameters": {"betas": [0.9]}}' % XY, "betas"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(body: str, named: str) -> None:
    with pytest.raises(ValidationError) as refused:
        JobSpec.model_validate_json(body)

    assert named in locations(refused.value)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('{"dataset": %s, "group_by": "a"}' % XY, "group_by"),
        ('{"dataset": %s, "search": {"grid": {}}}' % XY, "search"),
        (
            '{"dataset": %s, "hyperparameters": {"loss": "huber", "target_gap": 1e-9}}' % XY,
            "target_gap",
        ),
        ('{"dataset": %s, "hyperparameters": {"optimizer": "adam", "momentum": 0.5}}' % XY,
         "momentum"),
        ('{"dataset": %s, "hyperparameters": {"betas": [0.9, 0.99]}}' % XY, "betas"),
        ('{"dataset": %s, "hyperparameters": {"nesterov": true}}' % XY, "nesterov"),
        ('{"dataset": {"X": [[1], [2]], "y": [1]}}', "y has 1 rows"),
        ('{"dataset": {"X": [[1]], "y": [1], "sample_weight": [1, 2]}}', "sample_weight"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_with_its_name_in_the_message(
    body: str, named: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(named)):
        JobSpec.model_validate_json(body)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_resolved_hyperparameters_are_complete_and_can_be_read_back(optimizer: str) -> None:
    asked = Hyperparameters.model_validate({"optimizer": optimizer})

    resolved = asked.resolved(seed=7)

    assert resolved.seed == 7
    assert Hyperparameters.model_validate_json(resolved.model_dump_json()) == resolved
    assert (resolved.momentum is not None) == (optimizer == "sgd")
    assert (resolved.weight_decay is not None) == (optimizer == "adamw")


WHOLE_FIELDS = sorted(
    f"{model.__name__}.{name}"
    for model in (JobSpec, Hyperparameters)
    for name, field in model.model_json_schema()["properties"].items()
    if {"type": "integer"}.items() <= (field | next(iter(field.get("anyOf", [{}])))).items()
)


@pytest.mark.parametrize("written", ["2.0", "2e0", "20e-1"])
@pytest.mark.parametrize("field", WHOLE_FIELDS)
def test_an_integer_is_one_however_it_is_written(field: str, written: str) -> None:
    """JSON Schema: a number without a fractional part."""
    kind, _, name = field.partition(".")
    more = {"batch_size": "4", "optimizer": '"sgd"'} if name == "shuffle" else {}
    more |= {"optimizer": '"lbfgs"'} if name == "history_size" else {}
    members = ", ".join(f'"{k}": {v}' for k, v in {name: written, **more}.items())
    body = members if kind == "JobSpec" else f'"hyperparameters": {{{members}}}'

    spec = JobSpec.model_validate_json(f'{{"dataset": {XY}, {body}}}')

    value = getattr(spec if kind == "JobSpec" else spec.hyperparameters, name)
    assert (value, type(value)) == (2, int)


def test_every_field_of_whole_numbers_is_among_those() -> None:
    assert len(WHOLE_FIELDS) >= 7
    assert "Hyperparameters.max_epochs" in WHOLE_FIELDS
    schedule = {"type": "step", "every": 2.0}
    made = Hyperparameters.model_validate({"schedule": schedule})
    assert made.schedule is not None
    assert made.schedule.model_dump()["every"] == 2


def test_a_seed_that_was_asked_for_is_kept() -> None:
    assert Hyperparameters(seed=3).resolved(seed=7).seed == 3


def test_ids_sort_by_the_time_they_were_made() -> None:
    made = [uuid7() for _ in range(10_000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert all(value.version == 7 for value in made)
    assert re.match(ID_PATTERNS["job"], new_id("job"))


def test_predict_computes_x_coef_plus_intercept_for_every_target() -> None:
    model = LinearModel(
        features=["a", "b"], targets=["u", "v"], coef=[[1, 2], [3, 4]], intercept=[10, 20]
    )

    predicted = model.predict([[1, 1], [2, 0]])

    np.testing.assert_array_equal(predicted, [[13, 27], [12, 26]])


@pytest.mark.parametrize("n_targets", [1, 3, 40])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_row_predicts_the_same_bits_alone_and_among_others(
    n_targets: int, order: Literal["C", "F"]
) -> None:
    generator = np.random.default_rng(5)
    for n_features in (1, 2, 7, 8, 9, 130, 1000, 70_000):
        X = np.asarray(generator.normal(size=(20, n_features)), order=order)
        coef = generator.normal(size=(n_targets, n_features))
        intercept = generator.normal(size=n_targets)

        together = product(X, coef, intercept)

        np.testing.assert_allclose(together, X @ coef.T + intercept, rtol=1e-9, atol=1e-9)
        for place in (0, 3, 19):
            for alone in (X[[place]], X[place : place + 1], X[:, :][place : place + 2][:1]):
                np.testing.assert_array_equal(product(alone, coef, intercept)[0], together[place])


@pytest.mark.parametrize("X", [[], np.empty((0, 2))], ids=["none", "of two columns"])
def test_no_rows_are_no_predictions(X: ArrayLike) -> None:
    model = LinearModel(features=["a", "b"], targets=["u"], coef=[[1, 2]], intercept=[0])

    assert model.predict(X).shape == (0, 1)


@pytest.mark.parametrize("X", [[1.0, 2.0], [[1.0]], [["a", "b"]], [[[1.0, 2.0]]]])
def test_predict_refuses_a_table_of_another_shape_naming_x(X: object) -> None:
    model = LinearModel(features=["a", "b"], targets=["u"], coef=[[1, 2]], intercept=[0])

    with pytest.raises(InvalidInput) as refused:
        model.predict(X)  # type: ignore[arg-type]

    assert refused.value.param == "X"


def test_a_history_survives_json_and_shows_what_is_not_finite_as_null() -> None:
    history = History(
        epoch=np.arange(3),
        train_loss=np.array([1.0, 2.0, np.inf]),
        eval_loss=np.full(3, np.nan),
        learning_rate=np.full(3, 0.1),
        grad_norm=np.array([1.0, 2.0, np.nan]),
        gap=np.array([4.0, 2.0, np.inf]),
        total=3,
    )

    body = history.to_json()
    back = History.from_json(body)

    assert body["train_loss"] == [1.0, 2.0, None]
    assert body["eval_loss"] == [None, None, None]
    np.testing.assert_array_equal(back.epoch, [0, 1, 2])
    np.testing.assert_array_equal(back.train_loss[:2], [1.0, 2.0])
    assert len(back.take(np.array([0, 2]))) == 2


def test_the_options_of_train_are_the_fields_of_a_job_and_of_its_training() -> None:
    fields = {*JobSpec.model_fields, *Hyperparameters.model_fields} - {"dataset", "hyperparameters"}

    assert set(Options.__annotations__) == fields
