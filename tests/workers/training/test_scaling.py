"""Standardisation: what it computes, and the way back."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.problems import CATALOGUE
from workers.training.scaling import Scaling, fit_scaling


def test_columns_get_mean_0_and_population_standard_deviation_1() -> None:
    X = CATALOGUE["shifted and scaled"]().X

    Z = fit_scaling(X, None, standardize=True, fit_intercept=True).apply(X)

    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(Z.std(axis=0), 1, rtol=1e-12)


def test_weights_count_as_repeated_rows() -> None:
    X = CATALOGUE["well conditioned"]().X
    omega = np.arange(len(X), dtype=np.float64) % 4

    weighted = fit_scaling(X, omega, standardize=True, fit_intercept=True)

    repeated = np.repeat(X, omega.astype(int), axis=0)
    np.testing.assert_allclose(weighted.mean, repeated.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(weighted.scale, repeated.std(axis=0), rtol=1e-12)


def test_without_an_intercept_columns_are_scaled_by_their_root_mean_square() -> None:
    X = CATALOGUE["shifted and scaled"]().X

    scaling = fit_scaling(X, None, standardize=True, fit_intercept=False)

    assert (scaling.mean == 0).all()
    np.testing.assert_allclose(scaling.scale, np.sqrt(np.square(X).mean(axis=0)), rtol=1e-13)


def test_a_constant_column_becomes_exactly_0() -> None:
    X = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 4.0]])

    scaling = fit_scaling(X, None, standardize=True, fit_intercept=True)

    assert (scaling.apply(X)[:, 0] == 0).all()
    assert scaling.scale[0] == 1


def test_without_standardize_nothing_is_changed() -> None:
    X = CATALOGUE["longley"]().X

    scaling = fit_scaling(X, None, standardize=False, fit_intercept=True)

    assert scaling.apply(X).tobytes() == X.tobytes()


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e150, 1e307])
def test_columns_near_the_ends_of_the_range_are_scaled(size: float) -> None:
    X = np.array([[1.0], [2.0], [4.0]]) * size

    Z = fit_scaling(X, None, standardize=True, fit_intercept=True).apply(X)

    expected = (np.array([1.0, 2.0, 4.0]) - 7 / 3) / np.std([1.0, 2.0, 4.0])
    np.testing.assert_allclose(Z[:, 0], expected, rtol=1e-12)


@given(seed=st.integers(0, 2**32), intercept=st.booleans())
def test_weights_survive_the_way_there_and_back(seed: int, *, intercept: bool) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(12, 3)) * 10.0 ** rng.integers(-3, 4, size=3) + rng.normal(size=3)
    coef, b = rng.normal(size=(2, 3)), rng.normal(size=2) * intercept
    scaling = fit_scaling(X, None, standardize=True, fit_intercept=intercept)

    back, b_back = scaling.to_original(*scaling.to_trained(coef, b))

    np.testing.assert_allclose(back, coef, rtol=1e-14)
    magnitude = np.abs(coef) @ np.abs(scaling.mean) + np.abs(b)
    assert (np.abs(b_back - b) <= 1e-14 * (magnitude + 1)).all()


@given(seed=st.integers(0, 2**32))
def test_an_intercept_is_rounded_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean, goal, b = 1e6 * rng.normal(size=9), 1e6 * rng.normal(size=1), rng.normal(size=1)
    scaling = Scaling(mean, rng.uniform(1, 9, size=9), goal)

    coef, intercept = scaling.to_original(rng.normal(size=(1, 9)), b)

    terms = [Fraction(w) * Fraction(m) for w, m in zip(coef[0], mean, strict=True)]
    assert intercept[0] == float(Fraction(b[0]) - sum(terms) + Fraction(goal[0]))
    _, back = scaling.to_trained(coef, intercept)
    assert back[0] == float(Fraction(intercept[0]) + sum(terms) - Fraction(goal[0]))


@given(seed=st.integers(0, 2**32))
def test_scaled_rows_with_trained_weights_predict_what_rows_with_original_ones_do(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(12, 3)) + 5
    coef, b = rng.normal(size=(2, 3)), rng.normal(size=2)
    scaling = fit_scaling(X, None, standardize=True, fit_intercept=True)

    trained, b_trained = scaling.to_trained(coef, b)

    expected = X @ coef.T + b
    np.testing.assert_allclose(scaling.apply(X) @ trained.T + b_trained, expected, atol=1e-12)
