"""Gradient descent against its closed form, over the catalogue of problems."""

import numpy as np
import pytest

from tests.problems import CATALOGUE, RegressionProblem, longley, notebook
from tests.workers.training.trained import problem_of, train
from workers.training.rate import best_rate, stability_bound
from workers.training.setup import prepare
from workers.training.spectrum import dynamics, spectrum

EPOCHS = 300
OBJECTIVES = {
    "plain": {},
    "raw columns": {"standardize": False},
    "no intercept": {"fit_intercept": False},
    "ridge": {"l2": 0.3},
    "from torch's weights": {"init": "torch", "seed": 5},
}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", CATALOGUE)
def test_training_is_the_closed_form(name: str, objective: str) -> None:
    rows = CATALOGUE[name]()
    asked = {**OBJECTIVES[objective], "max_epochs": EPOCHS, "tol": 0}
    problem = problem_of(rows, **asked)
    setup, matrices = prepare(problem)

    trained = train(rows, **asked)

    exact = dynamics(
        setup.problem,
        matrices,
        start=setup.start,
        rate=setup.rate,
        epochs=np.arange(EPOCHS + 1.0),
    )
    difference = np.abs(trained.history.train_loss - exact.train_loss[:EPOCHS]).max()
    assert difference <= 1e-12 * exact.train_loss[0]
    coef, intercept = setup.original(exact.params[EPOCHS])
    fitted, expected = (
        rows.X @ trained.outcome.coef.T + trained.outcome.intercept,
        rows.X @ coef.T + intercept,
    )
    assert np.abs(fitted - expected).max() <= 1e-11 * np.abs(rows.Y).max()


def test_the_gradient_norm_is_that_of_the_smooth_objective() -> None:
    rows = longley()
    problem = problem_of(rows, l2=0.2)
    setup, matrices = prepare(problem)

    trained = train(rows, l2=0.2, max_epochs=1)

    residual = matrices.A @ setup.start - matrices.B
    gradient = 2 * matrices.A.T @ residual / len(residual)
    gradient[:-1] += 2 * 0.2 * setup.start[:-1]
    assert trained.history.grad_norm[0] == pytest.approx(np.linalg.norm(gradient), rel=1e-13)


def test_the_lessons_spectrum_is_the_certified_one() -> None:
    problem = problem_of(notebook(), standardize=False)

    found = spectrum(problem, prepare(problem)[1])

    assert found.largest == pytest.approx(11.0929, abs=5e-5)
    assert found.smallest == pytest.approx(0.2404, abs=5e-5)
    assert found.rank == 2
    assert stability_bound(problem.hyperparameters, found) == pytest.approx(0.18029, abs=5e-6)
    assert best_rate(problem.hyperparameters, found) == pytest.approx(2 / (11.0929 + 0.2404), 1e-5)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if not CATALOGUE[name]().full_rank])
def test_the_rank_of_a_deficient_problem_is_found(name: str) -> None:
    rows = CATALOGUE[name]()
    problem = problem_of(rows)
    _, matrices = prepare(problem)

    found = spectrum(problem, matrices)

    assert found.rank == np.linalg.matrix_rank(matrices.A)
    assert found.smallest is not None
    assert found.smallest > 1e-6


def test_the_largest_eigenvalue_alone_is_found_where_all_are_too_dear() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2500)) * rng.uniform(1, 4, size=2500)
    rows = RegressionProblem("very wide", X, rng.normal(size=(30, 1)))
    problem = problem_of(rows, standardize=False, l2=0.5)
    _, matrices = prepare(problem)

    found = spectrum(problem, matrices)

    exact = 2 * np.linalg.norm(matrices.A, 2) ** 2 / 30
    assert found.smallest is None
    assert exact * (1 - 1e-6) <= found.largest <= exact + 1.0 + 1e-6


def test_longley_is_typed_as_it_was_published() -> None:
    rows = longley()
    A = np.column_stack([np.ones(16), rows.X - rows.X.mean(axis=0)])

    residual = rows.Y[:, 0] - A @ np.linalg.lstsq(A, rows.Y[:, 0], rcond=None)[0]

    assert np.square(residual).sum() == pytest.approx(836424.055505915, rel=1e-9)
