"""Inference against statsmodels and NIST, with and without weights and intercept."""

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.outliers_influence import variance_inflation_factor

from tests.problems import CATALOGUE, CERTIFIED, Floats, RegressionProblem, longley, norris
from tests.workers.training.trained import problem_of, train_batch
from workers import training
from workers.training.factor import factor
from workers.training.statistics import (
    Inference,
    Refusal,
    infer,
    prediction_intervals,
    robust,
    variance_inflation,
)

NAMES = ["longley", "several targets", "weighted", "shifted and scaled", "ill conditioned"]


def inferred(problem: RegressionProblem, *, intercept: bool, level: float = 0.95) -> Inference:
    f = factor([(problem.X, problem.Y, problem.sample_weight)])
    found = infer(f, fit_intercept=intercept, level=level)
    assert isinstance(found, Inference)
    return found


def peer(problem: RegressionProblem, k: int, *, intercept: bool) -> Any:
    """statsmodels' fit of target k to the rows that have weight, the constant last."""
    omega = np.ones(len(problem.X)) if problem.sample_weight is None else problem.sample_weight
    kept = omega > 0
    X = problem.X[kept]
    X = np.concatenate([X, np.ones((len(X), 1))], axis=1) if intercept else X
    if problem.sample_weight is None:
        return sm.OLS(problem.Y[:, k], X).fit()
    return sm.WLS(problem.Y[kept, k], X, weights=omega[kept]).fit()


