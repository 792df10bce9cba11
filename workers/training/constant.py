"""Whether a model without an intercept has one all the same, among its columns (numpy, scipy)."""

import numpy as np
from scipy.linalg import qr, solve_triangular

from workers.training.mapped import Mapped
from workers.training.problem import Floats
from workers.training.rounding import rank_tolerance
from workers.training.samples import Sample

__all__ = ["holds_constant", "spans_constant"]

# Of rows that are read a chunk at a time, how far a combination may be from 1.
NEAR_ONE = 1e-9
# Multiplications beyond which nobody looks: as many as a certificate may take.
MOST_WORK = 1e10


def holds_constant(sample: Sample) -> bool:
    """Whether weights of the features alone give 1 in every row: all dummies, a column of ones.

    R2, F and their degrees of freedom are then about the mean, as with an intercept. So have it
    statsmodels' OLS and WLS (`k_constant`).
    """
    scaling = sample.scaling(standardize=True, fit_intercept=False)
    A, _ = sample.matrices(scaling, intercept=True)
    weights = spans_constant(A)
    if weights is None or not isinstance(sample, Mapped) or len(A) >= sample.n:
        return weights is not None
    coef = weights / scaling.scale
    return all(bool((np.abs(part.X @ coef - 1) <= NEAR_ONE).all()) for part in sample.chunks())


def spans_constant(A: Floats) -> Floats | None:
    """Find weights of the first columns whose combination is the last one.

    Args:
        A: shape (rows, n_features + 1), a constant's column last, or the factor of such rows.

    Returns:
        The weights, shape (n_features,); None where there are none, or A is too large to look.

    Notes:
        QR with column pivoting of columns of length 1: what is left of the constant must be
        rounding (`rank_tolerance`) of the terms that add up to it. O(rows n_features^2).
    """
    rows, columns = A.shape
    norms = np.linalg.norm(A, axis=0)
    if norms[-1] == 0 or rows * columns * min(rows, columns) > MOST_WORK:
        return None
    X, goal = A[:, :-1] / np.where(norms == 0, 1, norms)[:-1], A[:, -1] / norms[-1]
    Q, R, pivots = qr(X, mode="economic", pivoting=True)
    diagonal = np.abs(np.diagonal(R))
    rank = int((diagonal > rank_tolerance(A.shape) * diagonal.max(initial=0)).sum())
    along = Q[:, :rank].T @ goal
    left = goal - Q[:, :rank] @ along
    weights = np.zeros(columns - 1)
    weights[pivots[:rank]] = solve_triangular(R[:rank, :rank], along)
    terms = max(1.0, float(np.abs(weights).sum()))
    if rank == 0 or np.linalg.norm(left) > rank_tolerance(A.shape) * terms:
        return None
    return np.asarray(weights / np.where(norms == 0, 1, norms)[:-1] * norms[-1])
