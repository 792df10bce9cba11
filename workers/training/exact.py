"""Minimisers of the squared-loss objective from A and B, rows or their factor (numpy, scipy).

    J(theta) = 1 / (n t) ||A theta - B||^2 + l2 ||W||^2 + l1 ||W||_1,    theta = [W; b]

n is the number of rows that A stands for, t the number of targets. Coordinates of training.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular
from scipy.sparse.linalg import LinearOperator, eigsh

from workers.training.problem import Floats
from workers.training.refinement import Refined, refine
from workers.training.rounding import rank_tolerance

__all__ = ["Optimum", "Refined", "augmented", "column_norms", "refine", "shortest", "solve"]

# Columns up to which all singular values are computed: beyond, that costs ten factorisations.
FEW_COLUMNS = 256


@dataclass(frozen=True, eq=False)
class Optimum:
    """A minimiser of J with l1 = 0.

    Attributes:
        params: [W; b], shape (columns, n_targets).
        rank: of the column-scaled A with its penalty rows.
        min_norm: whether it is one of many minimisers: that with the smallest ||W||.
        condition: of the column-scaled A with its penalty rows, 2-norm; infinite below full rank.
        objective: J at params.
    """

    params: Floats
    rank: int
    min_norm: bool
    condition: float
    objective: float


def solve(A: Floats, B: Floats, *, n_rows: int, l2: float = 0.0, intercept: bool = True) -> Optimum:
    """Minimise J with l1 = 0.

    Args:
        A: shape (rows or 1 + n_features + n_targets, columns); the last column is the intercept's.
        B: same rows, shape (.., n_targets).
        n_rows: rows that A stands for.
        l2: penalty weight, >= 0; the intercept is not penalised.
        intercept: whether A has its column.

    Returns:
        The minimiser; where it is not unique the one that ridge tends to for l2 -> 0.

    Notes:
        Householder QR with column pivoting of A with columns scaled to norm 1, under it a row
        sqrt(l2 n_rows n_targets) for each coefficient. A pivot up to `rank_tolerance` of the first
        counts as 0.

    References:
        G. H. Golub, C. F. Van Loan, Matrix Computations (2013), sections 5.3.3, 5.4.2 and 5.5.
    """
    M, goal = augmented(A, B, l2 * n_rows * B.shape[1], intercept=intercept)
    norms = column_norms(M)
    Q, R, pivots = qr(M / norms, mode="economic", pivoting=True)
    rank = _rank(R, M.shape)
    columns = A.shape[1]
    params = np.zeros((columns, B.shape[1]))
    params[pivots[:rank]] = solve_triangular(R[:rank, :rank], Q[:, :rank].T @ goal)
    params /= norms[:, np.newaxis]
    if rank < columns:
        params = shortest(R, pivots, norms, params, intercept=intercept)
    residuals = M @ params - goal
    return Optimum(
        params=params,
        rank=rank,
        min_norm=rank < columns,
        condition=_condition(R) if rank == columns else np.inf,
        objective=float(np.square(residuals).sum() / (n_rows * B.shape[1])),
    )


def augmented(A: Floats, B: Floats, weight: float, *, intercept: bool) -> tuple[Floats, Floats]:
    """Put the penalty's rows, of this squared weight, under A and zeros under B."""
    if weight == 0:
        return A, B
    n_penalised = A.shape[1] - intercept
    penalty = np.eye(n_penalised, A.shape[1]) * np.sqrt(weight)
    return np.concatenate([A, penalty]), np.concatenate([B, np.zeros((n_penalised, B.shape[1]))])


def column_norms(A: Floats) -> Floats:
    norms = np.linalg.norm(A, axis=0)
    return np.where(norms == 0, 1, norms)


def _condition(R: Floats) -> float:
    """Compute the 2-norm condition number of a triangle of full rank.

    Of a large one by Lanczos iteration for the ends of its spectrum, each to 1e-6.
    """
    columns = R.shape[1]
    if columns <= FEW_COLUMNS:
        return float(np.linalg.cond(R))

    def squared(v: Floats) -> Floats:
        return np.asarray(R.T @ (R @ v))

    def inverted(v: Floats) -> Floats:
        return np.asarray(solve_triangular(R, solve_triangular(R, v, trans="T")))

    start = np.linspace(1, 2, columns)
    ends = [
        eigsh(
            LinearOperator((columns, columns), matvec=product, dtype=np.float64),
            k=1,
            which="LA",
            v0=start,
            tol=1e-6,
            return_eigenvectors=False,
        )[0]
        for product in (squared, inverted)
    ]
    return float(np.sqrt(ends[0] * ends[1]))


def _rank(R: Floats, shape: tuple[int, ...]) -> int:
    pivots = np.abs(np.diagonal(R))
    return int((pivots > rank_tolerance(shape) * pivots[0]).sum())


def shortest(
    R: Floats, pivots: NDArray[np.integer], norms: Floats, params: Floats, *, intercept: bool
) -> Floats:
    """Take from params what changes no prediction and lengthens W.

    Args:
        R: pivoted triangle of the columns scaled to norm 1.
        pivots: its columns' places.
        norms: of the columns before.
        params: [W; b], shape (columns, n_targets).
        intercept: whether the last column is the intercept's.
    """
    rank = _rank(R, R.shape)
    if 2 * rank < len(norms):
        return _in_the_row_space(R[:rank], pivots, norms, params, intercept=intercept)
    return _without_null_space(R[:rank], pivots, norms, params, intercept=intercept)


def _without_null_space(
    R: Floats, pivots: NDArray[np.integer], norms: Floats, params: Floats, *, intercept: bool
) -> Floats:
    """Take away the directions that R does not see; columns * (columns - rank)^2."""
    rank, columns = R.shape
    null = np.zeros((columns, columns - rank))
    null[pivots[:rank]] = -solve_triangular(R[:, :rank], R[:, rank:])
    null[pivots[rank:]] = np.eye(columns - rank)
    null /= norms[:, np.newaxis]
    null /= np.linalg.norm(null, axis=0)
    W = slice(0, columns - intercept)
    return np.asarray(params - null @ np.linalg.lstsq(null[W], params[W], rcond=None)[0])


def _in_the_row_space(
    R: Floats, pivots: NDArray[np.integer], norms: Floats, params: Floats, *, intercept: bool
) -> Floats:
    """Find the shortest W that R maps to where it maps params; columns * rank^2.

    One row, turned to hold all of the intercept's column, gives the intercept; the others give W,
    which is shortest in the span of these rows.
    """
    rows = np.empty_like(R)
    rows[:, pivots] = R
    rows *= norms
    goal = rows @ params
    if intercept:
        turned = qr(rows[:, -1:])[0].T
        rows, goal = turned @ rows, turned @ goal
    found = params.copy()
    W, others = slice(0, len(norms) - intercept), slice(int(intercept), None)
    basis, triangle = qr(rows[others, W].T, mode="economic")
    found[W] = basis @ solve_triangular(triangle, goal[others], trans="T")
    if intercept:
        found[-1] = (goal[0] - rows[0, W] @ found[W]) / rows[0, -1]
    return found
