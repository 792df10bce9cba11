"""Where training ends against scikit-learn's closed forms and coordinate descent."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, Ridge

from descend.jobs import StopReason
from tests.problems import CATALOGUE, RegressionProblem
from tests.workers.training.trained import Trained, train

TO_THE_END = {"max_epochs": 200_000, "tol": 1e-15, "patience": 100, "standardize": False}
WAYS: dict[str, dict[str, object]] = {
    "sgd": {},
    "momentum": {"momentum": 0.6},
    "nesterov": {"momentum": 0.5, "nesterov": True},
}
UNIQUE = ["well conditioned", "several targets", "weighted"]


def agree(trained: Trained, model: object, *, tolerance: float = 1e-8) -> None:
    """Hold weights and intercept against a fitted scikit-learn model."""
    assert trained.outcome.stop_reason is StopReason.CONVERGED
    coef = np.atleast_2d(model.coef_)  # type: ignore[attr-defined]
    intercept = np.atleast_1d(model.intercept_)  # type: ignore[attr-defined]
    assert np.abs(trained.outcome.coef - coef).max() <= tolerance * np.abs(coef).max()
    assert np.abs(trained.outcome.intercept - intercept).max() <= tolerance * 10


def fit(model: object, rows: RegressionProblem) -> object:
    Y = rows.Y[:, 0] if rows.Y.shape[1] == 1 else rows.Y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's remarks on how fast it converges
        return model.fit(rows.X, Y, sample_weight=rows.sample_weight)  # type: ignore[attr-defined]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", UNIQUE)
def test_least_squares_ends_at_linear_regression(name: str, way: str) -> None:
    rows = CATALOGUE[name]()

    trained = train(rows, **{**TO_THE_END, **WAYS[way]})

    agree(trained, fit(LinearRegression(), rows))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", UNIQUE)
def test_l2_ends_at_ridge(name: str, way: str) -> None:
    rows, l2 = CATALOGUE[name](), 0.2
    total = len(rows.X) if rows.sample_weight is None else rows.sample_weight.sum()

    trained = train(rows, **{**TO_THE_END, **WAYS[way]}, l2=l2)

    agree(trained, fit(Ridge(alpha=total * l2 * rows.Y.shape[1], tol=1e-14), rows))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["well conditioned", "weighted"])
def test_l1_ends_at_lasso_with_the_same_zeros(name: str, way: str) -> None:
    rows, l1 = CATALOGUE[name](), 0.8

    trained = train(rows, **{**TO_THE_END, **WAYS[way]}, l1=l1)

    lasso = fit(Lasso(alpha=l1 / 2, tol=1e-14, max_iter=100_000), rows)
    agree(trained, lasso)
    zeros = np.atleast_2d(lasso.coef_) == 0  # type: ignore[attr-defined]
    assert zeros.any()
    assert (trained.outcome.coef[zeros] == 0).all()


@pytest.mark.parametrize("way", WAYS)
def test_both_penalties_end_at_elastic_net(way: str) -> None:
    rows, l1, l2 = CATALOGUE["well conditioned"](), 0.5, 0.3

    trained = train(rows, **{**TO_THE_END, **WAYS[way]}, l1=l1, l2=l2)

    alpha = l1 / 2 + l2
    agree(trained, fit(ElasticNet(alpha=alpha, l1_ratio=l1 / 2 / alpha, tol=1e-14), rows))


def test_several_targets_under_l1_are_each_a_lasso() -> None:
    rows, l1 = CATALOGUE["several targets"](), 0.3

    trained = train(rows, **TO_THE_END, l1=l1)

    for target in range(3):
        # The mean over targets divides each one's data term by 3.
        lasso = Lasso(alpha=3 * l1 / 2, tol=1e-14, max_iter=100_000)
        lasso.fit(rows.X, rows.Y[:, target])
        np.testing.assert_allclose(trained.outcome.coef[target], lasso.coef_, atol=1e-8)


def test_adam_under_l1_ends_at_lasso() -> None:
    rows = CATALOGUE["well conditioned"]()

    trained = train(
        rows, optimizer="adam", learning_rate=0.01, l1=0.8, max_epochs=5_000, tol=0,
        standardize=False,
    )  # fmt: skip

    lasso = fit(Lasso(alpha=0.4, tol=1e-14, max_iter=100_000), rows)
    np.testing.assert_allclose(trained.outcome.coef[0], lasso.coef_, atol=1e-8)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", UNIQUE)
def test_standardised_least_squares_has_the_same_optimum(name: str) -> None:
    rows = CATALOGUE[name]()

    trained = train(rows, **{**TO_THE_END, "standardize": True})

    agree(trained, fit(LinearRegression(), rows))


def test_a_penalty_acts_on_standardised_weights_and_returns_in_original_units() -> None:
    rows = CATALOGUE["shifted and scaled"]()
    mean, scale = rows.X.mean(axis=0), rows.X.std(axis=0)

    trained = train(rows, **{**TO_THE_END, "standardize": True}, l2=0.1)

    ridge = Ridge(alpha=len(rows.X) * 0.1, tol=1e-14).fit((rows.X - mean) / scale, rows.Y[:, 0])
    np.testing.assert_allclose(trained.outcome.coef[0], ridge.coef_ / scale, rtol=1e-7)


def test_without_an_intercept_none_is_fitted() -> None:
    rows = CATALOGUE["well conditioned"]()

    trained = train(rows, **TO_THE_END, fit_intercept=False)

    agree(trained, fit(LinearRegression(fit_intercept=False), rows))
    assert (trained.outcome.intercept == 0).all()
