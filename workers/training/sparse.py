"""The minimiser of the squared-loss objective with l1, and its proof (numpy, scipy).

    J(theta) = 1 / (n t) ||A theta - B||^2 + l2 ||W||^2 + l1 ||W||_1,    theta = [W; b]

Notation as in `exact`, which solves it without l1.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular

from workers.training.exact import augmented, column_norms
from workers.training.problem import Floats
from workers.training.rounding import EPS, rank_tolerance
from workers.training.twofold import dot

Places = NDArray[np.intp]

__all__ = ["LASSO_COST", "Sparse", "lasso"]

# Multiplications, of all targets together, after which the search ends: some seconds of a core.
# Counted, not timed: a result must not depend on how fast the machine is.
LASSO_COST = 5e10
# What other work takes, in multiplications of a matrix product: a coordinate's step in Python, a
# call that is short but for its bookkeeping, a product in twice the precision, one of a matrix and
# a vector.
STEP, CALL, TWOFOLD, VECTOR = 2e4, 1e6, 100.0, 4.0

# A pivot of the Cholesky factor of columns of length 1, below which it has lost too many digits.
GRAM_HOLDS = 1e-4
SHIFT = 1e-10  # of the Gram matrix of dependent columns: their step is long, but ends
SWEEPS_PER_ROUND = 5
# Rounds without a hundredth of progress after which what is left is rounding.
PATIENCE = 8
CELLS = 2**18  # of a block whose products are in twice the precision


@dataclass(frozen=True, eq=False)
class Sparse:
    """A minimiser of J with l1 > 0, and how far from the optimum it can be at most.

    Attributes:
        params: [W; b], shape (columns, n_targets); zeros are exact.
        objective: J at params.
        gap: J(params) - the dual's value, >= J(params) - min J.
        relative_gap: gap over J of W = 0 with its best b; 0 where that is 0.
        work: multiplications spent.
        exhausted: whether they were all there were, `budget`.
    """

    params: Floats
    objective: float
    gap: float
    relative_gap: float
    work: float
    exhausted: bool


def lasso(
    A: Floats,
    B: Floats,
    *,
    l1: float,
    n_rows: int,
    l2: float = 0.0,
    intercept: bool = True,
    tolerance: float = 1e-12,
    budget: float = LASSO_COST,
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
        budget: stop after so many multiplications, converged or not.

    Returns:
        The best found, its duality gap and the work done.

    Notes:
        Targets are separate problems. With the intercept projected out, m = n_rows n_targets and
        the rows sqrt(m l2) I under A (A~, b~ = [b; 0]), the objective of one target is

            P(w) = 1/m ||A~ w - b~||^2 + l1 ||w||_1.

        As 1/m ||r||^2 = max_u (r.u - m/4 ||u||^2), its dual is

            max D(u) = b~.u - m/4 ||u||^2   subject to   ||A~' u||_inf <= l1,

        and u = 2 r / m at the optimum, r = b~ - A~ w. With w of nearly dependent columns so large
        that A~ w is rounded by more than l1, that u is not feasible: u is the residual projected
        onto A~' u = +-l1 for the weights that are not 0, and r is computed in twice the precision.
        A round is some sweeps of coordinate descent, then the exact minimum for the signs found,
        dropping the coefficients that would change theirs, all at once where that descends
        (feature-sign search). Deterministic.

        Equals Lasso(alpha = n_targets l1 / 2) for each target.

    References:
        J. Friedman, T. Hastie, R. Tibshirani, Regularization Paths for Generalized Linear Models
        via Coordinate Descent, J. Stat. Softw. 33 (2010), section 2.
        H. Lee, A. Battle, R. Raina, A. Y. Ng, Efficient sparse coding algorithms, NIPS 19 (2006),
        algorithm 1.
    """
    m = float(n_rows * B.shape[1])
    M, goal, ones = _projected(A, B, intercept=intercept)
    M, goal = augmented(M, goal, l2 * m, intercept=False)
    work = _Work(budget)
    columns = _Columns.of(M, work)
    found = [
        _sparse(columns, goal[:, k], l1 * m / 2, tolerance=tolerance, work=work)
        for k in range(B.shape[1])
    ]
    params = np.stack([w for w, _ in found], axis=1)
    gap = sum(gap for _, gap in found) * 2 / m
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
        work=work.done,
        exhausted=work.done >= budget,
    )


