"""Standard errors of huber, absolute and quantile loss: against statsmodels, and R's formulas."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from descend.statistics import DEFINITIONS, Covariance, Statistics
from tests.problems import Floats, RegressionProblem, outliers, random_problem
from tests.workers.training.trained import problem_of, train
from workers import training
from workers.training.losses import Loss
from workers.training.piecewise import minimise
from workers.training.quantile_errors import bandwidth


def noisy(n: int = 400, seed: int = 0) -> RegressionProblem:
    """A line whose spread grows: of unequal variances."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2)) * [1, 50] + [0, 1e3]
    y = X @ [1.0, 0.02] + (1 + np.abs(X[:, 0])) * rng.standard_t(3, size=n)
    return RegressionProblem("noisy", X, y[:, np.newaxis])


def known(rows: RegressionProblem, **asked: object) -> Statistics:
    problem = problem_of(rows, optimizer="exact", **asked)
    _, outcome = training.solve_exactly(problem)
    statistics, spread = training.statistics_of(problem, outcome)
    assert spread is None
    return statistics


def errors(statistics: Statistics, kind: Covariance, target: int = 0) -> Floats:
    assert statistics.refused is None
    return np.array(statistics.targets[target].std_errors[kind], dtype=np.float64)


def with_ones(X: Floats) -> Floats:
    return np.column_stack([X, np.ones(len(X))])


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("kind", ["robust", "iid"])
def test_robust_and_iid_are_those_of_statsmodels(kind: Covariance, quantile: float) -> None:
    rows = noisy(3000)
    model = sm.QuantReg(rows.Y[:, 0], with_ones(rows.X))
    peer = model.fit(q=quantile, vcov=kind, max_iter=5000, p_tol=1e-10)

    found = errors(known(rows, loss="quantile", quantile=quantile), kind)

    # statsmodels leaves a sign to the residuals that are 0: three of 3000 rows
    np.testing.assert_allclose(found, peer.bse, rtol=1e-6 if kind == "iid" else 5e-3)


def by_r(rows: RegressionProblem, quantile: float, kind: str) -> Floats:
    """summary.rq of R's quantreg, se = "nid" and "ker", written out again from its source."""
    x, y = with_ones(rows.X), rows.Y[:, 0]
    n, h = len(y), bandwidth(len(y), quantile)

    def rq(tau: float) -> Floats:
        return minimise(x, rows.Y, None, Loss("quantile", quantile=tau)).params[:, 0]

    if kind == "nid":
        dyhat = x @ (rq(quantile + h) - rq(quantile - h))
        f = np.maximum(0, 2 * h / (dyhat - np.finfo(float).eps ** 0.5))
    else:
        uhat = y - x @ rq(quantile)
        low, high = np.quantile(uhat, [0.25, 0.75])
        reach = stats.norm.ppf(quantile + h) - stats.norm.ppf(quantile - h)
        h = reach * min(np.sqrt(np.var(uhat, ddof=1)), (high - low) / 1.34)
        f = stats.norm.pdf(uhat / h) / h
    assert n == len(f)
    H = np.linalg.inv(x.T @ (x * f[:, np.newaxis]))
    return np.sqrt(quantile * (1 - quantile) * np.diag(H @ (x.T @ x) @ H))


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("kind", ["kernel", "nid"])
def test_kernel_and_nid_are_those_of_quantreg(kind: Covariance, quantile: float) -> None:
    rows = noisy()

    found = errors(known(rows, loss="quantile", quantile=quantile), kind)

    np.testing.assert_allclose(found, by_r(rows, quantile, kind), rtol=1e-6)


def test_the_bandwidth_is_hall_and_sheathers_and_fits() -> None:
    from statsmodels.regression.quantile_regression import hall_sheather

    assert bandwidth(100, 0.3) == pytest.approx(hall_sheather(100, 0.3), rel=1e-12)
    assert bandwidth(8, 0.05) < 0.05


