"""Iterative refinement of a least-squares solution in twice the working precision (numpy)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from workers.training.accumulator import Factor
from workers.training.factor import matrices_of, scaling_of
from workers.training.problem import Floats
from workers.training.rounding import EPS, rank_tolerance
from workers.training.scaling import Scaling
from workers.training.tiles import Block, Rows, power_of_two
from workers.training.twofold import total, two_product, two_sum

__all__ = ["Refined", "refine"]

CHUNK_ROWS = 4096
Pair = tuple[Floats, Floats]


@dataclass(frozen=True, eq=False)
class Refined:
    """A solution in original units.

    Attributes:
        params: [W; b], shape (columns, n_targets), rounded to float64.
        rest: what rounding left out: params + rest is the solution in two words.
        passes: over the rows; 0 where the columns are dependent and nothing was refined.
        correction: the last correction's largest share of a parameter.
    """

    params: Floats
    rest: Floats
    passes: int
    correction: float


def refine(
    blocks: Callable[[], Iterable[Block]],
    params: Floats,
    factor: Factor,
    *,
    intercept: bool = True,
    penalty: Floats | None = None,
    max_passes: int = 5,
) -> Refined:
    """Improve a least-squares or ridge solution by the corrected semi-normal equations.

        r = y - A theta,  g = A' Omega r - penalty theta   (twice the precision)
        theta += (R'R)^-1 g,   R'R = A' Omega A + penalty   (theta in two words)

    Args:
        blocks: gives the rows afresh for each pass.
        params: [W; b] in original units, shape (n_features [+ 1], n_targets).
        factor: of the same rows.
        intercept: whether the last row of params is it.
        penalty: added to the diagonal of A' Omega A for each coefficient, shape (n_features,): for
            l2 on standardised weights sum(omega) n_targets l2 scale^2.
        max_passes: over the rows, at most.

    Returns:
        The best solution; params as they are where the columns are dependent.

    Notes:
        Stops when a correction is below rounding, or is not half of the one before. The
        correction is solved for about the columns' means, where A is better conditioned; g is
        brought there without loss. Products are split in halves (numpy has no fused
        multiply-add): about 60 operations a number and pass. Values beyond 1e150 are not refined.

    References:
        Å. Björck, Stability Analysis of the Method of Seminormal Equations for Linear Least
        Squares Problems, Linear Algebra Appl. 88/89 (1987), section 4.
    """
    system = _system(factor, intercept=intercept, penalty=penalty)
    hi, lo = params.astype(np.float64), np.zeros_like(params)
    passes, last = 0, np.inf
    while system is not None and passes < max_passes:
        with np.errstate(over="ignore", invalid="ignore"):
            gradient = _gradient(blocks(), hi, lo, intercept=intercept, penalty=penalty)
            step = system.solve(gradient)
        passes += 1
        size = _share(step, hi)
        if not size <= last / 2:
            break
        hi, lo = _added(hi, lo, step)
        last = size
        if size <= EPS / 8:
            break
    return Refined(hi, lo, passes, last if passes else 0.0)


@dataclass(frozen=True, eq=False)
class _System:
    """R'R about the columns' means, its columns scaled to norm 1.

    `size`: powers of two near the columns' deviations, by which they are divided before.
    """

    R: Floats
    norms: Floats
    mean: Floats
    size: Floats
    intercept: bool

    def solve(self, gradient: Pair) -> Floats:
        hi, lo = gradient
        d = len(self.mean)
        if self.intercept:
            hi, lo = _centred(hi, lo, self.mean)
        scaled = (hi + lo) / self.size[:, np.newaxis] / self.norms[:, np.newaxis]
        if not np.isfinite(scaled).all():
            return np.full_like(hi, np.nan)
        half = solve_triangular(self.R, scaled, trans="T")
        step = np.asarray(solve_triangular(self.R, half)) / self.norms[:, np.newaxis]
        step /= self.size[:, np.newaxis]
        if self.intercept:
            step[d] -= self.mean @ step[:d]
        return step


def _system(factor: Factor, *, intercept: bool, penalty: Floats | None) -> _System | None:
    d = factor.n_features
    found = scaling_of(factor, standardize=True, fit_intercept=intercept)
    mean, size = found.mean, power_of_two(found.scale)
    A, _ = matrices_of(factor, Scaling(mean, size), intercept=intercept)
    A = A * (factor.root_weight / np.sqrt(factor.n_rows))
    if penalty is not None:
        root = np.sqrt(penalty) / size
        A = np.concatenate([A, np.eye(d, A.shape[1]) * root[:, np.newaxis]])
    norms = np.linalg.norm(A, axis=0)
    if len(A) < A.shape[1] or not ((norms > 0) & np.isfinite(norms)).all():
        return None
    R: Floats = np.linalg.qr(A / norms, mode="r")  # type: ignore[assignment]
    if np.abs(np.diagonal(R)).min() <= rank_tolerance(A.shape):
        return None
    size = np.concatenate([size, [1.0]]) if intercept else size
    return _System(R, norms, mean, size, intercept)


def _gradient(
    blocks: Iterable[Block], hi: Floats, lo: Floats, *, intercept: bool, penalty: Floats | None
) -> Pair:
    sums: list[Pair] = []
    for X, Y, omega in blocks:
        rows = Rows(X, Y, omega)
        tile = np.empty((2 + rows.n_features + rows.n_targets, min(CHUNK_ROWS, rows.n_rows)))
        for start in range(0, rows.n_rows, CHUNK_ROWS):
            count = min(CHUNK_ROWS, rows.n_rows - start)
            tile[0] = 1
            rows.fill(tile, 0, slice(start, start + count))
            sums.append(_of_rows(tile[:, :count], hi, lo, rows.n_features, intercept=intercept))
    if penalty is not None:
        d = len(penalty)
        pull = np.zeros_like(hi), np.zeros_like(hi)
        pull[0][:d], pull[1][:d] = two_product(-penalty[:, np.newaxis], hi[:d])
        pull[1][:d] -= penalty[:, np.newaxis] * lo[:d]
        sums.append(pull)
    return total(np.stack([s for s, _ in sums], axis=-1), np.stack([e for _, e in sums], axis=-1))


def _of_rows(tile: Floats, hi: Floats, lo: Floats, d: int, *, intercept: bool) -> Pair:
    """Sum omega_i a_i r_i over a tile's rows (ones, X, Y, weights)."""
    order = [*range(1, 1 + d), 0] if intercept else range(1, 1 + d)
    omega = tile[-1]
    sums = np.empty((2, *hi.shape))
    for k in range(hi.shape[1]):
        r, error = tile[1 + d + k], np.zeros_like(omega)
        for at, j in enumerate(order):
            product, lost = two_product(tile[j], hi[at, k])
            r, carry = two_sum(r, -product)
            error += carry - lost - tile[j] * lo[at, k]
        r, error = two_sum(r, error)
        weighted, lost = two_product(omega, r)
        error = lost + omega * error
        for at, j in enumerate(order):
            product, lost = two_product(tile[j], weighted)
            sums[:, at, k] = total(product, lost + tile[j] * error)
    return sums[0], sums[1]


def _centred(hi: Floats, lo: Floats, mean: Floats) -> Pair:
    """Take mean times the intercept's gradient from the others': the columns are x - mean then."""
    d = len(mean)
    product, lost = two_product(mean[:, np.newaxis], hi[d])
    lost = lost + mean[:, np.newaxis] * lo[d]
    moved, carry = two_sum(hi[:d], -product)
    return np.concatenate([moved, hi[d:]]), np.concatenate([carry - lost + lo[:d], lo[d:]])


def _share(step: Floats, params: Floats) -> float:
    return float(np.abs(step / np.where(params == 0, 1, params)).max())


def _added(hi: Floats, lo: Floats, step: Floats) -> Pair:
    moved, error = two_sum(hi, step)
    return two_sum(moved, error + lo)