@dataclass(eq=False)
class _Work:
    budget: float
    done: float = field(default=0.0)

    def add(self, multiplications: float) -> None:
        self.done += multiplications

    @property
    def left(self) -> bool:
        return self.done < self.budget


@dataclass(frozen=True, eq=False)
class _Columns:
    """The design; its Gram matrix, unless that is larger than the design."""

    M: Floats
    squares: Floats
    gram: Floats | None

    @classmethod
    def of(cls, M: Floats, work: _Work) -> "_Columns":
        M = np.asfortranarray(M)
        rows, columns = M.shape
        gram = None
        if columns <= rows:
            gram = np.asfortranarray(M.T @ M)
            work.add(rows * columns**2 / 2)
        return cls(M, np.square(M).sum(axis=0), gram)

    def some(self, active: Places, work: _Work) -> tuple[Floats, Floats]:
        """The columns at these places, and their Gram matrix."""
        M = self.M[:, active]
        if self.gram is not None:
            return M, self.gram[np.ix_(active, active)]
        work.add(M.size * M.shape[1] / 2)
        return M, M.T @ M


def _projected(A: Floats, B: Floats, *, intercept: bool) -> tuple[Floats, Floats, Floats]:
    """Take the intercept's column out of the others; also what gives b from what is left."""
    if not intercept:
        return A, B, np.zeros(len(A))
    unit = A[:, -1] / np.linalg.norm(A[:, -1])
    X = A[:, :-1]
    both = [V - np.outer(unit, unit @ V) for V in (X, B)]
    return both[0], both[1], unit / np.linalg.norm(A[:, -1])


def _sparse(
    columns: _Columns, goal: Floats, level: float, *, tolerance: float, work: _Work
) -> tuple[Floats, float]:
    """Minimise 1/2 ||M w - goal||^2 + level ||w||_1; return the best w, and its gap."""
    w = best = np.zeros(columns.M.shape[1])
    lowest = start = float(goal @ goal) / 2
    bound = _dual(columns.M, goal, goal, level, work)
    idle = 0
    while (left := lowest - bound) > tolerance * start and idle < PATIENCE and work.left:
        w = _swept(columns, goal, w, level, work)
        w, shadow = _settled(columns, goal, w, level, work)
        residual = _residual(columns.M, goal, w, work)
        reached = float(residual @ residual) / 2 + level * float(np.abs(w).sum())
        if reached < lowest:
            best, lowest = w, reached
        bound = max(bound, _dual(columns.M, goal, shadow, level, work))
        idle = 0 if lowest - bound < 0.99 * left else idle + 1
    # Two sums of squares are subtracted: no gap is known better than their last digits.
    return best, max(lowest - bound, 0.0) + 4 * EPS * start


def _dual(M: Floats, goal: Floats, point: Floats, level: float, work: _Work) -> float:
    """The dual's value at the best feasible multiple of a point."""
    square = float(point @ point)
    if square == 0:
        return 0.0
    steepest = float(np.abs(_products(M.T, point, work)).max(initial=0.0))
    room = level / steepest if steepest > 0 else np.inf
    along = float(goal @ point)
    share = float(np.clip(along / square, -room, room))
    return share * along - share**2 * square / 2


def _residual(M: Floats, goal: Floats, w: Floats, work: _Work) -> Floats:
    active = np.flatnonzero(w)
    with_goal = np.column_stack([M[:, active], goal])
    return _products(with_goal, np.append(-w[active], 1.0), work)


