"""Huber, absolute and quantile loss with all defaults, wherever the targets are and in any unit."""

import numpy as np
import pytest
from scipy.optimize import linprog

from descend.jobs import StopReason
from tests.problems import RegressionProblem
from tests.workers.training.trained import problem_of, train
from workers import training
from workers.training.losses import Loss

LOSSES: dict[str, dict[str, object]] = {
    "huber": {"loss": "huber"},
    "absolute": {"loss": "absolute"},
    "low": {"loss": "quantile", "quantile": 0.05},
    "median": {"loss": "quantile", "quantile": 0.5},
    "high": {"loss": "quantile", "quantile": 0.95},
}


def drawn(seed: int) -> RegressionProblem:
    """Rows with offsets of 0 to 1e6 and units of 1e-3 to 1e6, targets and columns alike."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(12, 120)), int(rng.integers(1, 6))
    X = rng.normal(size=(n, d))
    if seed % 3 == 0:
        X = 0.3 * X + 0.95 * X[:, :1]
    noise = rng.standard_t(2, size=n) if seed % 2 else rng.exponential(size=n)
    y = X @ rng.normal(size=d) + noise
    y = y * 10 ** rng.uniform(-3, 6) + rng.choice([0, 1e3, 1e4, 1e6])
    X = X * 10 ** rng.uniform(-3, 6, size=d) + rng.choice([0, 1e3, 1e6], size=d)
    weights = rng.uniform(0, 2, size=n) if seed % 5 == 4 else None
    return RegressionProblem("drawn", X, y[:, None], sample_weight=weights)


def lowest(rows: RegressionProblem, loss: Loss) -> float:
    """The minimum by HiGHS on the dual; of huber the best that Newton's steps come to."""
    omega = np.ones(len(rows.X)) if rows.sample_weight is None else rows.sample_weight
    Z = (rows.X - rows.X.mean(axis=0)) / rows.X.std(axis=0)
    A = np.column_stack([Z, np.ones(len(Z))])
    y = rows.Y[:, 0] - np.median(rows.Y)
    unit = float(np.abs(y).mean())
    if loss.name == "huber":
        return newton(A, y, omega, delta=loss.delta, width=10 * unit)
    up, down = (1.0, 1.0) if loss.name == "absolute" else (loss.quantile, 1 - loss.quantile)
    bounds = np.column_stack([-down * omega, up * omega])
    found = linprog(-y / unit, A_eq=A.T, b_eq=np.zeros(A.shape[1]), bounds=bounds, method="highs")
    return float(-found.fun * unit / omega.sum())


def newton(A: np.ndarray, y: np.ndarray, omega: np.ndarray, *, delta: float, width: float) -> float:
    theta = np.linalg.lstsq(A, y, rcond=None)[0]

    def height(theta: np.ndarray, width: float) -> float:
        return float(omega @ Loss("huber", delta=width).values(A @ theta - y))

    while True:
        width = max(width, delta)
        for _ in range(60):
            r = A @ theta - y
            pull = A.T @ (omega * np.clip(r, -width, width))
            inner = omega * (np.abs(r) <= width)
            step = np.linalg.lstsq((A * inner[:, None]).T @ A, pull, rcond=None)[0]
            length = 1.0
            while height(theta - length * step, width) > height(theta, width) and length > 1e-9:
                length /= 2
            theta = theta - length * step
        if width <= delta:
            return height(theta, delta) / omega.sum()
        width *= 0.3


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", LOSSES)
def test_all_defaults_come_within_a_hundredth_of_the_minimum(name: str, seed: int) -> None:
    seed = 10 * list(LOSSES).index(name) + seed
    rows, asked = drawn(seed), LOSSES[name]
    loss = Loss(str(asked["loss"]), quantile=float(asked.get("quantile", 0.5)))  # type: ignore[arg-type]

    outcome = train(rows, **asked).outcome

    least, metrics = lowest(rows, loss), outcome.metrics
    assert metrics.train_loss is not None
    assert metrics.min_loss is not None
    assert metrics.min_loss <= least * (1 + 1e-7)
    assert loss.name == "huber" or metrics.min_loss == pytest.approx(least, rel=1e-7)
    assert metrics.train_loss <= 1.01 * metrics.min_loss
    assert not metrics.converged or metrics.train_loss <= (1 + 1.1e-6) * metrics.min_loss
    assert (outcome.stop_reason is StopReason.CONVERGED) == (metrics.converged is True)
    assert outcome.resolved.optimizer == "lbfgs"


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("scale", [1e-3, 1e6])
@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_fit_is_found_to_its_last_digits(name: str, scale: float, offset: float) -> None:
    rng = np.random.default_rng(7)
    X = rng.normal(size=(60, 4))
    y = scale * (X @ rng.normal(size=4)) + offset
    asked = LOSSES[name]
    loss = Loss(str(asked["loss"]), quantile=float(asked.get("quantile", 0.5)))  # type: ignore[arg-type]

    outcome = train(RegressionProblem("perfect", X, y[:, None]), **asked).outcome

    residuals = X @ outcome.coef[0] + outcome.intercept[0] - y
    constant = float(loss.values(np.median(y) - y).mean())
    digits = float(loss.values(np.array([np.spacing(np.abs(y).max())]))[0])
    assert float(loss.values(residuals).mean()) <= 1e-11 * constant + digits
    assert outcome.metrics.converged is not False
    assert outcome.metrics.converged or "perfect fit" in " ".join(outcome.warnings)
    assert (outcome.stop_reason is StopReason.CONVERGED) == (outcome.metrics.converged is True)


