"""The gap to the certified minimum: in the history, in the metrics, as a reason to stop."""

import numpy as np
import pytest

from descend.jobs import StopReason
from tests.problems import CATALOGUE, Floats, RegressionProblem, notebook, random_problem
from tests.workers.training.trained import problem_of, train, train_batch
from workers import training
from workers.training.setup import prepare
from workers.training.spectrum import dynamics

WAYS = {
    "sgd": {},
    "momentum": {"momentum": 0.5},
    "adam": {"optimizer": "adam"},
    "ridge": {"l2": 0.2},
    "lasso": {"l1": 0.1},
    "both penalties": {"l1": 0.1, "l2": 0.2, "optimizer": "adam"},
    "no intercept": {"fit_intercept": False, "standardize": False},
    "held out": {"validation_fraction": 0.25},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CATALOGUE)
def test_the_gap_is_the_objective_less_its_minimum(name: str, way: str) -> None:
    rows = CATALOGUE[name]()

    trained = train(rows, **WAYS[way], max_epochs=60, tol=0)

    gap, metrics = trained.history.gap, trained.outcome.metrics
    setup, matrices = prepare(problem_of(rows, **WAYS[way]))
    assert setup.certificate is not None
    first = np.square(matrices.A @ setup.start - matrices.B).mean()
    weights = setup.start[: rows.X.shape[1]]
    h = setup.hyperparameters
    objective = first + h.l2 * np.square(weights).sum() + h.l1 * np.abs(weights).sum()
    assert (gap >= 0).all()
    assert gap[0] == pytest.approx(objective - setup.certificate.objective, rel=1e-9, abs=1e-12)
    assert metrics.gap is not None
    assert metrics.objective is not None
    assert metrics.min_objective is not None
    assert metrics.objective - metrics.min_objective == pytest.approx(
        metrics.gap, rel=1e-9, abs=1e-13 * objective
    )


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_gap_far_below_the_losss_rounding_is_that_of_the_closed_form(name: str) -> None:
    rows = CATALOGUE[name]()
    setup, matrices = prepare(problem_of(rows))

    trained = train(rows, max_epochs=400, tol=0)

    epochs = np.arange(400.0)
    exact = dynamics(setup.problem, matrices, start=setup.start, rate=setup.rate, epochs=epochs)
    assert setup.certificate is not None
    moved = exact.params - setup.certificate.params
    gaps = np.square(np.einsum("rc,ect->ert", matrices.A, moved)).mean(axis=(1, 2))
    told = gaps > 1e-20 * gaps[0]
    assert told[0]
    np.testing.assert_allclose(trained.history.gap[told], gaps[told], rtol=1e-4)


def test_training_stops_at_the_first_epoch_within_the_target_gap() -> None:
    rows = random_problem("any", n_samples=50)

    trained = train(rows, target_gap=1e-6, tol=0)
    unstopped = train(rows, tol=0, max_epochs=200)

    gap = unstopped.history.gap
    first = int(np.argmax(gap <= 1e-6 * gap[0]))
    assert 0 < first < 199
    assert trained.outcome.stop_reason is StopReason.TARGET_GAP
    assert len(trained.history) == first + 1


def test_a_perfect_fit_that_is_not_reached_is_not_converged() -> None:
    metrics = train(notebook(), learning_rate=0.01, standardize=False, tol=0).outcome.metrics

    assert metrics.min_loss == pytest.approx(0, abs=1e-28)
    assert metrics.gap == pytest.approx(6.3284014473e-4, rel=1e-6)
    assert not metrics.converged


def perfect(X: Floats, *, coef: float = 1.0) -> RegressionProblem:
    """Targets that are a column's, or a sum of columns, and nothing else."""
    return RegressionProblem("perfect", X, coef * X.sum(axis=1, keepdims=True) + 1)


def nearly_copies(rng: np.random.Generator) -> RegressionProblem:
    """The targets are the difference of two columns, times 1e8."""
    x, y = rng.normal(size=(2, 50, 1))
    return RegressionProblem("nearly copies", np.hstack([x, x + 1e-8 * y]), y)


PERFECT = {
    "notebook": lambda _: notebook(),
    "far from 0": lambda rng: perfect(rng.normal(size=(200, 5)) + 1e6),
    "many rows": lambda rng: perfect(rng.normal(size=(5_000, 20)), coef=1e-3),
    "ill-conditioned": lambda _: perfect(random_problem("ill", condition=1e10).X),
    "nearly copies": nearly_copies,
    "wide": lambda rng: RegressionProblem(
        "wide", rng.normal(size=(5, 20)), rng.normal(size=(5, 2))
    ),
}


