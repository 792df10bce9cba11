"""Why training stops: tol and patience, max_epochs, divergence."""

import numpy as np
import pytest

from descend.errors import InvalidInput
from descend.jobs import StopReason
from tests.problems import CATALOGUE, RegressionProblem, longley, notebook, random_problem
from tests.workers.training.trained import problem_of, train, train_batch
from workers import training

# Condition numbers at which 1000 epochs of plain gradient descent are too few.
SLOW = {"longley", "ill conditioned"}


def changes(losses: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(losses)) / np.abs(losses[:-1])


@pytest.mark.parametrize("patience", [1, 3, 10])
def test_training_stops_when_the_objective_has_been_still_for_patience_epochs(
    patience: int,
) -> None:
    rows, tol = CATALOGUE["well conditioned"](), 1e-6

    trained = train(rows, tol=tol, patience=patience)

    still = changes(trained.history.train_loss) <= tol
    assert trained.outcome.stop_reason in {StopReason.CONVERGED, StopReason.SETTLED}
    assert still[-patience:].all()
    assert np.convolve(still[:-1], np.ones(patience), "valid").max(initial=0) < patience


def test_the_objective_counts_and_not_the_data_term_alone() -> None:
    rows = CATALOGUE["well conditioned"]()

    trained = train(rows, l2=0.5, l1=0.1, tol=1e-9)

    weights = trained.outcome.coef[0] * rows.X.std(axis=0)
    penalty = 0.5 * np.square(weights).sum() + 0.1 * np.abs(weights).sum()
    metrics = trained.outcome.metrics
    assert metrics.train_loss is not None
    assert metrics.objective == pytest.approx(metrics.train_loss + penalty, rel=1e-12)


REASONS = {
    "near the minimum": ({}, StopReason.CONVERGED, True),
    "near it at the last epoch": ({"tol": 0}, StopReason.CONVERGED, True),
    "at a tiny rate": ({"learning_rate": 1e-12}, StopReason.SETTLED, False),
    "too soon": ({"max_epochs": 3, "learning_rate": 0.01}, StopReason.MAX_EPOCHS, False),
    "at a rate that falls": (
        {"schedule": {"type": "step", "every": 1, "factor": 0.1}, "learning_rate": 0.1},
        StopReason.SETTLED,
        False,
    ),
    "diverging": ({"learning_rate": 5.0}, StopReason.DIVERGED, False),
    "as near as was asked": ({"target_gap": 0.1}, StopReason.TARGET_GAP, False),
}


@pytest.mark.parametrize("name", REASONS)
def test_converged_is_a_fact_whatever_ended_the_training(name: str) -> None:
    asked, reason, converged = REASONS[name]

    outcome = train(random_problem("any"), **asked).outcome

    assert outcome.stop_reason is reason
    assert outcome.metrics.converged is converged
    assert (outcome.stop_reason is StopReason.CONVERGED) == (outcome.metrics.converged is True)
    if outcome.stop_reason is StopReason.SETTLED:
        assert any("settled within tol" in text for text in outcome.warnings)


def test_a_minimum_that_is_too_dear_to_know_leaves_converged_open() -> None:
    rng = np.random.default_rng(4)
    wide = RegressionProblem("wide", rng.normal(size=(30, 2500)), rng.normal(size=(30, 1)))

    outcome = train(wide, l2=0.1, learning_rate=1e-12).outcome

    assert outcome.stop_reason is StopReason.SETTLED
    assert outcome.metrics.converged is None
    (told,) = [text for text in outcome.warnings if "settled" in text]
    assert "no minimum is known" in told
    assert "larger learning_rate" in told


def test_tol_0_never_stops_early() -> None:
    trained = train(notebook(), tol=0, max_epochs=500)

    assert trained.outcome.stop_reason is StopReason.CONVERGED
    assert trained.history.total == 500
    assert trained.outcome.warnings == ()


def test_reaching_max_epochs_before_tol_is_said() -> None:
    trained = train(longley(), max_epochs=20)

    assert trained.outcome.stop_reason is StopReason.MAX_EPOCHS
    assert not trained.outcome.metrics.converged
    assert any("max_epochs (20)" in warning for warning in trained.outcome.warnings)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in SLOW])
def test_the_defaults_converge_on_ordinary_data(name: str) -> None:
    rows = CATALOGUE[name]()
    trained = train(rows)

    assert trained.outcome.stop_reason is StopReason.CONVERGED
    A = np.column_stack([rows.X, np.ones(len(rows.X))])
    root = np.sqrt(np.ones(len(rows.X)) if rows.sample_weight is None else rows.sample_weight)
    best = np.linalg.lstsq(A * root[:, None], rows.Y * root[:, None], rcond=None)[0]
    floor = np.average(np.square(A @ best - rows.Y).mean(axis=1), weights=rows.sample_weight)
    first = trained.outcome.metrics.initial_loss
    assert trained.outcome.metrics.train_loss is not None
    assert first is not None
    assert trained.outcome.metrics.train_loss - floor <= 1e-6 * first


