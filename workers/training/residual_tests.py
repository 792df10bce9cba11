"""Tests of residuals by name, from what streaming passes leave: moments and R factors (numpy)."""

from dataclasses import dataclass

import numpy as np

from descend.diagnostics import ResidualTest
from workers.training.factor import Factor, matrices_of, scaling_of
from workers.training.problem import Floats

__all__ = ["Moments", "breusch_pagan", "curvature", "orthogonal_to_columns", "tails"]

STRAIGHT = "the target is a straight function of the columns"
EVEN = "the residuals spread alike whatever the columns are"
NORMAL = "the residuals are normally distributed"


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and sums of the 2nd to 4th power of deviations, one column for each target."""

    n: int
    mean: Floats
    squares: Floats
    cubes: Floats
    fourths: Floats

    @classmethod
    def of(cls, values: Floats) -> "Moments":
        """Take the moments of the columns of `values`, shape (n, n_targets)."""
        if not len(values):
            nothing = np.zeros(values.shape[1])
            return cls(0, nothing, nothing, nothing, nothing)
        mean = values.mean(axis=0)
        deviation = values - mean
        squares = np.square(deviation)
        return cls(
            n=len(values),
            mean=mean,
            squares=squares.sum(axis=0),
            cubes=(squares * deviation).sum(axis=0),
            fourths=np.square(squares).sum(axis=0),
        )

    def __add__(self, other: "Moments") -> "Moments":
        """Merge two samples.

        References:
            P. Pebay, Formulas for Robust, One-Pass Parallel Computation of Covariances and
            Arbitrary-Order Statistical Moments, Sandia report SAND2008-6212, eqs. 2.1 to 3.1.
        """
        n = self.n + other.n
        if not n:
            return self
        a, b = self.n, other.n
        d = other.mean - self.mean
        return Moments(
            n=n,
            mean=self.mean + d * b / n,
            squares=self.squares + other.squares + d**2 * (a * b / n),
            cubes=self.cubes
            + other.cubes
            + d**3 * (a * b * (a - b) / n**2)
            + 3 * d * (a * other.squares - b * self.squares) / n,
            fourths=self.fourths
            + other.fourths
            + d**4 * (a * b * (a**2 - a * b + b**2) / n**3)
            + 6 * d**2 * (a**2 * other.squares + b**2 * self.squares) / n**2
            + 4 * d * (a * other.cubes - b * self.cubes) / n,
        )


def orthogonal_to_columns(factor: Factor, *, intercept: bool) -> tuple[Floats, Floats, int]:
    """Project the targets of a factor off its columns.

    Returns:
        B before and B after, each with as many rows as the factor has, and the columns' rank.
    """
    scaling = scaling_of(factor, standardize=True, fit_intercept=intercept)
    A, B = matrices_of(factor, scaling, intercept=intercept)
    left, singular, _ = np.linalg.svd(A, full_matrices=False)
    size = max(factor.n_observations, A.shape[1])
    basis = left[:, singular > size * np.finfo(np.float64).eps * singular[0]]
    after = B - basis @ (basis.T @ B)
    return B, after - basis @ (basis.T @ after), basis.shape[1]


def curvature(before: Floats, after: Floats, *, df: int) -> ResidualTest:
    r"""Test for a square: RESET with the square of the fitted values q.

    F = (RSS - RSS_q) / (RSS_q / df), where RSS_q is what is left when q joins the columns.

    Args:
        before: residuals and q, the two columns of B.
        after: the same without their parts along the columns.
        df: residual degrees of freedom with q among the columns.

    References:
        J. B. Ramsey, Tests for Specification Errors in Classical Linear Least-Squares Regression
        Analysis, JRSS B 31 (1969).
    """
    e, q = after.T
    told = f"F(1, {df})"
    noise = 1e-9 * np.linalg.norm(before[:, 1])
    if df < 1:
        return _refused("curvature", STRAIGHT, told, "too few rows")
    if np.linalg.norm(q) <= noise:
        reason = "the squared fitted values are a combination of the columns"
        return _refused("curvature", STRAIGHT, told, reason)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        total = float(e @ e)
        taken = float(np.square(e @ q) / (q @ q))
    if total - taken <= 0:
        return _refused("curvature", STRAIGHT, told, "no residual is left")
    from scipy.special import fdtrc

    statistic = taken / ((total - taken) / df)
    return _told("curvature", STRAIGHT, told, statistic, p=float(fdtrc(1, df, statistic)))


def breusch_pagan(before: Floats, after: Floats, *, n: int, rank: int) -> ResidualTest:
    """Test for a spread that varies with the columns: n R^2 of the squared residuals on them.

    Args:
        before: squared residuals, a column of B.
        after: the same without their part along the columns and the constant.
        n: observations.
        rank: of the columns, the constant included.

    References:
        R. Koenker, A Note on Studentizing a Test for Heteroscedasticity, J. Econometrics 17 (1981).
    """
    df = rank - 1
    told = f"chi2({df})"
    # The first row of B holds its part along the constant, the others what varies.
    varies = float(before[1:] @ before[1:])
    if df < 1 or varies <= 1e-24 * float(before @ before):
        reason = "no column varies" if df < 1 else "all residuals are alike"
        return _refused("breusch_pagan", EVEN, told, reason)
    from scipy.special import chdtrc

    statistic = n * max(0.0, 1 - float(after @ after) / varies)
    return _told("breusch_pagan", EVEN, told, statistic, p=float(chdtrc(df, statistic)))


def tails(moments: Moments, target: int) -> ResidualTest:
    """Test for tails unlike the normal distribution's: n/6 (skewness^2 + (kurtosis - 3)^2 / 4).

    References:
        C. M. Jarque, A. K. Bera, A Test for Normality of Observations and Regression Residuals,
        International Statistical Review 55 (1987).
    """
    n, variance = moments.n, float(moments.squares[target]) / max(moments.n, 1)
    if variance == 0:
        return _refused("tails", NORMAL, "chi2(2)", "all residuals are alike")
    from scipy.special import chdtrc

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        size = np.float64(variance)
        skewness = moments.cubes[target] / n / size**1.5
        kurtosis = moments.fourths[target] / n / size**2
        statistic = float(n / 6 * (skewness**2 + (kurtosis - 3) ** 2 / 4))
    return _told("tails", NORMAL, "chi2(2)", statistic, p=float(chdtrc(2, statistic)))


def _told(name: str, null: str, distribution: str, statistic: float, *, p: float) -> ResidualTest:
    if not np.isfinite(statistic):
        return _refused(name, null, distribution, "the numbers leave the range of float64")
    return ResidualTest.model_validate(
        {
            "name": name,
            "null": null,
            "statistic": statistic,
            "distribution": distribution,
            "p": p,
        }
    )


def _refused(name: str, null: str, distribution: str, reason: str) -> ResidualTest:
    return ResidualTest.model_validate(
        {
            "name": name,
            "null": null,
            "statistic": None,
            "distribution": distribution,
            "p": None,
            "refused": reason,
        }
    )
