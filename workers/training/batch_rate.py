"""The rate that "auto" stands for with mini-batches: what a batch curves, and what noise leaves."""

from dataclasses import dataclass

import numpy as np

from descend.jobs import Hyperparameters
from workers.training.losses import Loss
from workers.training.objective import Matrices
from workers.training.problem import Problem
from workers.training.scaling import Floats
from workers.training.spectrum import Spectrum

__all__ = ["Noise", "batch_rate", "n_steps"]

# Of the minimum of the data term, so much may remain as noise, if epochs suffice for that.
EXCESS = 0.01
# exp(-5): what is left of the slowest direction after so many of its time constants.
TIME_CONSTANTS = 5.0


@dataclass(frozen=True)
class Noise:
    """How the rows of a batch curve the objective.

    Attributes:
        curvature: rate of batches at and below which a step contracts, inverted.
        trace: of the Hessian of the data term.
    """

    curvature: float
    trace: float

    @classmethod
    def of(cls, problem: Problem, matrices: Matrices, largest: float) -> "Noise":
        """Estimate them from the rows of `matrices`, `largest` being the Hessian's eigenvalue.

        R^2 = max |a|^2, times the loss's curvature, bounds the curvature of one row; that of B rows
        is (R^2 + (B - 1) lambda_max) / B. E |a|^4 / E |a|^2 in its place is what the theorem's mean
        suggests, and diverges on a rare level: along it only the rare rows step, each too far.
        """
        h = problem.hyperparameters
        per_target = (Loss.of(h).curvature or 1.0) / problem.n_targets
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.square(matrices.A).sum(axis=1)
            shares: Floats = np.ones(len(lengths)) if matrices.weights is None else matrices.weights
            trace = float((shares * lengths).mean())
            row = float((shares * lengths).max())
        size = min(h.batch_size or problem.n_train, problem.n_train)
        curvature = (per_target * row + (size - 1) * largest) / size
        return cls(max(curvature, largest), per_target * trace)


def n_steps(h: Hyperparameters, n_samples: int) -> int:
    """Count the steps of max_epochs epochs."""
    return h.max_epochs * (1 if h.batch_size is None else -(-n_samples // h.batch_size))


def batch_rate(problem: Problem, found: Spectrum, noise: Noise) -> float:
    """Choose sgd's rate on batches of B rows under a loss with a curvature.

        (1 - momentum) min(1 / curvature, max(2 * 0.01 B / trace, 5 / (lambda_min steps)))

    At the first a step contracts in the mean square. At the second the noise of the gradient leaves
    the data term a hundredth above its minimum: the excess is rate * trace / (2 B) of it. The
    third lets the slowest direction arrive within the epochs there are.

    References:
        S. Ma, R. Bassily, M. Belkin, The Power of Interpolation, ICML 2018, theorem 4 (the first).
    """
    h = problem.hyperparameters
    size = min(h.batch_size or problem.n_train, problem.n_train)
    if not 0 < noise.curvature < np.inf:
        return 1.0 if noise.curvature == 0 else float(np.finfo(np.float64).tiny)
    calm = 2 * EXCESS * size / noise.trace if noise.trace > 0 else np.inf
    slowest = found.smallest or found.largest
    arriving = TIME_CONSTANTS / (slowest * n_steps(h, problem.n_train)) if slowest else 0.0
    return (1 - (h.momentum or 0.0)) * min(1 / noise.curvature, max(calm, arriving))
