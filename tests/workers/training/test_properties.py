"""What holds for any data: no crash, no NaN in a success, the loss goes down."""

import json
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst

from descend.errors import InvalidInput
from descend.jobs import StopReason
from tests.problems import RegressionProblem
from tests.workers.training.trained import train
from workers.training.magnitudes import BOUNDS

WAYS: list[dict[str, object]] = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.5, "nesterov": True, "l1": 0.2},
    {"optimizer": "adam", "l2": 0.1},
    {"optimizer": "adamw"},
    {"dtype": "float32"},
    {"fit_intercept": False},
    {"validation_fraction": 0.3},
    {"init": "torch"},
]
# Below 1e-100 a column's weights may leave float64: that has an outcome of its own, tested below.
sizes = st.floats(1e-100, 1e6)
numbers = sizes | sizes.map(lambda size: -size) | st.sampled_from([0.0, 1.0, -1.0])


@st.composite
def tables(draw: st.DrawFn) -> RegressionProblem:
    """Any small table: often rank deficient, with constant columns or fewer rows than features."""
    n_samples, n_features = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    n_targets = draw(st.integers(1, 2))
    X = draw(nst.arrays(np.float64, (n_samples, n_features), elements=numbers))
    Y = draw(nst.arrays(np.float64, (n_samples, n_targets), elements=numbers))
    if draw(st.booleans()):
        X[:, -1] = X[:, 0]
    omega = draw(nst.arrays(np.float64, n_samples, elements=st.floats(0.1, 10)))
    return RegressionProblem("any", X, Y, omega if draw(st.booleans()) else None)


@settings(max_examples=80, deadline=None)
@given(rows=tables(), asked=st.sampled_from(WAYS))
def test_standardised_training_by_auto_succeeds_on_any_table(
    rows: RegressionProblem, asked: dict[str, object]
) -> None:
    if asked.get("dtype") == "float32":  # it refuses targets without squares, by name
        rows = replace(rows, Y=np.where(np.abs(rows.Y) < BOUNDS["float32"][0], 0, rows.Y))

    trained = train(rows, **asked, max_epochs=60)

    outcome = trained.outcome
    fates = {StopReason.CONVERGED, StopReason.SETTLED, StopReason.MAX_EPOCHS}
    assert outcome.stop_reason in fates
    assert np.isfinite(outcome.coef).all()
    assert np.isfinite(outcome.intercept).all()
    assert np.isfinite(trained.history.train_loss).all()
    assert np.isfinite(trained.history.grad_norm).all()
    assert len(trained.history) == trained.history.total == outcome.metrics.epochs


@settings(max_examples=50, deadline=None)
@given(rows=tables(), l2=st.sampled_from([0.0, 0.3]), standardize=st.booleans())
def test_gradient_descent_by_auto_never_raises_the_objective(
    rows: RegressionProblem, l2: float, *, standardize: bool
) -> None:
    trained = train(rows, l2=l2, standardize=standardize, max_epochs=60)

    metrics = trained.outcome.metrics
    assert metrics.initial_loss is not None
    assert metrics.objective is not None
    assert metrics.objective <= metrics.initial_loss * (1 + 1e-9)


@settings(max_examples=50, deadline=None)
@given(rows=tables(), rate=st.floats(1e-6, 1e6))
def test_any_rate_ends_in_a_success_or_a_named_divergence(
    rows: RegressionProblem, rate: float
) -> None:
    trained = train(rows, learning_rate=rate, standardize=False, max_epochs=60)

    outcome = trained.outcome
    if outcome.stop_reason is StopReason.DIVERGED:
        assert outcome.error is not None
        assert outcome.error.detail["columns"]
        assert len(outcome.error.detail["remedies"]) == 3  # type: ignore[arg-type]
    else:
        assert outcome.error is None
        assert np.isfinite(outcome.coef).all()


@settings(max_examples=60, deadline=None)
@given(
    rows=tables(),
    size_of_x=st.sampled_from([1e-300, 1e-160, 1e-20, 1.0, 1e20, 1e150, 1e300]),
    size_of_y=st.sampled_from([1e-300, 1e-160, 1e-20, 1.0, 1e20, 1e150, 1e300]),
    asked=st.sampled_from([*WAYS, {"standardize": False}, {"learning_rate": 0.5}]),
)
def test_no_size_of_numbers_is_met_with_a_crash(
    rows: RegressionProblem, size_of_x: float, size_of_y: float, asked: dict[str, object]
) -> None:
    sized = replace(rows, X=rows.X * size_of_x, Y=rows.Y * size_of_y)

    try:
        trained = train(sized, **asked, max_epochs=30)
    except InvalidInput as refusal:
        assert "leave the range of float" in refusal.message  # noqa: PT017  it may be trained, too
        assert refusal.param in {*rows.features, *rows.targets}  # noqa: PT017
        return

    outcome = trained.outcome
    if outcome.stop_reason in {StopReason.DIVERGED, StopReason.ERROR}:
        assert outcome.error is not None
        json.dumps(outcome.error.model_dump(), allow_nan=False)
    else:
        assert np.isfinite(outcome.coef).all()
    json.dumps(outcome.metrics.model_dump(), allow_nan=False)


def test_weights_that_no_float_can_hold_are_an_error_that_names_the_column() -> None:
    rows = RegressionProblem("tiny", np.array([[1e-299], [0.0]]), np.array([[4e10], [0.0]]))

    outcome = train(rows, max_epochs=60).outcome

    assert outcome.stop_reason is StopReason.ERROR
    assert outcome.error is not None
    assert "x0" in outcome.error.message
    assert "beyond the range of float64" in outcome.error.message
