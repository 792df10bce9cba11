"""Minimisers of the squared-loss objective from A and B, rows or their factor (numpy, scipy).

    J(theta) = 1 / (n t) ||A theta - B||^2 + l2 ||W||^2 + l1 ||W||_1,    theta = [W; b]

n is the number of rows that A stands for, t the number of targets. Coordinates of training.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr, solve_triangular
from scipy.sparse.linalg import LinearOperator, eigsh

from workers.training.problem import Floats
from workers.training.refinement import Refined, refine

__all__ = ["Optimum", "Refined", "Sparse", "lasso", "refine", "solve"]

# Columns up to which all singular values are computed: beyond, that costs ten factorisations.
FEW_COLUMNS = 256

EPS = float(np.finfo(np.float64).eps)
# A factor of dependent columns keeps some tens of eps of rounding, however few its rows.
LEAST_TOLERANCE = 64 * EPS
SWEEPS_PER_ROUND = 5


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


@dataclass(frozen=True, eq=False)
class Sparse:
    """A minimiser of J with l1 > 0, and how far from the optimum it can be at most.

    Attributes:
        params: [W; b], shape (columns, n_targets); zeros are exact.
        objective: J at params.
        gap: J(params) - the dual's value, >= J(params) - min J.
        relative_gap: gap over J of W = 0 with its best b; 0 where that is 0.
        iterations: sweeps of coordinate descent, summed over targets.
    """

    params: Floats
    objective: float
    gap: float
    relative_gap: float
    iterations: int


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
        sqrt(l2 n_rows n_targets) for each coefficient. A pivot below max(rows, columns, 64) eps of
        the first counts as 0.

    References:
        G. H. Golub, C. F. Van Loan, Matrix Computations (2013), sections 5.3.3, 5.4.2 and 5.5.
    """
    M, goal = _augmented(A, B, l2 * n_rows * B.shape[1], intercept=intercept)
    norms = _norms(M)
    Q, R, pivots = qr(M / norms, mode="economic", pivoting=True)
    rank = _rank(R, M.shape)
    columns = A.shape[1]
    params = np.zeros((columns, B.shape[1]))
    params[pivots[:rank]] = solve_triangular(R[:rank, :rank], Q[:, :rank].T @ goal)
    params /= norms[:, np.newaxis]
    if rank < columns:
        params -= _superfluous(R, pivots, norms, params, intercept=intercept)
    residuals = M @ params - goal
    return Optimum(
        params=params,
        rank=rank,
        min_norm=rank < columns,
        condition=_condition(R) if rank == columns else np.inf,
        objective=float(np.square(residuals).sum() / (n_rows * B.shape[1])),
    )


def lasso(
    A: Floats,
    B: Floats,
    *,
    l1: float,
    n_rows: int,
    l2: float = 0.0,
    intercept: bool = True,
    tolerance: float = 1e-12,
    max_rounds: int = 200,
) -> Sparse:
    r"""Minimise J with l1 > 0, with proof.

    Args:
        A: as in `solve`.
        B: as in `solve`.
        l1: penalty weight, > 0.
        n_rows: rows that A stands for.
        l2: penalty weight, >= 0.
        intercept: whether A has its column.
        tolerance: stop at a gap below this share of J(W = 0).
        max_rounds: stop after so many rounds for a target, converged or not.

    Returns:
        The minimiser found, its duality gap and the work done.

    Notes:
        Targets are separate problems. With the intercept projected out, m = n_rows n_targets and
        the rows sqrt(m l2) I under A (A~, b~ = [b; 0]), the objective of one target is

            P(w) = 1/m ||A~ w - b~||^2 + l1 ||w||_1.

        As 1/m ||r||^2 = max_u (r.u - m/4 ||u||^2), its dual is

            max D(u) = b~.u - m/4 ||u||^2   subject to   ||A~' u||_inf <= l1,

        and u = 2 r / m at the optimum, r = b~ - A~ w. The gap is taken at the best feasible
        multiple of it. A round is some sweeps of coordinate descent, then the exact minimum for
        the signs found, dropping coefficients that would change theirs (feature-sign search): it
        ends after finitely many sets. Deterministic.

        Equals Lasso(alpha = n_targets l1 / 2) for each target.

    References:
        J. Friedman, T. Hastie, R. Tibshirani, Regularization Paths for Generalized Linear Models
        via Coordinate Descent, J. Stat. Softw. 33 (2010), section 2.
        H. Lee, A. Battle, R. Raina, A. Y. Ng, Efficient sparse coding algorithms, NIPS 19 (2006),
        algorithm 1.
    """
    m = float(n_rows * B.shape[1])
    M, goal, ones = _projected(A, B, intercept=intercept)
    M, goal = _augmented(M, goal, l2 * m, intercept=False)
    found = [
        _sparse(M, goal[:, k], l1 * m / 2, tolerance=tolerance, max_rounds=max_rounds)
        for k in range(B.shape[1])
    ]
    params = np.stack([w for w, _, _ in found], axis=1)
    gap = sum(gap for _, gap, _ in found) * 2 / m
    start = float(np.square(goal).sum() / m)
    residuals = M @ params - goal
    if intercept:
        b = ones @ (B - A[:, :-1] @ params)
        params = np.concatenate([params, b[np.newaxis]])
    return Sparse(
        params=params,
        objective=float(np.square(residuals).sum() / m + l1 * np.abs(params[: M.shape[1]]).sum()),
        gap=gap,
        relative_gap=gap / start if start > 0 else 0.0,
        iterations=sum(sweeps for _, _, sweeps in found),
    )


