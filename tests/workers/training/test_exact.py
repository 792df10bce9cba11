"""Minimisers against certified values, scikit-learn, optimality conditions and quad precision."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, Ridge

from tests.problems import (
    CATALOGUE,
    CERTIFIED,
    Floats,
    RegressionProblem,
    longley,
    norris,
    random_problem,
)
from workers.training.exact import refine, solve
from workers.training.factor import Factor, factor, matrices_of, scaling_of
from workers.training.twofold import dot, total, two_product, two_sum


def factored(problem: RegressionProblem) -> Factor:
    return factor([(problem.X, problem.Y, problem.sample_weight)])


def solved(problem: RegressionProblem, *, l2: float = 0.0, intercept: bool = True) -> Floats:
    """[W; b] in original units, by way of standardised ones."""
    f = factored(problem)
    scaling = scaling_of(f, standardize=True, fit_intercept=intercept)
    A, B = matrices_of(f, scaling, intercept=intercept)
    params = solve(A, B, n_rows=f.n_rows, l2=l2, intercept=intercept).params
    b = params[-1] if intercept else np.zeros(f.n_targets)
    coef, b = scaling.to_original(params[: f.n_features].T, b)
    return np.concatenate([coef.T, b[np.newaxis]]) if intercept else coef.T


def rational_solution(A: Floats, y: Floats, omega: Floats) -> Floats:
    """Solve A' Omega A theta = A' Omega y in rational arithmetic, rounded once."""
    rows = [[Fraction(v) for v in row] for row in np.column_stack([A, y])]
    weights = [Fraction(w) for w in omega]
    columns = A.shape[1]
    system = [
        [sum(w * row[i] * row[j] for w, row in zip(weights, rows, strict=True))
         for j in range(columns + 1)] for i in range(columns)
    ]  # fmt: skip
    for i in range(columns):
        system[i] = [v / system[i][i] for v in system[i]]
        for k in range(columns):
            if k != i:
                system[k] = [
                    a - system[k][i] * b for a, b in zip(system[k], system[i], strict=True)
                ]
    return np.array([float(row[-1]) for row in system])


def digits(params: Floats, name: str) -> float:
    """LRE: correct digits of the worst coefficient."""
    certified = np.array(CERTIFIED[name].params)
    found = np.concatenate([params[-1], params[:-1, 0]])
    return float(-np.log10(np.abs(found - certified) / np.abs(certified) + 1e-17).max())


@pytest.mark.parametrize("problem", [longley(), norris()], ids=lambda p: p.name)
def test_a_refined_solution_has_the_certified_digits(problem: RegressionProblem) -> None:
    params = solved(problem)

    refined = refine(lambda: [(problem.X, problem.Y, None)], params, factored(problem))

    assert digits(params, problem.name) > 10.5
    assert digits(refined.params, problem.name) >= 14
    assert 1 <= refined.passes <= 3


def test_refinement_does_not_depend_on_blocks() -> None:
    problem = longley()
    X, Y = problem.X, problem.Y
    blocks = [(X[:5], Y[:5], None), (list(X[5:].T), [Y[5:, 0]], None)]

    refined = refine(lambda: blocks, solved(problem), factored(problem))

    assert digits(refined.params, "longley") >= 14


def test_refinement_reaches_the_weighted_ridge_solution_of_exact_arithmetic() -> None:
    x = np.array([[1000.25], [1000.5], [1001.0], [1002.0], [1003.5]])
    y = np.array([[1.0], [3.0], [2.0], [5.0], [4.0]])
    omega = np.array([1.0, 2.0, 0.0, 3.0, 0.5])
    penalty = 0.125
    problem = RegressionProblem("weighted", x, y, omega)
    f = factored(problem)

    refined = refine(
        lambda: [(x, y, omega)], np.array([[0.5], [-480.0]]), f, penalty=np.array([penalty])
    )

    rows = [tuple(map(Fraction, row)) for row in zip(x[:, 0], y[:, 0], omega, strict=True)]
    s = [sum(w * u for u, w in pairs) for pairs in (
        [(Fraction(1), w) for _, _, w in rows], [(a, w) for a, _, w in rows],
        [(b, w) for _, b, w in rows], [(a * a, w) for a, _, w in rows],
        [(a * b, w) for a, b, w in rows],
    )]  # fmt: skip
    slope = (s[4] - s[1] * s[2] / s[0]) / (s[3] + Fraction(penalty) - s[1] ** 2 / s[0])
    b = (s[2] - slope * s[1]) / s[0]
    np.testing.assert_allclose(refined.params[:, 0], [float(slope), float(b)], rtol=2e-16)


def test_refinement_reaches_the_weighted_solution_of_exact_arithmetic_when_hard() -> None:
    problem = longley()
    X, Y = problem.X, problem.Y
    omega = np.random.default_rng(0).uniform(0.1, 3, size=16)
    f = factor([(X, Y, omega)])
    start = np.linalg.lstsq(
        np.sqrt(omega)[:, None] * np.column_stack([X, np.ones(16)]),
        np.sqrt(omega)[:, None] * Y, rcond=1e-14,
    )[0]  # fmt: skip

    refined = refine(lambda: [(X, Y, omega)], start, f)

    expected = rational_solution(np.column_stack([X, np.ones(16)]), Y[:, 0], omega)
    np.testing.assert_allclose(refined.params[:, 0], expected, rtol=5e-16)


def test_refinement_stops_where_corrections_do_not_shrink() -> None:
    problem = random_problem("stops", n_samples=40, n_features=2)
    X, Y = np.tile(problem.X, (2, 1)), np.tile(problem.Y, (2, 1))
    half = factored(problem)
    start = solved(problem) + 1

    refined = refine(lambda: [(X, Y, None)], start, half)

    # The factor of half the rows doubles every step: from 1 above the optimum to 1 below.
    assert refined.passes == 2
    np.testing.assert_allclose(refined.params, start - 2, rtol=1e-9)


def test_dependent_columns_are_not_refined() -> None:
    problem = CATALOGUE["rank deficient"]()
    params = solved(problem)

    refined = refine(lambda: [(problem.X, problem.Y, None)], params, factored(problem))

    assert refined.passes == 0
    assert refined.params.tobytes() == params.tobytes()


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("l2", [0.0, 0.03])
def test_solutions_equal_scikit_learns(name: str, *, intercept: bool, l2: float) -> None:
    problem = CATALOGUE[name]()
    f = factored(problem)
    scaling = scaling_of(f, standardize=True, fit_intercept=intercept)
    Z, omega = scaling.apply(problem.X), problem.sample_weight
    alpha = l2 * f.weight_sum * f.n_targets
    peer = Ridge(alpha=alpha, fit_intercept=intercept) if l2 else LinearRegression(
        fit_intercept=intercept, tol=1e-14
    )  # fmt: skip
    peer.fit(Z, problem.Y, sample_weight=omega)

    found = solve(
        *matrices_of(f, scaling, intercept=intercept), n_rows=f.n_rows, l2=l2, intercept=intercept
    )

    expected = np.reshape(peer.coef_, (f.n_targets, -1)).T
    size = np.abs(expected).max() + np.abs(problem.Y).max() + 1e-300
    np.testing.assert_allclose(found.params[: f.n_features], expected, atol=1e-9 * size)
    squares = np.square(np.reshape(peer.predict(Z), problem.Y.shape) - problem.Y)
    objective = np.average(squares, axis=0, weights=omega).mean() + l2 * np.square(expected).sum()
    assert found.objective == pytest.approx(objective, rel=1e-9, abs=1e-20 * size**2)
    if l2 == 0:
        design = np.concatenate([Z, np.ones((len(Z), int(intercept)))], axis=1)
        assert found.rank == np.linalg.matrix_rank(design)
        assert found.min_norm == (found.rank < design.shape[1])


def test_the_smallest_weights_are_the_limit_of_ridge() -> None:
    problem = CATALOGUE["rank deficient"]()
    X = problem.X + 3.0
    A, B = np.concatenate([X, np.ones((len(X), 1))], axis=1), problem.Y

    least = solve(A, B, n_rows=len(A))

    nearly = solve(A, B, n_rows=len(A), l2=1e-9)
    assert least.rank == 4
    assert least.min_norm
    assert least.condition == np.inf
    np.testing.assert_allclose(least.params, nearly.params, atol=1e-6)


@pytest.mark.parametrize("n_columns", [13, 20, 200])  # fewer and more than twice the rank
@pytest.mark.parametrize("intercept", [True, False])
def test_the_smallest_weights_of_more_columns_than_rows(n_columns: int, *, intercept: bool) -> None:
    rng = np.random.default_rng(n_columns)
    X, Y = rng.normal(size=(12, n_columns)) + 3.0, rng.normal(size=(12, 2))
    X[5], Y[5] = X[4], Y[4]  # a row that says nothing new
    X[:, 7] = 0.0

    found = solve(
        np.concatenate([X, np.ones((12, int(intercept)))], axis=1),
        Y,
        n_rows=12,
        intercept=intercept,
    )

    mean, middle = X.mean(axis=0) * intercept, Y.mean(axis=0) * intercept
    W = np.linalg.lstsq(X - mean, Y - middle, rcond=None)[0]
    assert found.min_norm
    assert found.rank == 11
    np.testing.assert_allclose(found.params[:n_columns], W, rtol=0, atol=1e-12)
    if intercept:
        np.testing.assert_allclose(found.params[-1], middle - mean @ W, rtol=0, atol=1e-11)


@pytest.mark.parametrize("n_shares", [3, 40, 150, 300])
def test_shares_that_sum_to_1_are_one_too_many_however_they_were_rounded(n_shares: int) -> None:
    shares = np.random.default_rng(n_shares).dirichlet(np.ones(n_shares), size=2 * n_shares)
    f = factor([(shares, shares[:, :1], None)])
    A, B = matrices_of(f, scaling_of(f, standardize=True, fit_intercept=True), intercept=True)

    assert solve(A, B, n_rows=f.n_rows).rank == n_shares  # and an intercept


def test_the_condition_is_that_of_columns_of_norm_1() -> None:
    A = CATALOGUE["shifted and scaled"]().X
    B = CATALOGUE["shifted and scaled"]().Y

    found = solve(A, B, n_rows=len(A), intercept=False)

    expected = np.linalg.cond(A / np.linalg.norm(A, axis=0))
    assert found.condition == pytest.approx(expected, rel=1e-9)


@given(st.floats(-1e100, 1e100), st.floats(-1e100, 1e100))
def test_sum_and_product_lose_nothing(a: float, b: float) -> None:
    s, e = two_sum(np.array([a]), np.array([b]))

    assert Fraction(a) + Fraction(b) == Fraction(s[0]) + Fraction(e[0])
    if abs(a * b) > 1e-200:
        p, f = two_product(np.array([a]), np.array([b]))
        assert Fraction(a) * Fraction(b) == Fraction(p[0]) + Fraction(f[0])


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_pairs_add_up_in_twice_the_precision(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n) * 10.0 ** rng.integers(-6, 7, size=n)
    b = np.concatenate([rng.normal(size=n), [1.0]])
    a = np.concatenate([a, [-float(a @ b[:-1])]])

    hi, lo = total(*two_product(a, b))

    exact = sum((Fraction(x) * Fraction(y) for x, y in zip(a, b, strict=True)), Fraction(0))
    size = float(np.abs(a * b).max())
    assert abs(Fraction(float(hi)) + Fraction(float(lo)) - exact) <= Fraction(size * 1e-29)
    assert float(dot(a, b)) == pytest.approx(float(exact), rel=1e-13, abs=size * 1e-29)


@pytest.mark.parametrize("condition", [10.0, 1e6, 1e12])
def test_the_condition_of_many_columns_is_that_of_all_singular_values(condition: float) -> None:
    columns = 300
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.normal(size=(columns, columns)))[0] for _ in range(2))
    A = (U * np.geomspace(1, 1 / condition, columns)) @ V

    found = solve(A, rng.normal(size=(columns, 1)), n_rows=columns, intercept=False)

    scaled = A / np.linalg.norm(A, axis=0)
    assert found.condition == pytest.approx(np.linalg.cond(scaled), rel=1e-3)
