"""Regression under losses of pieces that are linear or quadratic: the interior point (numpy).

    minimise over z   P(z) = sum_i phi_i(u_i),   u = y - A z,
    phi_i(u) = max { u d - kappa_i d^2 / 2 :  low_i <= d <= high_i }

is a row's loss: with kappa = 0 the pinball of slopes low and high, else huber's, quadratic within
kappa low .. kappa high. Its dual is

    maximise   D(d) = y'd - sum kappa d^2 / 2   over   A'd = 0,   low <= d <= high,

and D(d) <= P(z) for every such d: what it reaches is proved.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from workers.training.problem import Floats

__all__ = ["Approach", "Pieces", "approach", "dual_point", "lower_bound"]

MOST_STEPS = 100
# Part of the way to the boundary that a step takes.
NEARLY = 0.9995
# Two values whose difference is below this part of them differ by rounding.
CLOSE = 1e-10
ROUNDING = 1e-15
# Steps below this come to rest somewhere else than at the optimum: rounding has won.
SHORTEST = 1e-6


@dataclass(frozen=True, eq=False)
class Pieces:
    """The problem.

    Attributes:
        A: shape (n, columns), columns orthonormal or nearly so: it decides how well the steps
            are conditioned, not what is found.
        y: shape (n,), brought near 1 and to 0 as its middle.
        low, high: slopes, shape (n,); low < 0 < high.
        kappa: shape (n,), >= 0.
    """

    A: Floats
    y: Floats
    low: Floats
    high: Floats
    kappa: Floats

    @property
    def is_linear(self) -> bool:
        return not self.kappa.any()

    def slopes(self, u: Floats) -> Floats:
        """Compute the d at which phi(u) takes its maximum, a derivative of phi; at a kink high."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            steep = np.where(self.kappa > 0, u / self.kappa, np.where(u < 0, -np.inf, np.inf))
        return np.clip(steep, self.low, self.high)

    def values(self, u: Floats) -> Floats:
        d = self.slopes(u)
        return np.asarray(d * (u - 0.5 * self.kappa * d))

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Pieces":
        picked = (self.A, self.y, self.low, self.high, self.kappa)
        return Pieces(*(part[rows] for part in picked))


@dataclass(frozen=True, eq=False)
class Approach:
    """Where the interior point ended: z, and d with A'd = 0 but for rounding, low < d < high."""

    z: Floats
    d: Floats


@dataclass(frozen=True, eq=False)
class _State:
    """A point; s = high - d, t = d - low and their multipliers v, w are above 0."""

    z: Floats
    d: Floats
    v: Floats
    w: Floats


def approach(pieces: Pieces, z: Floats) -> Approach:
    """Approach the minimum from within the dual's box.

    Args:
        pieces: the problem.
        z: where to start, shape (columns,).

    Returns:
        A point whose duality gap is 1e-10 of P or, where rounding is more, as small as it got.

    Notes:
        Mehrotra's predictor and corrector, primal and dual: with kappa = 0 the Frisch-Newton
        method of the reference, whose dual is the same. 15 to 40 steps of n columns^2 + 20 n
        operations; memory some ten numbers a row and one more A.

    References:
        S. Portnoy, R. Koenker, The Gaussian Hare and the Laplacian Tortoise, Statistical Science
        12 (1997), section 4. A. Aravkin, J. Burke, G. Pillonetto, Sparse/Robust Estimation and
        Kalman Smoothing with Nonsmooth Log-Concave Densities, JMLR 14 (2013), section 5.
    """
    state = _start(pieces, z)
    least = ROUNDING * float(pieces.values(pieces.y).sum())
    for _ in range(MOST_STEPS):
        s, t = pieces.high - state.d, state.d - pieces.low
        gap = float(state.v @ s + state.w @ t)
        reached = float(pieces.values(pieces.y - pieces.A @ state.z).sum())
        if not gap > max(CLOSE * reached, least):
            break
        moved = _step(pieces, state, s, t)
        if moved is None:
            break
        state = moved
    return Approach(state.z, state.d)


def _start(pieces: Pieces, z: Floats) -> _State:
    """Begin at d = 0 with multipliers that no row's weight sets apart from the others'."""
    u = pieces.y - pieces.A @ z
    middle = float(np.maximum(pieces.high * u, pieces.low * u).mean())
    width = (middle if middle > 0 else 1.0) / (pieces.high - pieces.low)
    return _State(z, np.zeros_like(u), np.maximum(u, 0) + width, np.maximum(-u, 0) + width)


def _step(pieces: Pieces, state: _State, s: Floats, t: Floats) -> _State | None:
    """Take one step; None where rounding leaves none."""
    A, v, w = pieces.A, state.v, state.w
    v_s, w_t = v / s, w / t
    give = 1 / (pieces.kappa + v_s + w_t)
    unmet = (pieces.y - A @ state.z) - pieces.kappa * state.d
    balance = A.T @ state.d
    try:
        solver = cho_factor((A * give[:, np.newaxis]).T @ A, check_finite=False)
    except (LinAlgError, ValueError):
        return None

    def towards(centre_v: Floats | float, centre_w: Floats | float) -> tuple[Floats, ...]:
        push = unmet - centre_v + centre_w
        dz = cho_solve(solver, A.T @ (give * push) + balance, check_finite=False)
        dd = give * (push - A @ dz)
        return dz, dd, centre_v - v + v_s * dd, centre_w - w - w_t * dd

    _, dd, dv, dw = towards(0.0, 0.0)
    gap = v @ s + w @ t
    a, b = min(_room(s, -dd), _room(t, dd), 1.0), min(_room(v, dv), _room(w, dw), 1.0)
    left = (v + b * dv) @ (s - a * dd) + (w + b * dw) @ (t + a * dd)
    mu = (left / gap) ** 3 * gap / (2 * len(s))
    dz, dd, dv, dw = towards((mu + dv * dd) / s, (mu - dw * dd) / t)
    a = min(NEARLY * min(_room(s, -dd), _room(t, dd)), 1.0)
    b = min(NEARLY * min(_room(v, dv), _room(w, dw)), 1.0)
    if pieces.kappa.any():
        a = b = min(a, b)  # u - kappa d = v - w ties them together
    if not max(a, b) > SHORTEST or not np.isfinite(dz).all():
        return None
    return _State(state.z + b * dz, state.d + a * dd, v + b * dv, w + b * dw)


def _room(values: Floats, change: Floats) -> float:
    """Give the longest step that keeps values >= 0."""
    fastest = float((-change / values).max())
    return 1 / fastest if fastest > 0 else np.inf


def dual_point(pieces: Pieces, d: Floats) -> Floats:
    """Bring d near the dual's feasible points to one of them.

    First A'd = 0 by a change that is least where there is least room; then into the box, towards
    0, which is feasible.
    """
    A, low, high = pieces.A, pieces.low, pieces.high
    d = np.clip(d, low, high)
    room = np.minimum(high - d, d - low)
    for width in (room, high - low):
        weighted = A * np.square(width / (high - low))[:, np.newaxis]
        change = np.linalg.lstsq(weighted.T @ A, A.T @ d, rcond=None)[0]
        d = d - weighted @ change
    over = max(float((d / high).max()), float((d / low).max()), 1.0)
    return np.asarray(d / over)


def lower_bound(pieces: Pieces, d: Floats, u: Floats) -> float:
    """Compute D(d), d feasible, by the residuals u of any z: y'd = u'd as A'd = 0."""
    return float(d @ u - 0.5 * (pieces.kappa * d) @ d)