@pytest.mark.parametrize("asked", [{}, {"standardize": False}])
@pytest.mark.parametrize("name", PERFECT)
def test_of_a_minimum_that_is_rounding_there_is_no_part(
    name: str, asked: dict[str, object]
) -> None:
    rows = PERFECT[name](np.random.default_rng(0))
    asked = {**asked, "max_epochs": 20, "tol": 0}

    for problem in (problem_of(rows, **asked), training.compress(problem_of(rows, **asked))):
        (trained,) = train_batch([problem])
        certificate, metrics = prepare(problem)[0].certificate, trained.outcome.metrics

        assert certificate is not None
        assert certificate.objective < 0.2 * certificate.noise
        assert metrics.gap is not None
        assert metrics.gap > 0
        assert metrics.relative_gap is None


def test_the_lesson_is_a_perfect_fit_in_single_precision_too() -> None:
    metrics = train(notebook(), standardize=False, dtype="float32").outcome.metrics

    assert metrics.gap is not None
    assert metrics.relative_gap is None


def test_an_exact_solution_that_fits_perfectly_has_a_gap_and_no_part() -> None:
    _, outcome = training.solve_exactly(problem_of(notebook(), optimizer="exact"))

    assert outcome.metrics.gap == 0
    assert outcome.metrics.relative_gap is None


@pytest.mark.parametrize("asked", [{}, {"l2": 1e-12}, {"l1": 1e-9}, {"dtype": "float32"}])
def test_a_minimum_that_is_small_but_no_rounding_has_its_part(asked: dict[str, object]) -> None:
    rows = perfect(random_problem("any", n_samples=50).X)
    errors = 1e-10 * np.random.default_rng(0).normal(size=(50, 1))

    metrics = train(RegressionProblem("near", rows.X, rows.Y + errors), **asked).outcome.metrics

    assert metrics.gap is not None
    assert metrics.min_objective is not None
    assert 1e-21 < metrics.min_objective < 1e-7
    assert metrics.relative_gap == metrics.gap / metrics.min_objective


def test_settling_is_not_converging_and_that_is_said() -> None:
    rows = random_problem("any", n_samples=50)

    trained = train(rows, learning_rate=1e-4, tol=1e-3, patience=2)

    assert trained.outcome.stop_reason is StopReason.SETTLED
    assert trained.outcome.metrics.converged is False
    assert any("above the lowest" in warning for warning in trained.outcome.warnings)


def test_converged_training_is_so_in_fact() -> None:
    metrics = train(random_problem("any", n_samples=50), tol=1e-12, max_epochs=5000).outcome.metrics

    assert metrics.converged
    assert metrics.relative_gap is not None
    assert metrics.relative_gap <= 1e-6


def test_under_l1_the_minimum_is_proved_by_its_dual() -> None:
    metrics = train(CATALOGUE["well conditioned"](), l1=0.2, tol=1e-13).outcome.metrics

    assert metrics.duality_gap is not None
    assert metrics.duality_gap <= 1e-12
    assert metrics.converged


def test_the_rows_of_a_penalty_count_in_what_a_certificate_costs() -> None:
    """30 rows are few; with l2 there are 2,200 more, and 1e10 multiplications."""
    rng = np.random.default_rng(0)
    wide = RegressionProblem("wide", rng.normal(size=(30, 2200)), rng.normal(size=(30, 1)))

    without, _ = prepare(problem_of(wide, learning_rate=1e-4))
    penalised, _ = prepare(problem_of(wide, learning_rate=1e-4, l2=0.5))

    assert without.certificate is not None
    assert penalised.certificate is None


def test_a_far_start_makes_nothing_converge() -> None:
    """From zero weights a large mean is a first gap of 1e12: a billionth of it is a thousand."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1))
    rows = RegressionProblem("far", X, 1e6 + X + rng.normal(size=(200, 1)))

    metrics = [
        train(rows, learning_rate=0.45, max_epochs=epochs, tol=0).outcome.metrics
        for epochs in (5, 8, 20)
    ]

    assert [one.converged for one in metrics] == [False, False, True]
    for one in metrics:
        assert one.relative_gap is not None
        assert one.converged == (one.relative_gap <= 1e-6)
