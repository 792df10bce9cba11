"""The data of a problem: rows as they are, or their R factor; to the epochs they are the same.

Either gives matrices A and B in the coordinates of training such that the mean over the rows of A
of (A theta - B)^2 is the weighted mean over the data, whatever theta is.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from descend.errors import InvalidInput
from workers.training.losses import SQUARED, Loss
from workers.training.scaling import Floats, Scaling, fit_scaling

__all__ = ["Floats", "Rows", "Sample", "check_rows"]


@runtime_checkable
class Sample(Protocol):
    """What a problem needs of its data."""

    @property
    def n(self) -> int:
        """Rows of the data."""

    @property
    def design_rows(self) -> int:
        """Rows of A: what an epoch costs."""

    @property
    def n_features(self) -> int: ...

    @property
    def n_targets(self) -> int: ...

    @property
    def n_observations(self) -> int:
        """Rows with a weight above 0."""

    @property
    def weighs(self) -> bool:
        """Whether any row has a weight above 0."""

    def scaling(self, *, standardize: bool, fit_intercept: bool) -> Scaling:
        """Fit the standardisation of the columns (see fit_scaling)."""

    def matrices(self, scaling: Scaling, *, intercept: bool) -> tuple[Floats, Floats]:
        """Compute A (design_rows, columns) and B (design_rows, n_targets)."""

    def moments(self) -> tuple[float, float]:
        """Variance and mean square of the targets, each the mean over targets."""

    def loss(self, coef: Floats, intercept: Floats, measure: Loss = SQUARED) -> float:
        """Compute the data term of weights in original units."""

    def largest(self) -> Floats:
        """Largest magnitude in each column of X."""

    def largest_targets(self) -> Floats:
        """Largest magnitude in each column of Y."""

    def digest(self) -> bytes:
        """Bytes that differ where the data do: for checkpoints."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows in memory: X (n, n_features), Y (n, n_targets), float64, finite; omega (n,) or None."""

    X: Floats
    Y: Floats
    omega: Floats | None

    @classmethod
    def checked(cls, X: Floats, Y: Floats, omega: Floats | None) -> "Rows":
        """Make rows; refused by name where they cannot be trained on, or validated on.

        Raises:
            InvalidInput: param "X", "Y" or "sample_weight".
        """
        check_rows(X, Y, omega)
        return cls(X, Y, omega)

    @cached_property
    def observed(self) -> "Rows":
        """These rows, but those of weight 0 with the values of the first that has one.

        They are no observations and their own values may be anything: 0 times an overflow is NaN,
        and a column of one value would have two.
        """
        omega = self.omega
        if omega is None or omega.all() or not omega.any():
            return self
        idle, first = omega == 0, int(np.flatnonzero(omega)[0])
        X, Y = self.X.copy(), self.Y.copy()
        X[idle], Y[idle] = X[first], Y[first]
        return replace(self, X=X, Y=Y)

    @property
    def n(self) -> int:
        return len(self.X)

    @property
    def design_rows(self) -> int:
        return len(self.X)

    @property
    def n_features(self) -> int:
        return int(self.X.shape[1])

    @property
    def n_targets(self) -> int:
        return int(self.Y.shape[1])

    @property
    def n_observations(self) -> int:
        return self.n if self.omega is None else int(np.count_nonzero(self.omega))

    @property
    def weighs(self) -> bool:
        return self.omega is None or bool(self.omega.any())

    def scaling(self, *, standardize: bool, fit_intercept: bool) -> Scaling:
        X = self.observed.X
        return fit_scaling(X, self.omega, standardize=standardize, fit_intercept=fit_intercept)

    def matrices(self, scaling: Scaling, *, intercept: bool) -> tuple[Floats, Floats]:
        seen = self.observed
        Z = scaling.apply(seen.X)
        A = np.concatenate([Z, np.ones((self.n, 1))], axis=1) if intercept else Z
        if self.omega is None:
            return A, seen.Y
        factor = np.sqrt(_relative(self.omega))[:, np.newaxis]
        return factor * A, factor * seen.Y

    def unfolded(
        self, scaling: Scaling, *, intercept: bool
    ) -> tuple[Floats, Floats, Floats | None]:
        """Compute A and B with every row as it is, and the rows' weights, their mean 1.

        For losses other than squared: into these no weight can be folded as a factor of the row.
        """
        A, B = replace(self.observed, omega=None).matrices(scaling, intercept=intercept)
        return A, B, None if self.omega is None else _relative(self.omega)

    def moments(self) -> tuple[float, float]:
        share: float | Floats = 1 / self.n
        Y = self.observed.Y
        if self.omega is not None:
            relative = self.omega / self.omega.max()
            share = (relative / relative.sum())[:, np.newaxis]
        with np.errstate(over="ignore", invalid="ignore"):
            deviation = Y - _centre(Y, share)
            variance = (share * np.square(deviation)).sum()
            # What is left of the mean is its rounding, and no part of the spread.
            variance -= np.square((share * deviation).sum(axis=0)).sum()
            variance /= self.n_targets
            mean_square = (share * np.square(Y)).sum() / self.n_targets
        return float(variance), float(mean_square)

    def loss(self, coef: Floats, intercept: Floats, measure: Loss = SQUARED) -> float:
        seen = self.observed
        values = measure.values(seen.X @ coef.T + intercept - seen.Y).mean(axis=1)
        if self.omega is None:
            return float(values.mean())
        return float(np.average(values, weights=_relative(self.omega)))

    def largest(self) -> Floats:
        return np.asarray(np.abs(self.observed.X).max(axis=0))

    def largest_targets(self) -> Floats:
        return np.asarray(np.abs(self.observed.Y).max(axis=0))

    def digest(self) -> bytes:
        moments = (self.X.sum(axis=0), self.Y.sum(axis=0))
        return repr(self.X.shape).encode() + b"".join(part.tobytes() for part in moments)


def check_rows(X: Floats, Y: Floats, omega: Floats | None) -> None:
    """Refuse rows that cannot be trained on, by name.

    Raises:
        InvalidInput: param "X", "Y" or "sample_weight".
    """
    if X.ndim != 2 or Y.ndim != 2 or X.shape[0] != Y.shape[0] or 0 in X.shape or 0 in Y.shape:
        raise InvalidInput(f"X has shape {X.shape}, Y {Y.shape}: need (n, d) and (n, t)", param="X")
    for param, values in (("X", X), ("Y", Y)):
        if values.dtype != np.float64:
            raise InvalidInput(f"{param} is {values.dtype}: need float64", param=param)
        if not np.isfinite(values).all():
            raise InvalidInput(f"{param} holds NaN or infinity: remove those rows", param=param)
    if omega is None:
        return
    if omega.shape != (X.shape[0],):
        raise InvalidInput(
            f"sample_weight has shape {omega.shape}: need ({X.shape[0]},)", param="sample_weight"
        )
    if not np.isfinite(omega).all() or (omega < 0).any():
        raise InvalidInput("sample weights must be finite and >= 0", param="sample_weight")


def _centre(Y: Floats, share: float | Floats) -> Floats:
    """The targets' weighted means; of a column of one value that value, so that it varies by 0."""
    mean = (share * Y).sum(axis=0)
    mean += (share * (Y - mean)).sum(axis=0)  # takes out the first sum's rounding
    return np.asarray(np.where(Y.min(axis=0) == Y.max(axis=0), Y[0], mean))


def _relative(omega: Floats) -> Floats:
    relative = omega / omega.max()
    return np.asarray(relative * (len(omega) / relative.sum()))