def _augmented(A: Floats, B: Floats, weight: float, *, intercept: bool) -> tuple[Floats, Floats]:
    """Put the penalty's rows, of this squared weight, under A and zeros under B."""
    if weight == 0:
        return A, B
    n_penalised = A.shape[1] - intercept
    penalty = np.eye(n_penalised, A.shape[1]) * np.sqrt(weight)
    return np.concatenate([A, penalty]), np.concatenate([B, np.zeros((n_penalised, B.shape[1]))])


def _norms(A: Floats) -> Floats:
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
    return int((pivots > max(LEAST_TOLERANCE, max(shape) * EPS) * pivots[0]).sum())


def _superfluous(
    R: Floats, pivots: Floats, norms: Floats, params: Floats, *, intercept: bool
) -> Floats:
    """Compute the part of params that changes no residual and lengthens W."""
    columns = len(norms)
    rank = _rank(R, R.shape)
    null = np.zeros((columns, columns - rank))
    null[pivots[:rank]] = -solve_triangular(R[:rank, :rank], R[:rank, rank:])
    null[pivots[rank:]] = np.eye(columns - rank)
    null /= norms[:, np.newaxis]
    null /= np.linalg.norm(null, axis=0)
    W = slice(0, columns - intercept)
    return np.asarray(null @ np.linalg.lstsq(null[W], params[W], rcond=None)[0])


def _projected(A: Floats, B: Floats, *, intercept: bool) -> tuple[Floats, Floats, Floats]:
    """Take the intercept's column out of the others; also what gives b from what is left."""
    if not intercept:
        return A, B, np.zeros(len(A))
    unit = A[:, -1] / np.linalg.norm(A[:, -1])
    X = A[:, :-1]
    both = [V - np.outer(unit, unit @ V) for V in (X, B)]
    return both[0], both[1], unit / np.linalg.norm(A[:, -1])


def _sparse(
    M: Floats, goal: Floats, level: float, *, tolerance: float, max_rounds: int
) -> tuple[Floats, float, int]:
    """Minimise 1/2 ||M w - goal||^2 + level ||w||_1; return w, the gap and the sweeps taken."""
    M = np.asfortranarray(M)
    w = np.zeros(M.shape[1])
    start = float(goal @ goal) / 2
    best, gap, sweeps = w, _gap(M, goal, w, level), 0
    while gap > tolerance * start and sweeps < max_rounds * SWEEPS_PER_ROUND:
        for _ in range(SWEEPS_PER_ROUND):
            w = _sweep(M, goal, w, level)
        w = _settled(M, goal, w, level)
        sweeps += SWEEPS_PER_ROUND
        reached = _gap(M, goal, w, level)
        if reached < gap:
            best, gap = w, reached
    return best, gap, sweeps


def _sweep(M: Floats, goal: Floats, w: Floats, level: float) -> Floats:
    w = w.copy()
    squares = np.square(M).sum(axis=0)
    residual = goal - M @ w
    for j in np.flatnonzero(squares):
        old, column = w[j], M[:, j]
        pull = column @ residual + squares[j] * old
        w[j] = np.sign(pull) * max(abs(pull) - level, 0) / squares[j]
        if w[j] != old:
            residual -= (w[j] - old) * column
    return w


def _settled(M: Floats, goal: Floats, w: Floats, level: float) -> Floats:
    """Move to the minimum for the present signs; a coefficient that reaches 0 on the way stays."""
    w = w.copy()
    active = np.flatnonzero(w)
    while active.size:
        signs = np.sign(w[active])
        step = _towards(M[:, active], goal, w[active], level * signs)
        ending = signs * (w[active] + step) <= 0
        if not ending.any():
            w[active] += step
            break
        share = np.where(ending, -w[active] / np.where(step == 0, 1, step), np.inf)
        first = int(np.argmin(share))
        w[active] += share[first] * step
        w[active[first]] = 0
        active = np.flatnonzero(w)
    return w


def _towards(M: Floats, goal: Floats, w: Floats, pull: Floats) -> Floats:
    """Compute the step to the minimum of 1/2 ||M v - goal||^2 + pull.v, or a way down for ever."""
    norms = _norms(M)
    Q, R = np.linalg.qr(M / norms)
    pivots = np.abs(np.diagonal(R))
    if M.shape[0] < M.shape[1] or pivots.min() < max(LEAST_TOLERANCE, max(M.shape) * EPS):
        null = np.linalg.svd(M / norms)[2][-1] / norms
        down = -null if pull @ null > 0 else null
        shortest = np.abs(down).min(initial=np.inf, where=down != 0)
        return np.asarray(down * (2 * np.abs(w).sum() / shortest))
    lift = solve_triangular(R, pull / norms, trans="T")
    return np.asarray(solve_triangular(R, Q.T @ goal - lift)) / norms - w


def _gap(M: Floats, goal: Floats, w: Floats, level: float) -> float:
    residual = goal - M @ w
    gradient = M.T @ residual
    steepest = np.abs(gradient).max(initial=0.0)
    square = float(residual @ residual)
    if square == 0:
        return float(level * np.abs(w).sum())
    room = level / steepest if steepest > 0 else np.inf
    along = float(goal @ residual)
    alpha = float(np.clip(along / square, -room, room))
    # At alpha = 1 the gap needs no difference of large numbers.
    at_one = float((level * np.abs(w) - w * gradient).sum())
    return max(0.0, at_one + (1 - alpha) * along - (1 - alpha**2) * square / 2)
