"""Least squares by other programs, and how many digits of anyone's answer are right."""

import numpy as np
import statsmodels.api as sm
from sklearn.linear_model import LinearRegression

from tests.problems import CERTIFIED, Floats, RegressionProblem

__all__ = ["by_sklearn", "by_statsmodels", "digits"]


def by_statsmodels(problem: RegressionProblem) -> Floats:
    """The intercept first, then the features in order, as NIST lists them."""
    return np.asarray(sm.OLS(problem.Y[:, 0], sm.add_constant(problem.X)).fit().params)


def by_sklearn(problem: RegressionProblem) -> Floats:
    """In the same order."""
    fitted = LinearRegression().fit(problem.X, problem.Y[:, 0])
    return np.array([fitted.intercept_, *fitted.coef_])


def digits(params: Floats, name: str) -> float:
    """LRE = -log10(|estimate - certified| / |certified|), of the worst parameter; at most 15."""
    certified = np.array(CERTIFIED[name].params)
    error = np.abs(np.asarray(params) - certified) / np.abs(certified)
    return float(-np.log10(max(error.max(), 1e-15)))