def _products(M: Floats, v: Floats, work: _Work) -> Floats:
    """M v, as if in twice the working precision."""
    work.add(CALL + TWOFOLD * M.size)
    rows = max(1, CELLS // max(1, len(v)))
    parts = [dot(M[i : i + rows], v) for i in range(0, len(M), rows)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _swept(columns: _Columns, goal: Floats, w: Floats, level: float, work: _Work) -> Floats:
    """Minimise along one coordinate after the other, some times over."""
    M, squares, gram = columns.M, columns.squares, columns.gram
    w = w.copy()
    residual = goal - M @ w
    pulls = M.T @ residual
    for j in [*np.flatnonzero(squares)] * SWEEPS_PER_ROUND:
        old = w[j]
        pull = (pulls[j] if gram is not None else M[:, j] @ residual) + squares[j] * old
        size = abs(pull) - level
        w[j] = (size if pull > 0 else -size) / squares[j] if size > 0 else 0.0
        if w[j] == old:
            continue
        if gram is not None:
            pulls -= (w[j] - old) * gram[:, j]
        else:
            residual -= (w[j] - old) * M[:, j]
    steps = SWEEPS_PER_ROUND * len(squares)
    work.add(steps * (STEP + VECTOR * min(M.shape)))
    return w


def _settled(
    columns: _Columns, goal: Floats, w: Floats, level: float, work: _Work
) -> tuple[Floats, Floats]:
    """Move to the minimum for the present signs; a coefficient that reaches 0 on the way stays.

    Returns:
        The weights, and the residual that they would leave, were they not rounded.
    """
    w = w.copy()
    residual = shadow = goal - columns.M @ w
    while (active := np.flatnonzero(w)).size and work.left:  # each time fewer
        if not np.isfinite(residual).all():  # weights that no float holds: no step leads back
            break
        M, gram = columns.some(active, work)
        signs = np.sign(w[active])
        step, shadow = _to_minimum(M, gram, residual, level * signs, work)
        moved = _moved(w[active], step, gram, M.T @ residual, level)
        w[active] = moved
        residual = goal - M @ moved
        if (moved * signs > 0).all():
            break
    return w, shadow


def _to_minimum(
    M: Floats, gram: Floats, residual: Floats, pull: Floats, work: _Work
) -> tuple[Floats, Floats]:
    """The step to the minimum of 1/2 ||M v - goal||^2 + pull.v, and the residual that it leaves."""
    rows, columns = M.shape
    norms = column_norms(M)
    scaled = gram / np.outer(norms, norms)
    work.add(CALL + columns**3 / 3 + VECTOR * columns**2)
    factor = _cholesky(scaled)
    if factor is None and columns <= rows:
        Q, R = np.linalg.qr(M / norms)
        work.add(4 * rows * columns**2)
        if np.abs(np.diagonal(R)).min() > rank_tolerance(M.shape):
            left = Q.T @ residual - solve_triangular(R, pull / norms, trans="T")
            return solve_triangular(R, left) / norms, residual - Q @ left
    if factor is None:
        factor = cho_factor(scaled + SHIFT * np.eye(columns), lower=True)
    step = cho_solve(factor, (M.T @ residual - pull) / norms) / norms
    return step, residual - M @ step


def _cholesky(gram: Floats) -> tuple[Floats, bool] | None:
    try:
        factor = cho_factor(gram, lower=True)
    except LinAlgError:
        return None
    return factor if np.diagonal(factor[0]).min() > GRAM_HOLDS else None


def _moved(w: Floats, step: Floats, gram: Floats, pulls: Floats, level: float) -> Floats:
    """Take as much of a step as descends; a coefficient that would change its sign becomes 0."""
    signs = np.sign(w)
    ending = signs * (w + step) <= 0
    if not ending.any():
        return w + step
    zero_at = np.where(ending, -w / np.where(step == 0, 1, step), np.inf)
    share = 1.0
    while share > zero_at.min():
        moved = w + share * step
        moved[signs * moved <= 0] = 0
        change = moved - w
        if (pulls - level * signs) @ change > change @ (gram @ change) / 2:
            return np.asarray(moved)
        share /= 2
    moved = w + zero_at.min() * step
    moved[int(np.argmin(zero_at))] = 0
    return np.asarray(moved)