@pytest.mark.parametrize("kind", ["H1", "H2", "H3"])
def test_hubers_three_are_those_of_statsmodels_rlm(kind: Covariance) -> None:
    rows = noisy()
    model = sm.RLM(rows.Y[:, 0], with_ones(rows.X), M=sm.robust.norms.HuberT(t=1.2))
    peer = model.fit(update_scale=False, cov=kind, tol=1e-13, maxiter=500)

    found = known(rows, loss="huber", huber_delta=1.2 * float(peer.scale))

    np.testing.assert_allclose(errors(found, kind), np.sqrt(np.diag(peer.bcov_scaled)), rtol=1e-6)


def test_a_wide_huber_sandwich_is_white_s_of_least_squares() -> None:
    rows = replace(noisy(), sample_weight=np.linspace(0.5, 1.5, 400))
    peer = sm.WLS(rows.Y[:, 0], with_ones(rows.X), weights=rows.sample_weight).fit()

    found = known(rows, loss="huber", huber_delta=1e6)

    np.testing.assert_allclose(errors(found, "sandwich"), peer.HC0_se, rtol=1e-6)
    assert found.covariance == "sandwich"
    assert "equal weight" in found.errors_refused["H1"]


@pytest.mark.parametrize("asked", [{"loss": "absolute"}, {"loss": "huber"}], ids=str)
def test_errors_are_near_the_spread_over_many_samples(asked: dict[str, object]) -> None:
    fits = [known_fit(noisy(300, seed=seed), **asked) for seed in range(30)]

    spread = np.std([coef for coef, _ in fits], axis=0)

    told = np.median([error for _, error in fits], axis=0)
    assert (told > 0.6 * spread).all()
    assert (told < 1.8 * spread).all()  # a kernel smooths, and 30 samples vary themselves


def known_fit(rows: RegressionProblem, **asked: object) -> tuple[Floats, Floats]:
    problem = problem_of(rows, optimizer="exact", **asked)
    _, outcome = training.solve_exactly(problem)
    statistics, _ = training.statistics_of(problem, outcome)
    return outcome.coef[0], errors(statistics, statistics.covariance)[:-1]


@pytest.mark.parametrize(
    "asked", [{"loss": "quantile", "quantile": 0.3}, {"loss": "huber"}], ids=str
)
@pytest.mark.parametrize("scale", [1e-3, 1e6])
def test_units_and_offsets_carry_over(scale: float, asked: dict[str, object]) -> None:
    plain = noisy()
    rows = replace(plain, Y=plain.Y * scale + 1e3 * scale)
    wide = dict(asked)
    if asked["loss"] == "huber":
        wide["huber_delta"] = scale

    found, base = known(rows, **wide), known(plain, **asked)

    for kind in base.targets[0].std_errors:
        np.testing.assert_allclose(errors(found, kind), scale * errors(base, kind), rtol=1e-5)
    assert found.targets[0].r2 == pytest.approx(base.targets[0].r2)
    assert found.targets[0].residual_sd == pytest.approx(scale * (base.targets[0].residual_sd or 0))


def test_weights_scale_their_rows_and_rows_of_weight_0_are_none() -> None:
    plain = noisy(120)
    twice = replace(plain, sample_weight=np.full(120, 2.0))
    rest = RegressionProblem("rest", plain.X[:100], plain.Y[:100])
    idle = replace(plain, sample_weight=(np.arange(120) < 100).astype(float))

    for asked in ({"loss": "absolute"}, {"loss": "huber"}):
        base, few = known(plain, **asked), known(rest, **asked)
        kind = base.covariance
        np.testing.assert_allclose(
            errors(known(twice, **asked), kind), errors(base, kind), rtol=1e-9
        )
        np.testing.assert_allclose(errors(known(idle, **asked), kind), errors(few, kind), rtol=1e-9)
        assert known(idle, **asked).n_samples == 100