@pytest.mark.parametrize(
    ("asked", "bound"),
    [
        ({}, 0.18029485),
        ({"momentum": 0.9}, 1.9 * 0.18029485),
        ({"momentum": 0.9, "nesterov": True}, 1.9 / 2.8 * 0.18029485),
        ({"l2": 0.5}, None),
    ],
    ids=["plain", "momentum", "nesterov", "l2"],
)
def test_the_bound_parts_what_converges_from_what_diverges(
    asked: dict[str, object], bound: float | None
) -> None:
    raw = {"standardize": False, "tol": 0, "max_epochs": 2_000, **asked}
    named = train(notebook(), **raw, learning_rate=5.0).outcome.error
    assert named is not None
    told = named.detail["bound"]
    assert isinstance(told, float)
    if bound is not None:
        assert told == pytest.approx(bound, rel=1e-7)

    below = train(notebook(), **raw, learning_rate=told * 0.998)
    above = train(notebook(), **raw, learning_rate=told * 1.002)

    assert below.outcome.stop_reason in {StopReason.CONVERGED, StopReason.MAX_EPOCHS}
    assert below.history.train_loss[-1] < below.history.train_loss[0]
    assert above.outcome.stop_reason is StopReason.DIVERGED


def test_the_guilty_columns_are_named_as_the_user_named_them() -> None:
    trained = train(longley(), standardize=False, learning_rate=1e-3)

    error = trained.outcome.error
    assert error is not None
    assert error.param == "hyperparameters.learning_rate"
    assert error.detail["columns"] == ["gnp"]
    assert "gnp" in error.message
    direction = error.detail["direction"]
    assert isinstance(direction, dict)
    assert next(iter(direction)) == "gnp"
    assert "(intercept)" in direction


def test_following_a_remedy_helps() -> None:
    raw = {"standardize": False, "max_epochs": 5_000}
    error = train(notebook(), **raw, learning_rate=0.19).outcome.error
    assert error is not None
    best, bound = error.detail["best_rate"], error.detail["bound"]
    assert isinstance(best, float)
    assert isinstance(bound, float)
    assert best < bound

    for remedy in ({"learning_rate": best}, {"learning_rate": "auto"}, {"standardize": True}):
        trained = train(notebook(), **{**raw, **remedy})

        assert trained.outcome.stop_reason is StopReason.CONVERGED


def test_adam_that_diverges_is_told_that_it_has_no_bound() -> None:
    trained = train(
        notebook(), optimizer="adam", learning_rate=1e9, standardize=False, max_epochs=50
    )

    error = trained.outcome.error
    assert trained.outcome.stop_reason is StopReason.DIVERGED
    assert error is not None
    assert error.detail["bound"] is None
    assert error.detail["best_rate"] is None
    assert "no stability bound" in error.message
    assert len(error.detail["remedies"]) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs"])
def test_columns_whose_curvature_overflows_are_named(optimizer: str) -> None:
    rows = random_problem("any", n_features=2)
    huge = type(rows)("huge", rows.X * [1, 1e200], rows.Y)

    with pytest.raises(InvalidInput, match="squares of column 'x1'") as refused:
        train(huge, standardize=False, optimizer=optimizer)

    assert refused.value.param == "x1"


def test_a_diverged_history_ends_with_the_loss_that_condemned_it() -> None:
    history = train(notebook(), learning_rate=0.19, standardize=False).history

    assert history.train_loss[-1] > 10 * history.train_loss[0]
    assert (history.train_loss[:-1] <= 10 * history.train_loss[0]).all()


def test_a_rising_loss_below_the_bound_is_no_divergence() -> None:
    """A momentum overshoots, far above the first loss where that was small."""
    init = {"coef": [[2.0]], "intercept": [0.001]}

    trained = train(
        notebook(), standardize=False, learning_rate=0.3, momentum=0.95, init=init, tol=0
    )

    assert len(trained.history) == 1000
    assert trained.outcome.stop_reason is StopReason.CONVERGED


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_leaves_the_range_of_numbers_is_divergence_wherever_a_block_ends(dtype: str) -> None:
    problem = problem_of(
        notebook(), learning_rate=1e11, standardize=False, dtype=dtype, init="torch"
    )

    runs = [train_batch([problem], portion=portion) for portion in (1, 2, 3, 1000)]

    assert {run[0].outcome.stop_reason for run in runs} == {StopReason.DIVERGED}
    assert len({run[0].history.total for run in runs}) == 1


def test_the_best_loss_and_its_epoch_are_those_of_the_held_out_rows() -> None:
    trained = train(random_problem("any", seed=9), validation_fraction=0.4, max_epochs=60, tol=0)

    metrics, losses = trained.outcome.metrics, trained.history.eval_loss
    assert metrics.eval_loss is not None
    if metrics.eval_loss < losses.min():
        assert metrics.best_loss == metrics.eval_loss
        assert metrics.best_epoch == 60
    else:
        assert metrics.best_loss == losses.min()
        assert metrics.best_epoch == losses.argmin()


def test_a_model_still_training_has_an_outcome_too() -> None:
    state = training.start([problem_of(notebook(), tol=0)], "cpu", [None])
    state, _ = training.advance(state, 10)

    outcome = training.outcome(state, 0)

    assert outcome.stop_reason is None
    assert outcome.metrics.epochs == 10


def test_weights_beyond_the_range_of_numbers_are_an_error_and_no_model() -> None:
    rows = random_problem("any", n_features=2)
    tiny = type(rows)("tiny", rows.X * [1, 1e-295], rows.Y * 1e20)

    outcome = train(tiny).outcome

    assert outcome.stop_reason is StopReason.ERROR
    assert outcome.error is not None
    assert "x1" in outcome.error.message
