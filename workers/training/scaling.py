"""Standardisation of the columns of X, and the exact way back to original units (numpy)."""

from dataclasses import dataclass

import numpy as np

from workers.training.twofold import Floats, dot

__all__ = ["Floats", "Scaling", "fit_scaling", "power_of_two"]


@dataclass(frozen=True, eq=False)
class Scaling:
    """z = (x - mean) / scale, column by column; mean and scale have shape (n_features,).

    Attributes:
        goal: what the targets are counted from, shape (n_targets,); None for 0. Only where an
            intercept takes it up.
    """

    mean: Floats
    scale: Floats
    goal: Floats | None = None

    def apply(self, X: Floats) -> Floats:
        return (X - self.mean) / self.scale

    def to_trained(self, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
        """Bring weights from original units to the units trained in.

        Args:
            coef: shape (n_targets, n_features).
            intercept: shape (n_targets,).
        """
        goal = None if self.goal is None else -self.goal
        return coef * self.scale, _moved(intercept, coef, self.mean, goal)

    def to_original(self, coef: Floats, intercept: Floats) -> tuple[Floats, Floats]:
        """Bring trained weights back: w / scale, b - (w / scale) . mean.

        The intercept is rounded once, and makes up for the rounding of the others at the mean.
        """
        original = coef / self.scale
        return original, _moved(intercept, -original, self.mean, self.goal)


def _moved(intercept: Floats, coef: Floats, mean: Floats, goal: Floats | None) -> Floats:
    """Compute intercept + coef . mean + goal for each target, rounded once."""
    ones = np.ones((len(coef), 1 if goal is None else 2))
    ends = intercept[:, np.newaxis] if goal is None else np.stack([intercept, goal], axis=1)
    terms = np.concatenate([coef, ends], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):  # weights beyond float64 are told by name
        return dot(terms, np.concatenate([np.broadcast_to(mean, coef.shape), ones], axis=1))


def fit_scaling(
    X: Floats, omega: Floats | None, *, standardize: bool, fit_intercept: bool
) -> Scaling:
    r"""Compute the columns' weighted mean and population standard deviation.

    mean_j = sum_i omega_i x_ij / sum(omega);
    scale_j = sqrt(sum_i omega_i (x_ij - mean_j)^2 / sum(omega)).

    Without an intercept nothing can absorb a shift: the mean is 0 and the scale is the root mean
    square. A constant column has scale 1. Without `standardize` it is the identity.

    Args:
        X: shape (n_samples, n_features), float64, finite.
        omega: weights, shape (n_samples,), >= 0, not all zero; None for equal weights.
        standardize: whether to scale at all.
        fit_intercept: whether to centre.

    Returns:
        The scaling, in float64.

    Notes:
        Columns are first divided by a power of two near their largest magnitude (exact), so that
        values up to 1e308 do not overflow. A column of one value is centred by that value, so
        that it becomes exactly 0 and not a column of rounding errors.
        Cost: three passes over X. Does not depend on any other problem.

    Example:
        >>> fit_scaling(np.array([[1.0], [3.0]]), None, standardize=True, fit_intercept=True)
        Scaling(mean=array([2.]), scale=array([1.]))
    """
    n_features = X.shape[1]
    if not standardize:
        return Scaling(np.zeros(n_features), np.ones(n_features))
    size = power_of_two(np.abs(X).max(axis=0))
    share = _shares(omega, len(X))
    U = X / size
    mean = np.zeros(n_features)
    if fit_intercept:
        mean = share @ U
        mean += share @ (U - mean)  # a second pass takes out the first one's rounding
        constant = X.min(axis=0) == X.max(axis=0)
        mean[constant] = U[0, constant]
    scale = np.sqrt(share @ np.square(U - mean))
    scale *= size
    scale[scale == 0] = 1
    return Scaling(mean * size, scale)


def _shares(omega: Floats | None, n_samples: int) -> Floats:
    if omega is None:
        return np.full(n_samples, 1 / n_samples)
    relative = omega / omega.max()
    return np.asarray(relative / relative.sum())


def power_of_two(magnitudes: Floats) -> Floats:
    _, exponents = np.frexp(magnitudes)
    return np.ldexp(1.0, np.where(magnitudes == 0, 0, exponents - 1))
