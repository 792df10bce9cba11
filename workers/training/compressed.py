"""The R factor of rows as the data of a problem: an epoch costs the same whatever n is."""

from dataclasses import dataclass, replace

import numpy as np

from workers.training.factor import (
    Factor,
    factor,
    loss_of,
    matrices_of,
    moments_of,
    scaling_of,
)
from workers.training.forms import choose_form
from workers.training.losses import SQUARED, Loss
from workers.training.problem import Problem
from workers.training.samples import Floats, Rows, Sample
from workers.training.scaling import Scaling

__all__ = ["Factored", "compress", "factor_of"]


@dataclass(frozen=True, eq=False)
class Factored:
    """The R factor of the rows: as many rows as there are columns, whatever n is."""

    factor: Factor

    @property
    def n(self) -> int:
        return self.factor.n_rows

    @property
    def design_rows(self) -> int:
        return 1 + self.n_features + self.n_targets

    @property
    def n_features(self) -> int:
        return self.factor.n_features

    @property
    def n_targets(self) -> int:
        return self.factor.n_targets

    @property
    def n_observations(self) -> int:
        return self.factor.n_observations

    @property
    def weighs(self) -> bool:
        return bool(self.factor.R[0, 0] > 0)

    def scaling(self, *, standardize: bool, fit_intercept: bool) -> Scaling:
        return scaling_of(self.factor, standardize=standardize, fit_intercept=fit_intercept)

    def matrices(self, scaling: Scaling, *, intercept: bool) -> tuple[Floats, Floats]:
        A, B = matrices_of(self.factor, scaling, intercept=intercept)
        # A mean over the rows of A, not over n: problems of any n can then train side by side.
        share = np.sqrt(len(A) / self.n)
        return share * A, share * B

    def moments(self) -> tuple[float, float]:
        return moments_of(self.factor)

    def loss(self, coef: Floats, intercept: Floats, measure: Loss = SQUARED) -> float:
        if measure != SQUARED:
            raise ValueError(f"the factor of the rows does not know their {measure.name} loss")
        return loss_of(self.factor, coef, intercept)

    def largest(self) -> Floats:
        return self._largest[: self.n_features]

    def largest_targets(self) -> Floats:
        return self._largest[self.n_features :]

    @property
    def _largest(self) -> Floats:
        return np.maximum(np.abs(self.factor.low), np.abs(self.factor.high))

    def digest(self) -> bytes:
        return self.factor.R.tobytes() + self.factor.shift.tobytes()


def compress(problem: Problem, *, threads: int = 1) -> Problem:
    """Put R factors in the place of a problem's rows, where epochs on them cost less.

    Args:
        problem: of rows in memory.
        threads: that work on a factor; the result does not depend on it.
    """
    h = problem.hyperparameters
    form = choose_form(problem.n_train, problem.n_features, problem.n_targets, h)
    if form == "rows":
        return problem
    held = None if problem.held is None else Factored(factor_of(problem.held, threads=threads))
    trained = Factored(factor_of(problem.trained, threads=threads))
    return replace(problem, trained=trained, held=held)


def factor_of(sample: Sample, *, threads: int = 1) -> Factor:
    """Return the R factor of a sample, computed where it is rows.

    Raises:
        ValueError: for rows that are not in memory.
    """
    if isinstance(sample, Factored):
        return sample.factor
    if isinstance(sample, Rows):
        return factor([(sample.X, sample.Y, sample.omega)], threads=threads)
    raise ValueError(f"{type(sample).__name__} has no factor")
