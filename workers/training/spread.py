"""How far predictions and weights of a least-squares fit stray; what an interval needs (numpy)."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import stdtrit

from workers.training.factor import Factor, matrices_of, scaling_of
from workers.training.problem import Floats
from workers.training.rounding import rank_tolerance
from workers.training.scaling import Scaling

__all__ = ["Intervals", "Refusal", "Spread", "prediction_intervals", "spread_of", "weighed"]


@dataclass(frozen=True)
class Refusal:
    """Why a figure does not exist, and what to do."""

    reason: str


@dataclass(frozen=True, eq=False)
class Spread:
    """How far a prediction's mean strays, whatever the target: leverage(x) = ||v root||^2.

    v = [(x - mean) / scale, 1], without the 1 if there is no intercept. In these coordinates the
    covariance of the parameters is sigma^2 root root'.

    Attributes:
        mean: shape (n_features,).
        scale: shape (n_features,).
        root: shape (columns, columns), upper triangular.
        intercept: whether v ends in 1.
    """

    mean: Floats
    scale: Floats
    root: Floats
    intercept: bool

    def coordinates(self, X: Floats) -> Floats:
        """Give v of each row of X, shape (n, columns)."""
        V = (X - self.mean) / self.scale
        return np.concatenate([V, np.ones((len(V), 1))], axis=1) if self.intercept else V

    def original(self) -> Floats:
        """Give S with sigma^2 S S' the covariance of [W; b] in original units."""
        d = len(self.mean)
        S = self.root.copy()
        S[:d] /= self.scale[:, np.newaxis]
        if self.intercept:
            S[d] -= self.mean @ S[:d]
        return S


@dataclass(frozen=True, eq=False)
class Intervals:
    """Ends about predictions, shape (n, n_targets): of their mean, and of a new observation."""

    mean_low: Floats
    mean_high: Floats
    low: Floats
    high: Floats


def spread_of(factor: Factor, *, fit_intercept: bool) -> Spread | None:
    """Compute the spread from the factor of the rows; None where their columns are dependent.

    Notes:
        Householder QR of the columns about their means, scaled to norm 1. A pivot below
        max(64, columns) eps counts as 0.
    """
    scaling = scaling_of(factor, standardize=True, fit_intercept=fit_intercept)
    A, _ = weighed(factor, scaling, fit_intercept=fit_intercept)
    norms = np.linalg.norm(A, axis=0)
    columns = A.shape[1]
    if (norms == 0).any() or factor.n_observations < columns:
        return None
    R = np.linalg.qr(A / norms)[1]
    if np.abs(np.diagonal(R)).min() <= rank_tolerance(A.shape):
        return None
    root = solve_triangular(R, np.eye(columns)) / norms[:, np.newaxis]
    return Spread(scaling.mean, scaling.scale, root, fit_intercept)


def prediction_intervals(
    spread: Spread,
    X: Floats,
    predicted: Floats,
    *,
    residual_sd: Floats,
    df_residual: int,
    level: float = 0.95,
) -> Intervals:
    """Compute intervals about predictions.

        mean: y_hat +- q sigma sqrt(h(x)),   new observation: y_hat +- q sigma sqrt(1 + h(x))

    Args:
        spread: of the fit.
        X: rows to predict, shape (n, n_features).
        predicted: y_hat, shape (n, n_targets).
        residual_sd: sigma of each target, shape (n_targets,).
        df_residual: degrees of freedom of sigma, >= 1.
        level: share of intervals that hold the truth, in (0, 1).

    Returns:
        Their ends. A new observation is taken to have weight 1.

    Notes:
        q is the (1 + level) / 2 quantile of Student's t. Needs numpy and scipy.special.stdtrit.
    """
    h = np.square(spread.coordinates(X) @ spread.root).sum(axis=1)[:, np.newaxis]
    reach = float(stdtrit(df_residual, (1 + level) / 2)) * residual_sd
    mean, new = reach * np.sqrt(h), reach * np.sqrt(1 + h)
    return Intervals(predicted - mean, predicted + mean, predicted - new, predicted + new)


def weighed(factor: Factor, scaling: Scaling, *, fit_intercept: bool) -> tuple[Floats, Floats]:
    """Give A and B of rows that weigh sqrt(omega_i), not relative to the weights' mean."""
    share = factor.root_weight / np.sqrt(factor.n_rows)
    A, B = matrices_of(factor, scaling, intercept=fit_intercept)
    return A * share, B * share
