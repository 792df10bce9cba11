"""From near the minimum of a sum of pinballs to a vertex of it: a small linear program (HiGHS)."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import hstack, identity

from workers.training.interior_point import Pieces
from workers.training.problem import Floats

__all__ = ["at_kink", "is_unique", "vertex"]

# Rows near their kink that the first program keeps, beyond some for each column.
FEWEST = 64
FOR_EACH_COLUMN = 8
# HiGHS' tightest tolerance.
TOLERANCE = 1e-10
# Residuals below this part of the largest kept are at the kink.
AT_KINK = 1e-9
# Room that the dual needs, as a part of its box, to count as within.
WITHIN = 1e-9
# Presolve may end between the vertices where many are optimal.
_OPTIONS = {
    "presolve": False,
    "primal_feasibility_tolerance": TOLERANCE,
    "dual_feasibility_tolerance": TOLERANCE,
}


def vertex(pieces: Pieces, z: Floats) -> tuple[Floats, Floats] | None:
    """Find a minimiser at which as many rows are at their kink as there are columns, or more.

    Rows far from their kink keep the slope of their side, and count as one; if one of them turns
    out to be on the other side it is taken in, and the program solved again. What is found is
    optimal for all rows.

    Args:
        pieces: the problem, kappa = 0, columns of A independent.
        z: near the minimum.

    Returns:
        z, and d of all rows; None where HiGHS finds no solution.

    References:
        S. Portnoy, R. Koenker, The Gaussian Hare and the Laplacian Tortoise, Statistical Science
        12 (1997), section 5 (rows on either side are pooled).
    """
    u = pieces.y - pieces.A @ z
    n, columns = pieces.A.shape
    count = min(n, FEWEST + FOR_EACH_COLUMN * columns)
    kept = np.zeros(n, dtype=bool)
    while True:
        kept[np.argpartition(np.abs(u), count - 1)[:count]] = True
        side = np.where(u > 0, pieces.high, pieces.low)
        found = _solved(pieces.take(kept), pieces.A[~kept].T @ side[~kept])
        if found is not None:
            z, d = _refined(pieces, found[0]), side
            d[kept] = found[1]
            u = pieces.y - pieces.A @ z
            wrong = ~kept & (u * side < -TOLERANCE * np.abs(side))
            if not wrong.any():
                return _to_corner(pieces, z), d
            kept |= wrong
        elif kept.all():
            return None
        count = min(n, 4 * count)


def at_kink(pieces: Pieces, u: Floats) -> NDArray[np.bool_]:
    """Say which rows' residuals are 0 but for rounding."""
    return np.asarray(np.abs(u) <= AT_KINK * np.maximum(1.0, np.abs(pieces.y)))


def is_unique(pieces: Pieces, u: Floats, d: Floats) -> bool:
    """Say whether the vertex is the only minimiser.

    It is where the dual has a solution strictly within the box at all rows at their kink, and
    these have as many independent rows as there are columns.
    """
    near = at_kink(pieces, u)
    rows = pieces.take(near)
    columns = pieces.A.shape[1]
    if len(rows.y) < columns or np.linalg.matrix_rank(rows.A) < columns:
        return False
    width = rows.high - rows.low
    room = np.minimum(rows.high - d[near], d[near] - rows.low) / width
    if (room > WITHIN).all():
        return True
    if len(rows.y) == columns:
        return False
    return _widest(rows, rows.A.T @ d[near]) > WITHIN


def _solved(rows: Pieces, rest: Floats) -> tuple[Floats, Floats] | None:
    """Maximise y'd over A'd = -rest within the box."""
    found = linprog(
        -rows.y,
        A_eq=rows.A.T,
        b_eq=-rest,
        bounds=np.stack([rows.low, rows.high], axis=1),
        method="highs-ds",
        options=_OPTIONS,
    )
    if found.x is None or found.status != 0:
        return None
    return -np.asarray(found.eqlin.marginals), np.asarray(found.x)


def _refined(pieces: Pieces, z: Floats) -> Floats:
    """Bring the rows at their kink to it."""
    u = pieces.y - pieces.A @ z
    near = at_kink(pieces, u)
    if not near.any():
        return z
    return np.asarray(z + np.linalg.lstsq(pieces.A[near], u[near], rcond=None)[0])


def _to_corner(pieces: Pieces, z: Floats) -> Floats:
    """Go from a minimiser to one where the rows at their kink leave no direction free.

    Along such a direction nothing changes until the next kink: there the row is met.
    """
    for _ in range(pieces.A.shape[1]):
        u = pieces.y - pieces.A @ z
        near = at_kink(pieces, u)
        _, singular, right = np.linalg.svd(np.linalg.qr(pieces.A[near], mode="r"))
        independent = int((singular > AT_KINK * singular.max(initial=0)).sum())
        if independent == len(z):
            return z
        pace = pieces.A @ right[-1]
        pace[near | (np.abs(pace) <= AT_KINK)] = 0
        with np.errstate(divide="ignore"):
            distance = np.where(pace == 0, np.inf, u / np.where(pace == 0, 1, pace))
        first = int(np.abs(distance).argmin())
        if not np.isfinite(distance[first]):
            return z
        z = z + distance[first] * right[-1]
    return z


def _widest(rows: Pieces, sum_of_slopes: Floats) -> float:
    """Give the largest part of its box that every row's d can keep from both ends."""
    n, columns = rows.A.shape
    width = rows.high - rows.low
    # d = low + width (x + m), 0 <= x <= 1 - 2 m
    cost = np.zeros(n + 1)
    cost[-1] = -1
    weighted = rows.A.T * width
    found = linprog(
        cost,
        A_eq=np.column_stack([weighted, weighted.sum(axis=1)]),
        b_eq=sum_of_slopes - rows.A.T @ rows.low,
        A_ub=hstack([identity(n), np.full((n, 1), 2.0)]).tocsc(),
        b_ub=np.ones(n),
        bounds=[(0, None)] * n + [(0, 0.5)],
        method="highs",
        options=_OPTIONS,
    )
    return float(found.x[-1]) if found.x is not None and columns else 0.0
