"""The minima of huber, absolute and quantile loss: against simplex, reweighting and proofs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog
from sklearn.linear_model import QuantileRegressor

from tests.problems import Floats, RegressionProblem, outliers, random_problem
from tests.workers.training.trained import problem_of
from workers.training.certificate import certify, excess
from workers.training.interior_point import Pieces, approach, dual_point, lower_bound
from workers.training.losses import Loss
from workers.training.objective import matrices
from workers.training.piecewise import Lowest, best_constant, minimise
from workers.training.pooling import near_minimum

LOSSES = {
    "absolute": Loss("absolute"),
    "quantile 0.05": Loss("quantile", quantile=0.05),
    "median": Loss("quantile", quantile=0.5),
    "quantile 0.95": Loss("quantile", quantile=0.95),
    "huber": Loss("huber", delta=0.7),
}
PINBALLS = [name for name in LOSSES if name != "huber"]
# The loss of what is found, as a part of the proven minimum; and of other columns' rounding.
NEAR = 1e-9


def with_ones(X: Floats) -> Floats:
    return np.column_stack([X, np.ones(len(X))])


def objective(A: Floats, y: Floats, omega: Floats, loss: Loss, theta: Floats) -> float:
    return float(np.mean(omega * loss.values(A @ theta - y)))


def by_simplex(A: Floats, y: Floats, omega: Floats, loss: Loss, l1: float = 0.0) -> float:
    """The minimum by HiGHS' dual simplex, of the dual program over all rows."""
    n, columns = A.shape
    M = np.concatenate([A, np.eye(columns - 1 if l1 else 0, columns)])
    up, down = (1.0, 1.0) if loss.name == "absolute" else (loss.quantile, 1 - loss.quantile)
    rest = np.full(len(M) - n, l1 * n)
    found = linprog(
        -np.concatenate([y, np.zeros(len(rest))]),
        A_eq=M.T,
        b_eq=np.zeros(columns),
        bounds=np.column_stack(
            [np.concatenate([-down * omega, -rest]), np.concatenate([up * omega, rest])]
        ),
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    assert found.status == 0
    return -float(found.fun) / n


def by_reweighting(A: Floats, y: Floats, omega: Floats, loss: Loss) -> Floats:
    """Near huber's minimiser by iteratively reweighted least squares."""
    theta = np.linalg.lstsq(A, y, rcond=None)[0]
    for _ in range(400):
        near = np.minimum(1, loss.delta / np.maximum(np.abs(A @ theta - y), 1e-300))
        root = np.sqrt(omega * near)
        moved = np.linalg.lstsq(A * root[:, np.newaxis], y * root, rcond=None)[0]
        if np.abs(moved - theta).max() <= 1e-15 * np.abs(moved).max():
            break
        theta = moved
    return np.asarray(theta)


def drawn(seed: int) -> tuple[Floats, Floats, Floats | None]:
    """Rows of a kind that the seed says: plain, ties, dummies, copies, few, mostly exact."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(8, 90)), int(rng.integers(1, 6))
    X = rng.normal(size=(n, d))
    kind = seed % 6
    if kind == 1:
        X = rng.integers(0, 4, size=(n, d)).astype(np.float64)
    elif kind == 2:
        X = (rng.random((n, d)) < 0.3).astype(np.float64)
    elif kind == 3:
        X = X[rng.integers(0, max(2, n // 4), n)]
    y = X @ rng.normal(size=d) + rng.standard_t(2, size=n)
    if kind in {1, 2, 3}:
        y = np.round(y)
    elif kind == 4:
        y = np.where(rng.random(n) < 0.6, X @ np.ones(d), y)
    y = (y + rng.choice([0, 1e3, 1e6])) * rng.choice([1e-3, 1, 1e6])
    if seed % 2:
        return X, y, None
    omega = rng.random(n) * (rng.random(n) < 0.8)
    return X, y, omega / omega.mean()


def found_for(seed: int, loss: Loss, l1: float = 0.0) -> tuple[Lowest, Floats, Floats, Floats]:
    X, y, omega = drawn(seed)
    A = with_ones(X)
    if loss.name == "huber":
        loss = replace(loss, delta=loss.delta * float(np.median(np.abs(y - np.median(y)))))
    found = minimise(A, y[:, np.newaxis], omega, loss, l1=l1)
    return found, A, y, np.ones(len(A)) if omega is None else omega


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", PINBALLS)
def test_pinballs_reach_the_simplexs_minimum(name: str, seed: int) -> None:
    found, A, y, omega = found_for(seed, LOSSES[name])

    centre = np.median(y)  # HiGHS' tolerances are of size 1
    spread = np.abs(y - centre).mean()
    best = by_simplex(A, (y - centre) / spread, omega, LOSSES[name]) * spread

    size = max(best, 1e-9 * spread, found.noise)
    assert found.objective == pytest.approx(best, abs=NEAR * size)
    assert found.objective - found.bound <= NEAR * size
    assert found.bound <= best + NEAR * size
    rounding = np.finfo(np.float64).eps * np.abs(y).max()
    reached = objective(A, y, omega, LOSSES[name], found.params[:, 0])
    assert reached == pytest.approx(best, abs=NEAR * size + 4 * rounding)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("delta", [1e-4, 0.3, 1.0, 30.0])
def test_huber_is_proved_and_is_not_above_reweighted_least_squares(delta: float, seed: int) -> None:
    found, A, y, omega = found_for(seed, Loss("huber", delta=delta))
    loss = Loss("huber", delta=delta * float(np.median(np.abs(y - np.median(y)))))

    y = y - np.median(y)
    other = objective(A, y, omega, loss, by_reweighting(A, y, omega, loss))

    size = max(found.objective, 1e-9 * loss.values(y).mean(), found.noise)
    assert found.objective - found.bound <= NEAR * size
    assert found.objective <= other + NEAR * size
    assert found.bound <= other + NEAR * size


@pytest.mark.parametrize("name", LOSSES)
def test_no_point_is_below_the_bound(name: str) -> None:
    loss, rng = LOSSES[name], np.random.default_rng(0)
    A, y = with_ones(rng.normal(size=(50, 3))), rng.standard_t(2, size=50)
    found = minimise(A, y[:, np.newaxis], None, loss)

    tried = [found.params[:, 0] + 10.0**k * rng.normal(size=4) for k in range(-8, 2)]

    assert min(objective(A, y, np.ones(50), loss, theta) for theta in tried) >= found.bound


@pytest.mark.parametrize("name", LOSSES)
def test_any_slopes_brought_into_the_dual_prove_a_bound(name: str) -> None:
    rng = np.random.default_rng(1)
    Q = np.linalg.qr(with_ones(rng.normal(size=(60, 3))))[0]
    high, low, kappa = np.full(60, 0.3), np.full(60, -0.7), np.zeros(60)
    if name == "huber":
        high, low, kappa = np.ones(60), -np.ones(60), np.full(60, 0.5)
    pieces = Pieces(Q, rng.normal(size=60), low, high, kappa)
    minimum = pieces.values(pieces.y - Q @ approach(pieces, np.zeros(4)).z).sum()

    d = dual_point(pieces, rng.uniform(-1, 1, size=60))

    assert np.abs(Q.T @ d).max() < 1e-13
    assert (d <= high).all()
    assert (d >= low).all()
    assert lower_bound(pieces, d, pieces.y) <= minimum


@pytest.mark.parametrize("l1", [1e-3, 0.05, 0.3, 10.0])
@pytest.mark.parametrize("quantile", [0.05, 0.5])
def test_l1_is_the_one_of_scikit_learn(quantile: float, l1: float) -> None:
    rows, loss = outliers(), Loss("quantile", quantile=quantile)
    y = rows.Y[:, 0]

    found = minimise(with_ones(rows.X), rows.Y, None, loss, l1=l1)

    peer = QuantileRegressor(quantile=quantile, alpha=l1).fit(rows.X, y)
    theirs = (
        objective(
            with_ones(rows.X), y, np.ones(len(y)), loss, np.append(peer.coef_, peer.intercept_)
        )
        + l1 * np.abs(peer.coef_).sum()
    )
    assert found.objective == pytest.approx(theirs, rel=1e-7)
    assert found.objective - found.bound <= NEAR * found.objective
    assert found.objective == pytest.approx(
        by_simplex(with_ones(rows.X), y, np.ones(len(y)), loss, l1), rel=NEAR
    )


@pytest.mark.parametrize("l2", [1e-6, 0.1, 50.0])
@pytest.mark.parametrize("delta", [1e-3, 1.0, 1e4])
def test_l2_under_huber_leaves_no_slope(delta: float, l2: float) -> None:
    rows, loss = outliers(), Loss("huber", delta=delta)
    A, y = with_ones(rows.X), rows.Y[:, 0]

    found = minimise(A, rows.Y, None, loss, l2=l2)

    theta = found.params[:, 0]
    slope = A.T @ np.clip(A @ theta - y, -delta, delta) / len(y)
    slope[:-1] += 2 * l2 * theta[:-1]
    assert np.abs(slope).max() <= 1e-9 * delta
    assert found.objective - found.bound <= NEAR * found.objective


@pytest.mark.parametrize("name", LOSSES)
def test_targets_are_solved_as_if_alone(name: str) -> None:
    rows = random_problem("three", n_targets=3, seed=2)
    A = with_ones(rows.X)

    together = minimise(A, rows.Y, None, LOSSES[name])

    alone = [minimise(A, rows.Y[:, [k]], None, LOSSES[name]) for k in range(3)]
    np.testing.assert_allclose(
        together.params, np.concatenate([one.params for one in alone], axis=1), rtol=1e-9
    )
    assert together.objective == pytest.approx(np.mean([one.objective for one in alone]))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("intercept", [True, False])
def test_a_repeated_column_shares_its_weight(name: str, *, intercept: bool) -> None:
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(40, 2)), rng.normal(size=(40, 1)) + (3.0 if intercept else 0.0)
    end = np.ones((40, int(intercept)))

    found = minimise(
        np.concatenate([X, X[:, :1], end], axis=1), y, None, LOSSES[name], intercept=intercept
    )

    plain = minimise(np.concatenate([X, end], axis=1), y, None, LOSSES[name], intercept=intercept)
    assert found.rank == plain.rank == 2 + intercept
    assert found.objective == pytest.approx(plain.objective, rel=1e-12)
    assert found.params[0] == pytest.approx(found.params[2])
    assert found.params[0] == pytest.approx(plain.params[0] / 2)


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_fit_and_fewer_rows_than_columns_leave_nothing(name: str) -> None:
    rng = np.random.default_rng(6)
    X = rng.normal(size=(30, 3))
    exact = minimise(with_ones(X), (X @ [[1.0], [2.0], [3.0]]) + 1e6, None, LOSSES[name])
    few = minimise(with_ones(X[:3]), rng.normal(size=(3, 1)), None, LOSSES[name])

    for found in (exact, few):
        assert 0 <= found.objective <= found.noise
        assert found.bound == 0
    np.testing.assert_allclose(exact.params[:, 0], [1, 2, 3, 1e6], rtol=1e-9)
    assert few.rank == 3


@pytest.mark.parametrize("scale", [1e-150, 1e-3, 1e6, 1e150])
@pytest.mark.parametrize("name", PINBALLS)
def test_the_targets_unit_changes_nothing_but_the_unit(name: str, scale: float) -> None:
    rows = random_problem("units", seed=3)
    A = with_ones(rows.X)

    found = minimise(A, rows.Y * scale, None, LOSSES[name])

    plain = minimise(A, rows.Y, None, LOSSES[name])
    assert found.objective == pytest.approx(plain.objective * scale, rel=1e-12)
    assert found.bound == pytest.approx(plain.bound * scale, rel=1e-12)


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.95])
def test_pooling_comes_where_all_rows_come(quantile: float) -> None:
    rng = np.random.default_rng(7)
    n = 12_000
    Q = np.linalg.qr(with_ones(rng.normal(size=(n, 2))))[0] * np.sqrt(n)
    order = np.sort(rng.standard_t(3, size=n))  # as a sorted table is
    pieces = Pieces(Q, order, np.full(n, quantile - 1), np.full(n, quantile), np.zeros(n))

    pooled = pieces.values(pieces.y - Q @ near_minimum(pieces)).sum()

    whole = pieces.values(pieces.y - Q @ approach(pieces, np.zeros(3)).z).sum()
    assert pooled == pytest.approx(whole, rel=1e-9)


def test_a_vertex_fits_as_many_rows_as_there_are_columns_and_says_if_it_is_alone() -> None:
    x, loss = np.arange(6.0)[:, np.newaxis], Loss("absolute")
    even = minimise(
        with_ones(x * 0 + [[1], [1], [1], [2], [2], [2]]),
        np.array([[1.0], [2], [2], [5], [7], [9]]),
        None,
        loss,
        unique=True,
    )
    interval = minimise(
        with_ones(np.repeat([1.0, 2.0], 2)[:, np.newaxis]),
        np.array([[0.0], [1], [5], [6]]),
        None,
        loss,
        unique=True,
    )

    assert even.unique == (True,)
    assert even.at_kink == (3,)
    assert interval.unique == (False,)
    assert interval.at_kink == (2,)


def test_huber_says_if_the_rows_within_delta_leave_directions_free() -> None:
    A = np.ones((4, 1))
    apart = minimise(A, np.array([[0.0], [0], [10], [10]]), None, Loss("huber"), unique=True)
    near = minimise(A, np.array([[0.0], [0], [1], [10]]), None, Loss("huber"), unique=True)

    assert apart.unique == (False,)
    assert near.unique == (True,)


def test_the_best_constant_is_a_weighted_quantile() -> None:
    B, omega = np.array([[3.0], [1.0], [2.0]]), np.array([1.0, 1.0, 4.0])

    assert best_constant(B, omega, Loss("absolute")) == 2
    assert best_constant(B, omega, Loss("quantile", quantile=0.1)) == 1
    assert best_constant(B, omega, Loss("quantile", quantile=0.9)) == 3
    assert best_constant(B, omega[[2, 0, 1]], Loss("absolute")) == 3


@pytest.mark.parametrize(
    "asked",
    [
        {"loss": "absolute"},
        {"loss": "quantile", "quantile": 0.9, "l1": 0.1},
        {"loss": "huber", "l2": 0.1},
    ],
    ids=str,
)
def test_a_certificate_is_the_minimum_in_the_coordinates_of_training(
    asked: dict[str, object],
) -> None:
    rows = replace(outliers(), sample_weight=np.linspace(0, 2, 120))
    problem = problem_of(rows, optimizer="adam", **asked)
    scaling = problem.trained.scaling(standardize=True, fit_intercept=True)
    arranged = matrices(problem, scaling)

    found = certify(problem, arranged)

    assert found is not None
    assert found.proved
    assert excess(problem, arranged, found, found.params) <= 1e-12 * found.objective
    moved = found.params + 1e-3
    h, W = problem.hyperparameters, moved[:-1]
    coef, intercept = scaling.to_original(W.T, moved[-1])
    above = problem.trained.loss(coef, intercept, Loss.of(h))
    above += h.l1 * np.abs(W).sum() + h.l2 * np.square(W).sum() - found.objective
    assert excess(problem, arranged, found, moved) == pytest.approx(above, rel=1e-9)
    assert above > 0


@pytest.mark.parametrize(
    "asked",
    [
        {"loss": "absolute", "l2": 0.1},
        {"loss": "huber", "l1": 0.1},
        {"loss": "huber", "batch_size": 8},
    ],
    ids=str,
)
def test_what_has_no_proof_has_no_certificate(asked: dict[str, object]) -> None:
    problem = problem_of(outliers(), optimizer="adam", **asked)
    scaling = problem.trained.scaling(standardize=True, fit_intercept=True)

    assert certify(problem, matrices(problem, scaling)) is None


def test_rows_of_too_much_work_have_no_certificate() -> None:
    rows = RegressionProblem("long", np.ones((10_000, 1)) * np.arange(200.0), np.ones((10_000, 1)))
    problem = problem_of(rows, optimizer="adam", loss="huber")
    scaling = problem.trained.scaling(standardize=True, fit_intercept=True)

    assert certify(problem, matrices(problem, scaling)) is None
