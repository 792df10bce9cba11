"""Lasso and elastic net against scikit-learn, optimality conditions, their proof and its cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNet, Lasso

from descend.errors import InvalidInput
from descend.jobs import StopReason
from tests.problems import CATALOGUE, RegressionProblem, longley, random_problem
from tests.workers.training.trained import problem_of, train
from workers import training
from workers.training.factor import factor, matrices_of, scaling_of
from workers.training.plan import plan
from workers.training.setup import prepare
from workers.training.sparse import LASSO_COST, Sparse, lasso


def correlated(n_features: int) -> RegressionProblem:
    """Five factors and 5 % noise: many columns, few directions."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(2 * n_features, 5))
    X = factors @ rng.normal(size=(5, n_features))
    X = X / X.std(axis=0) + 0.05 * rng.normal(size=X.shape)
    y = factors[:, :1] + 0.5 * rng.normal(size=(len(X), 1))
    return RegressionProblem("correlated", X, y)


def nearly_copied() -> RegressionProblem:
    """Two of five columns are 1e-9 apart: at the minimum their weights are 1e8."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    X[:, 4] = X[:, 0] + 1e-9 * rng.normal(size=200)
    return RegressionProblem("nearly copied", X, X[:, :1] + rng.normal(size=(200, 1)))


def hilbert() -> RegressionProblem:
    """So dependent that rounding, multiplied by the weights, is larger than a small l1."""
    X = 1 / (np.arange(40)[:, np.newaxis] + np.arange(40) + 1)
    return RegressionProblem("hilbert", X, np.random.default_rng(0).normal(size=(40, 1)))


def proved(rows: RegressionProblem, l1: float, **limits: float) -> Sparse:
    f = factor([(rows.X, rows.Y, None)])
    scaling = scaling_of(f, standardize=True, fit_intercept=True)
    A, B = matrices_of(f, scaling, intercept=True)
    return lasso(A, B, l1=l1, n_rows=f.n_rows, **limits)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("l1", [0.5, 0.1, 1e-3])
@pytest.mark.parametrize("l2", [0.0, 0.05])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("name", ["longley", "several targets", "larger", "shifted and scaled"])
def test_sparse_solutions_equal_scikit_learns(
    name: str, *, l1: float, l2: float, intercept: bool
) -> None:
    problem = CATALOGUE[name]()
    f = factor([(problem.X, problem.Y, problem.sample_weight)])
    scaling = scaling_of(f, standardize=True, fit_intercept=intercept)
    Z = scaling.apply(problem.X)
    # in units of the smallest l1 that leaves no weight
    level = l1 * 2 * np.abs(Z.T @ (problem.Y - problem.Y.mean(axis=0))).max() / problem.Y.size
    A, B = matrices_of(f, scaling, intercept=intercept)

    found = lasso(A, B, l1=level, l2=l2, n_rows=f.n_rows, intercept=intercept)

    assert found.relative_gap <= 1e-12
    if name == "longley" and not intercept and l2 == 0:
        return  # so dependent that sklearn stops short of its tolerance: the gap is the proof
    for k in range(f.n_targets):
        half, pull = f.n_targets * level / 2, f.n_targets * l2
        kind = {"fit_intercept": intercept, "tol": 1e-15, "max_iter": 10**5}
        peer = Lasso(alpha=half, **kind)
        if l2:
            peer = ElasticNet(alpha=half + pull, l1_ratio=half / (half + pull), **kind)
        peer.fit(Z, problem.Y[:, k])
        tolerance = 1e-10 * np.abs(peer.coef_).max()
        np.testing.assert_allclose(found.params[: f.n_features, k], peer.coef_, atol=tolerance)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 12), st.integers(1, 2)),
    share=st.floats(1e-4, 1.2),
    l2=st.sampled_from([0.0, 0.1]),
    intercept=st.booleans(),
)
def test_sparse_solutions_satisfy_the_optimality_conditions(
    seed: int, shape: tuple[int, int, int], share: float, l2: float, *, intercept: bool
) -> None:
    n, d, t = shape
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(n, d)), rng.normal(size=(n, t))
    if d > 2:
        X[:, 2] = X[:, 0]
    A = np.concatenate([X, np.ones((n, 1))], axis=1) if intercept else X
    l1 = share * 2 * np.abs(X.T @ Y).max() / (n * t)

    found = lasso(A, Y, l1=l1, l2=l2, n_rows=n, intercept=intercept)

    W = found.params[:d]
    gradient = 2 / (n * t) * A.T @ (A @ found.params - Y)
    gradient[:d] += 2 * l2 * W
    scale = np.abs(X.T @ Y).max() / (n * t)
    assert found.relative_gap <= 1e-12
    np.testing.assert_allclose(gradient[:d][W != 0], -l1 * np.sign(W[W != 0]), atol=2e-5 * scale)
    assert (np.abs(gradient[:d]) <= l1 + 2e-5 * scale).all()
    np.testing.assert_allclose(gradient[d:], 0, atol=1e-12 * max(1, np.abs(Y).max()))


def test_the_gap_bounds_the_distance_from_the_optimum() -> None:
    problem = random_problem("gap", n_samples=60, n_features=12, condition=1e3, seed=9)
    A, B = problem.X, problem.Y
    best = lasso(A, B, l1=1e-3, n_rows=60, intercept=False).objective

    early = lasso(A, B, l1=1e-3, n_rows=60, intercept=False, tolerance=0.3)

    assert early.objective - best <= early.gap
    assert early.relative_gap <= 0.3


def test_a_penalty_that_leaves_no_weight_leaves_exact_zeros() -> None:
    problem = longley()
    f = factor([(problem.X, problem.Y, problem.sample_weight)])
    scaling = scaling_of(f, standardize=True, fit_intercept=True)

    found = lasso(*matrices_of(f, scaling, intercept=True), l1=1e9, n_rows=16)

    assert (found.params[:-1] == 0).all()
    assert found.params[-1, 0] == pytest.approx(problem.Y.mean(), rel=1e-14)


@pytest.mark.parametrize("l1", [1e-2, 1e-3, 1e-5])
def test_many_correlated_columns_are_proved_within_a_twentieth_of_the_budget(l1: float) -> None:
    found = proved(correlated(400), l1)

    assert found.relative_gap <= 1e-12
    assert found.work < LASSO_COST / 20
    assert not found.exhausted


def test_many_signs_are_changed_at_once() -> None:
    """One at a time, with a factorisation for each, it takes more than ten times the work."""
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(100, 800)), rng.normal(size=(100, 1))

    found = lasso(A, B, l1=1e-3, n_rows=100, intercept=False)

    assert found.relative_gap <= 1e-12
    assert found.work < 5e9


def test_a_spent_budget_ends_the_search_and_says_so() -> None:
    rows, budget = correlated(200), 5e7

    found, again = (proved(rows, 1e-3, budget=budget) for _ in range(2))

    assert found.exhausted
    assert budget <= found.work <= 2 * budget
    assert 1e-10 < found.relative_gap < 1
    assert found.objective - proved(rows, 1e-3).objective <= found.gap
    assert found.params.tobytes() == again.params.tobytes()


@pytest.mark.parametrize("rows", [longley(), nearly_copied()], ids=lambda rows: rows.name)
def test_a_small_penalty_on_nearly_dependent_columns_is_proved(rows: RegressionProblem) -> None:
    penalties = [1e-14, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-6]

    found = [proved(rows, l1) for l1 in penalties]

    assert all(one.relative_gap <= 1e-12 for one in found)
    lowest = np.array([one.objective for one in found])
    assert (np.diff(lowest) >= 0).all()  # more of a penalty, a higher minimum


def test_an_exact_solution_without_a_proof_is_not_converged_and_names_its_gap() -> None:
    problem = problem_of(hilbert(), optimizer="exact", l1=1e-9)

    history, outcome = training.solve_exactly(problem)

    metrics = outcome.metrics
    assert metrics.duality_gap is not None
    assert metrics.duality_gap > 1e-7
    assert not metrics.converged
    assert metrics.gap is metrics.relative_gap is metrics.min_objective is None
    assert np.isnan(history.gap).all()
    assert f"the duality gap is {metrics.duality_gap:.2g} of the objective" in outcome.warnings[0]


def test_an_exact_solution_with_its_proof_is_converged_without_a_warning() -> None:
    _, outcome = training.solve_exactly(problem_of(longley(), optimizer="exact", l1=1e-10))

    assert outcome.metrics.converged
    assert outcome.metrics.gap == 0
    assert not any("proved" in warning for warning in outcome.warnings)


def test_training_has_no_gap_to_a_minimum_without_a_proof() -> None:
    trained = train(hilbert(), l1=1e-9, max_epochs=20, tol=0)
    told = plan(problem_of(hilbert(), l1=1e-9), "cpu")

    assert trained.outcome.stop_reason is StopReason.MAX_EPOCHS
    assert trained.outcome.metrics.gap is None
    assert np.isnan(trained.history.gap).all()
    assert told.min_objective is None
    assert "without a proof" in (told.minimum_refused or "")


def test_an_exact_solution_whose_budget_is_spent_is_refused_with_remedies() -> None:
    rows = correlated(200)

    with pytest.raises(InvalidInput, match=r"given up after 5e\+07 .*raise l1") as refused:
        training.solve_exactly(problem_of(rows, optimizer="exact", l1=1e-3), budget=5e7)

    assert refused.value.param == "hyperparameters.optimizer"
    assert prepare(problem_of(rows, l1=1e-3), budget=5e7)[0].certificate is None
    assert prepare(problem_of(rows, l1=1e-3))[0].certificate is not None