@pytest.mark.parametrize("problem", [longley(), norris()], ids=lambda p: p.name)
def test_certified_figures_are_met(problem: RegressionProblem) -> None:
    certified = CERTIFIED[problem.name]

    target = inferred(problem, intercept=True).targets[0]

    errors = np.concatenate([target.standard_errors[-1:], target.standard_errors[:-1]])
    np.testing.assert_allclose(errors, certified.standard_errors, rtol=1e-9)
    assert target.residual_sd == pytest.approx(certified.residual_sd, rel=1e-9)
    assert target.r2 == pytest.approx(certified.r2, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("intercept", [True, False])
def test_figures_equal_statsmodels(name: str, *, intercept: bool) -> None:
    problem = CATALOGUE[name]()
    # statsmodels loses digits with the condition number, which for Longley is 5e9
    rel = 1e-7 if name == "longley" else 1e-9

    found = inferred(problem, intercept=intercept, level=0.9)

    for k, target in enumerate(found.targets):
        fit = peer(problem, k, intercept=intercept)
        ends = fit.conf_int(alpha=0.1)
        pairs = {
            "params": fit.params,
            "standard_errors": fit.bse,
            "t": fit.tvalues,
            "low": ends[:, 0],
            "high": ends[:, 1],
            "residual_sd": np.sqrt(fit.scale),
            "residual_sum_squares": fit.ssr,
            "r2": fit.rsquared,
            "adjusted_r2": fit.rsquared_adj,
            "f": fit.fvalue,
            "log_likelihood": fit.llf,
            "aic": fit.aic,
            "bic": fit.bic,
        }
        for figure, expected in pairs.items():
            np.testing.assert_allclose(getattr(target, figure), expected, rtol=rel, err_msg=figure)
        np.testing.assert_allclose(target.p, fit.pvalues, rtol=100 * rel, atol=1e-30)
        np.testing.assert_allclose(target.f_p, fit.f_pvalue, rtol=100 * rel, atol=1e-30)
    assert (found.df_residual, found.df_model) == (fit.df_resid, fit.df_model)
    assert found.n_observations == fit.nobs


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("intercept", [True, False])
def test_robust_errors_equal_statsmodels(name: str, *, intercept: bool) -> None:
    problem = CATALOGUE[name]()
    omega = problem.sample_weight
    f = factor([(problem.X, problem.Y, omega)])
    fitted = inferred(problem, intercept=intercept)
    params = np.stack([target.params for target in fitted.targets], axis=1)
    cut = len(problem.X) // 3
    blocks = [
        (problem.X[rows], problem.Y[rows], None if omega is None else omega[rows])
        for rows in (slice(0, cut), slice(cut, None))
    ]

    found = robust(blocks, f, params, fit_intercept=intercept)

    assert not isinstance(found, Refusal)
    for k in range(f.n_targets):
        fit = peer(problem, k, intercept=intercept)
        for kind in ("HC0", "HC1", "HC2", "HC3"):
            expected = fit.get_robustcov_results(cov_type=kind).bse
            errors = getattr(found, kind.lower())[k]
            rel = 1e-6 if name == "longley" else 1e-9
            np.testing.assert_allclose(errors, expected, rtol=rel, err_msg=kind)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("intercept", [True, False])
def test_intervals_about_predictions_equal_statsmodels(name: str, *, intercept: bool) -> None:
    problem = CATALOGUE[name]()
    found = inferred(problem, intercept=intercept)
    X = problem.X[:5] * 1.1
    params = np.stack([target.params for target in found.targets], axis=1)
    design = np.concatenate([X, np.ones((5, 1))], axis=1) if intercept else X

    ends = prediction_intervals(
        found.spread,
        X,
        design @ params,
        residual_sd=np.array([target.residual_sd for target in found.targets]),
        df_residual=found.df_residual,
        level=0.8,
    )

    for k in range(len(found.targets)):
        frame = peer(problem, k, intercept=intercept).get_prediction(design).summary_frame(0.2)
        for ours, theirs in {
            "mean_low": "mean_ci_lower",
            "mean_high": "mean_ci_upper",
            "low": "obs_ci_lower",
            "high": "obs_ci_upper",
        }.items():
            expected = frame[theirs].to_numpy()
            np.testing.assert_allclose(
                getattr(ends, ours)[:, k], expected, rtol=1e-7, atol=1e-9, err_msg=ours
            )


@pytest.mark.filterwarnings("ignore:The design matrix is poorly conditioned")
@pytest.mark.parametrize("name", ["longley", "several targets", "shifted and scaled"])
@pytest.mark.parametrize("intercept", [True, False])
def test_variance_inflation_equals_statsmodels(name: str, *, intercept: bool) -> None:
    X = CATALOGUE[name]().X
    design = np.concatenate([X, np.ones((len(X), 1))], axis=1) if intercept else X
    f = factor([(X, X[:, :1], None)])

    vif = variance_inflation(f, fit_intercept=intercept)

    # Told to standardise it would centre a design without a constant.
    expected = [
        variance_inflation_factor(design, j, standardize=intercept) for j in range(X.shape[1])
    ]
    np.testing.assert_allclose(vif, expected, rtol=1e-8)


def test_the_condition_is_that_of_the_scaled_design() -> None:
    X = longley().X
    design = np.concatenate([X, np.ones((16, 1))], axis=1)

    found = inferred(longley(), intercept=True)

    expected = np.linalg.cond(design / np.linalg.norm(design, axis=0))
    assert found.condition == pytest.approx(expected, rel=1e-6)


def test_dependent_features_are_refused_by_name_and_inflate_without_bound() -> None:
    problem = CATALOGUE["rank deficient"]()
    f = factor([(problem.X, problem.Y, None)])

    found = infer(f, fit_intercept=True, names=("a", "b", "c", "d"))
    vif = variance_inflation(f, fit_intercept=True)

    assert isinstance(found, Refusal)
    assert "the columns a, b, d are" in found.reason
    assert np.isinf(vif).tolist() == [True, True, False, True]
    alone = peer_vif(problem.X[:, [2, 0, 1]])
    assert vif[2] == pytest.approx(alone, rel=1e-9)
    assert isinstance(robust([], f, np.zeros((5, 1)), fit_intercept=True), Refusal)


def test_a_constant_feature_beside_an_intercept_is_refused() -> None:
    problem = CATALOGUE["constant column"]()
    f = factor([(problem.X, problem.Y, None)])

    found = infer(f, fit_intercept=True)

    assert isinstance(found, Refusal)
    assert "X[:, 2]" in found.reason
    assert isinstance(infer(f, fit_intercept=False), Inference)


def test_without_residual_degrees_of_freedom_nothing_is_inferred() -> None:
    problem = CATALOGUE["several targets"]()
    X, Y = problem.X, problem.Y
    omega = np.ones(len(X))
    omega[5:] = 0
    f = factor([(X, Y, omega)])

    found = infer(f, fit_intercept=True)

    assert isinstance(found, Refusal)
    assert "at least 6 rows" in found.reason
    assert isinstance(infer(f, fit_intercept=False), Inference)
    assert isinstance(robust([], f, np.zeros((5, 3)), fit_intercept=True), Refusal)


def test_a_row_fitted_exactly_has_no_hc2() -> None:
    X = np.array([[0.0], [0.0], [0.0], [1.0]])
    Y = np.array([[1.0], [2.0], [4.0], [9.0]])
    f = factor([(X, Y, None)])
    params = np.array([[20 / 3], [7 / 3]])

    found = robust([(X, Y, None)], f, params, fit_intercept=True)

    assert not isinstance(found, Refusal)
    assert np.isfinite(found.hc1).all()
    assert found.hc2 is None
    assert found.hc3 is None


def test_rows_fitted_exactly_are_named_by_their_place_whatever_the_pieces() -> None:
    X = np.array([[0.0, 0], [0, 0], [0, 0], [1, 0], [0, 0], [0, 1]])
    Y = np.array([[1.0], [2], [4], [9], [3], [7]])
    blocks = [(X[:3], Y[:3], None), (X[3:], Y[3:], None)]
    f = factor(blocks)

    params = np.array([[6.5], [4.5], [2.5]])
    found = robust(blocks, f, params, fit_intercept=True, chunk_rows=2)

    assert not isinstance(found, Refusal)
    assert found.pinned == (3, 5)


def test_a_target_without_spread_has_no_r2() -> None:
    X = CATALOGUE["well conditioned"]().X
    problem = RegressionProblem("flat", X, np.full((len(X), 1), 0.1))

    target = inferred(problem, intercept=True).targets[0]

    assert target.r2 is None
    assert target.f is None


def test_a_refined_optimum_is_taken_as_it_is() -> None:
    problem = longley()
    f = factor([(problem.X, problem.Y, None)])
    best = np.array(CERTIFIED["longley"].params)
    params = np.concatenate([best[1:], best[:1]])[:, np.newaxis]

    found = infer(f, fit_intercept=True, params=params)

    assert isinstance(found, Inference)
    assert found.targets[0].params.tobytes() == params[:, 0].tobytes()
    assert found.targets[0].residual_sd == pytest.approx(304.854073561965, rel=1e-12)


def peer_vif(X: Floats) -> float:
    return float(variance_inflation_factor(np.concatenate([X, np.ones((len(X), 1))], axis=1), 0))


@pytest.mark.parametrize("unit", [1e-12, 1 / 400, 1.0, 1e14])
@pytest.mark.parametrize(("target_gap", "near"), [(1e-9, False), (1e-23, True)])
def test_whether_there_are_statistics_does_not_depend_on_the_unit_of_weights(
    unit: float, target_gap: float, *, near: bool
) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    X[:, 1] += 2 * X[:, 0]
    noise = rng.normal(size=(400, 2))
    Y = np.column_stack([1000 * (X @ [1, 2, 3] + noise[:, 0]), X @ [1, 1, 1] + noise[:, 1] / 1000])
    rows = RegressionProblem("two units", X, Y, sample_weight=np.full(400, unit))
    made = training.compress(problem_of(rows, max_epochs=10**5, tol=0, target_gap=target_gap))
    outcome = train_batch([made])[0].outcome

    told, _ = training.statistics_of(made, outcome)

    assert (told.refused is None) == near