def test_two_targets_have_errors_of_their_own() -> None:
    rows = random_problem("two", n_targets=2, n_samples=80, seed=3)

    both = known(rows, loss="absolute")

    for k in range(2):
        alone = known(RegressionProblem("one", rows.X, rows.Y[:, [k]]), loss="absolute")
        np.testing.assert_allclose(errors(both, "kernel", k), errors(alone, "kernel"), rtol=1e-9)


@pytest.mark.parametrize(
    ("rows", "asked", "reason"),
    [
        (outliers(), {"loss": "absolute", "l1": 0.1}, "a penalty biases"),
        (outliers(), {"loss": "huber", "l2": 0.1}, "a penalty biases"),
        (random_problem("few", n_samples=5), {"loss": "absolute"}, "no residual degrees"),
        (
            RegressionProblem(
                "twice",
                np.ones((20, 2)) * np.arange(20.0)[:, None] ** [[1, 1]],
                np.sin(np.arange(20.0))[:, None],
            ),
            {"loss": "huber"},
            "dependent",
        ),
        (
            RegressionProblem("line", np.arange(9.0)[:, None], np.arange(9.0)[:, None]),
            {"loss": "absolute"},
            "perfect",
        ),
        (outliers(), {"loss": "huber", "huber_delta": 1e-9}, "raise huber_delta"),
    ],
    ids=lambda one: one.name if isinstance(one, RegressionProblem) else None,
)
def test_where_there_are_no_errors_the_reason_is_told(
    rows: RegressionProblem, asked: dict[str, object], reason: str
) -> None:
    assert reason in (known(rows, **asked).refused or "")


def test_a_first_order_run_is_sent_to_exact_which_has_errors() -> None:
    rows = outliers()
    trained = train(rows, loss="absolute", optimizer="adam", max_epochs=5)
    told, _ = training.statistics_of(problem_of(rows, loss="absolute"), trained.outcome)

    assert "train with optimizer exact" in (told.refused or "")
    assert known(rows, loss="absolute").refused is None


def test_ties_leave_nid_where_no_bandwidth_is() -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(100, 1))
    y = X[:, 0] + np.where(rng.random(100) < 0.7, 0, rng.normal(size=100))

    told = known(RegressionProblem("ties", X, y[:, np.newaxis]), loss="absolute")

    assert "no bandwidth" in (told.errors_refused.get("kernel") or told.refused or "")
    assert told.covariance in {"nid", "classical"}


def test_every_covariance_has_a_definition() -> None:
    shown = {*known(noisy(), loss="absolute").targets[0].std_errors}
    shown |= {*known(noisy(), loss="huber").targets[0].std_errors}

    assert shown == DEFINITIONS.keys() - {"classical", "HC0", "HC1", "HC2", "HC3"}


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("loss", ["quantile", "huber"])
def test_degrees_of_freedom_are_those_of_statsmodels(loss: str, *, intercept: bool) -> None:
    rows = noisy()
    X, y = with_ones(rows.X) if intercept else rows.X, rows.Y[:, 0]

    found = known(rows, loss=loss, fit_intercept=intercept)

    peer = sm.QuantReg(y, X).fit(q=0.5) if loss == "quantile" else sm.RLM(y, X).fit()
    assert found.df_residual == peer.df_resid
    less = loss == "huber" and not intercept  # RLM takes 1 off without a constant, too
    assert found.df_model == peer.df_model + less


def test_columns_count_where_no_minimum_was_computed() -> None:
    rows = noisy()
    asked = {"loss": "huber", "l1": 0.1, "optimizer": "sgd", "max_epochs": 2}

    found, _ = training.statistics_of(problem_of(rows, **asked), train(rows, **asked).outcome)

    assert found.refused
    assert found.df_model == rows.X.shape[1]
    assert found.df_residual == len(rows.X) - rows.X.shape[1] - 1