@pytest.mark.parametrize("name", ["absolute", "high"])
def test_nothing_leads_away_from_a_perfect_fit(name: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 8))
    y = 3e5 * (X @ rng.normal(size=8)) + 1e4

    asked = {**LOSSES[name], "tol": 0, "max_epochs": 250}
    trained = train(RegressionProblem("perfect", X, y[:, None]), **asked)

    losses = trained.history.train_loss
    assert len(losses) == 250
    assert losses[-1] <= 10 * losses.min()


@pytest.mark.parametrize("name", ["absolute", "low", "median"])
def test_columns_that_nearly_repeat_each_other_take_no_more_epochs(name: str) -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(80, 6))
    near = np.column_stack([X[:, :1], X[:, :1] + 1e-4 * X[:, 1:]])
    y = X @ rng.normal(size=6) + rng.standard_t(2, size=80)

    metrics = train(RegressionProblem("near", near, y[:, None]), **LOSSES[name]).outcome.metrics

    assert metrics.converged is True
    assert metrics.epochs < 500


def test_of_a_perfect_fit_behind_an_offset_nothing_is_claimed() -> None:
    X = np.linspace(0, 1, 50)[:, None]
    rows = RegressionProblem("far", X, 1e6 + 1e-3 * X)

    exact = training.solve_exactly(problem_of(rows, loss="absolute", optimizer="exact"))[1]
    by_default = train(rows, loss="absolute").outcome

    for outcome in (exact, by_default):
        assert outcome.metrics.converged is None
        assert any("perfect fit" in told or "fit is perfect" in told for told in outcome.warnings)
    assert by_default.stop_reason is StopReason.SETTLED


@pytest.mark.parametrize("name", LOSSES)
def test_the_history_is_of_the_loss_itself_and_its_gap_of_the_proven_minimum(name: str) -> None:
    rows, asked = drawn(1), LOSSES[name]

    trained = train(rows, **asked)

    history, metrics = trained.history, trained.outcome.metrics
    loss = Loss(str(asked["loss"]), quantile=float(asked.get("quantile", 0.5)))  # type: ignore[arg-type]
    quantile = loss.quantile if loss.name == "quantile" else 0.5
    constant = np.sort(rows.Y[:, 0])[int(np.ceil(quantile * len(rows.Y))) - 1]
    first = float(loss.values(constant - rows.Y).mean())
    assert history.train_loss[0] == pytest.approx(first, rel=1e-12)
    assert metrics.min_loss is not None
    gap = np.maximum(history.train_loss - metrics.min_loss, 0)
    np.testing.assert_allclose(history.gap, gap, atol=1e-12 * first)


@pytest.mark.parametrize(
    ("asked", "optimizer", "schedule"),
    [
        ({"loss": "squared"}, "sgd", None),
        ({"loss": "huber"}, "lbfgs", None),
        ({"loss": "absolute"}, "lbfgs", None),
        ({"loss": "absolute", "l1": 0.1}, "sgd", "cosine"),
        ({"loss": "quantile", "batch_size": 4}, "sgd", "cosine"),
        ({"loss": "quantile", "optimizer": "adam"}, "adam", "cosine"),
        ({"loss": "quantile", "learning_rate": 0.1}, "sgd", None),
        ({"loss": "huber", "momentum": 0.5}, "sgd", None),
        ({"loss": "absolute", "schedule": {"type": "constant"}}, "sgd", "constant"),
    ],
)
def test_what_is_asked_for_is_obeyed_and_the_rest_resolved(
    asked: dict[str, object], optimizer: str, schedule: str | None
) -> None:
    resolved = train(drawn(1), **asked, max_epochs=3).outcome.resolved

    assert resolved.optimizer == optimizer
    assert (None if resolved.schedule is None else resolved.schedule.type) == schedule


def test_hubers_rate_is_below_its_bound_wherever_the_targets_are() -> None:
    rows = drawn(1)
    far = RegressionProblem("far", rows.X, 1e6 * rows.Y)

    rates = [
        train(one, loss="huber", optimizer="sgd", max_epochs=3).outcome.resolved.learning_rate
        for one in (rows, far)
    ]

    assert rates[0] == rates[1]
