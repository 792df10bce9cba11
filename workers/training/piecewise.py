"""The minimum of huber, absolute and quantile loss, and the proof that it is one (numpy, scipy).

Of one target after another: without a factor that knows their rows, targets share only the columns.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

from workers.training.exact import column_norms, shortest
from workers.training.interior_point import Pieces, approach, dual_point, lower_bound
from workers.training.losses import Loss
from workers.training.pooling import near_minimum
from workers.training.problem import Floats
from workers.training.rounding import EPS, rank_tolerance
from workers.training.vertex import at_kink, is_unique, vertex

__all__ = ["Lowest", "best_constant", "minimise"]

# Residuals of so many units in the last place of the terms they are left of are rounding.
NOISE = 10.0
MOST_NEWTON_STEPS = 50
# The slopes' sum, over their length, that counts as 0 at a minimum.
BALANCED = 1e-10
# A step that seems to lead up by this part does so by rounding.
CLOSE = 1e-12


@dataclass(frozen=True, eq=False)
class Lowest:
    """The lowest point found and what no point is below.

    Attributes:
        params: [W; b], shape (columns, n_targets), in the coordinates of A.
        objective: J there.
        loss: the data term there.
        bound: of J from below, by the dual.
        rank: independent columns.
        condition: of the columns at equal length, of the independent ones.
        unique: for each target whether it is the only minimiser; of columns that depend on each
            other, but for these.
        at_kink: for each target, rows whose residual is 0 but for rounding.
        noise: of J by rounding where the fit is perfect.
    """

    params: Floats
    objective: float
    loss: float
    bound: float
    rank: int
    condition: float
    unique: tuple[bool, ...]
    at_kink: tuple[int, ...]
    noise: float


@dataclass(frozen=True, eq=False)
class _Basis:
    """Independent columns that span A's, near orthonormal: Q = (A / norms)[:, pivots] R^-1."""

    Q: Floats
    R: Floats  # of all columns, shape (columns, columns), pivoted
    pivots: NDArray[np.integer]
    norms: Floats
    rank: int
    intercept: bool

    @classmethod
    def of(cls, A: Floats, *, intercept: bool) -> "_Basis":
        norms = column_norms(A)
        scaled = A / norms
        top = np.linalg.qr(scaled, mode="r")
        R, pivots = qr(top, mode="r", pivoting=True)
        size = np.abs(np.diagonal(R))
        rank = int((size > rank_tolerance(A.shape) * size[0]).sum())
        Q = solve_triangular(R[:rank, :rank], scaled[:, pivots[:rank]].T, trans="T").T
        return cls(np.ascontiguousarray(Q), R, pivots, norms, rank, intercept)

    @property
    def condition(self) -> float:
        return float(np.linalg.cond(self.R[: self.rank, : self.rank]))

    def params(self, z: Floats) -> Floats:
        """Give the weights whose predictions are Q z; of many those with the smallest W."""
        theta = np.zeros((len(self.norms), 1))
        theta[self.pivots[: self.rank], 0] = solve_triangular(self.R[: self.rank, : self.rank], z)
        theta /= self.norms[:, np.newaxis]
        if self.rank < len(theta):
            theta = shortest(self.R, self.pivots, self.norms, theta, intercept=self.intercept)
        return np.asarray(theta[:, 0])


def minimise(
    A: Floats,
    B: Floats,
    weights: Floats | None,
    loss: Loss,
    *,
    intercept: bool = True,
    l1: float = 0.0,
    l2: float = 0.0,
    unique: bool = False,
) -> Lowest:
    """Minimise J(theta) = 1 / (n t) sum_i omega_i loss(A theta - B) + l2 ||W||^2 + l1 ||W||_1.

    Args:
        A: rows in the coordinates of training, shape (n, columns); the last is the intercept's.
        B: targets, shape (n, n_targets).
        weights: of the rows, >= 0, mean 1; None for equal ones.
        loss: huber, absolute or quantile.
        intercept: whether A has its column, which is not penalised.
        l1: with absolute and quantile only: |w| is one more row of absolute loss.
        l2: with huber only: w^2 is one more row of a huber loss without end.
        unique: whether to find out if there are other minimisers.

    Returns:
        The minimum, and the objective from above and from below. With absolute and quantile loss
        a vertex, at which `rank` or more rows are fitted exactly.

    Notes:
        Interior point on the dual, then to a vertex (absolute, quantile), or Newton's steps on
        the rows within delta (huber), which end at the minimum itself. About 25 n columns^2
        multiplications a target, memory linear in n. Residuals are taken from least squares,
        so that offsets and units of the targets cost no digits.

    References:
        R. Koenker, Quantile Regression (2005), sections 6.2 (dual) and 6.4.2 (interior point).
        K. Madsen, H. B. Nielsen, Finite Algorithms for Robust Linear Regression, BIT 30 (1990).
    """
    n, t = B.shape
    kept = slice(None) if weights is None or weights.all() else weights > 0
    A, B = A[kept], B[kept]
    omega = np.ones(len(A)) if weights is None else weights[kept]
    shift = best_constant(B, omega, loss) if intercept else np.zeros(t)
    centred = B - shift
    bare = l1 == 0 and l2 == 0
    penalty = np.eye(0 if bare else A.shape[1] - intercept, A.shape[1])
    basis = _Basis.of(np.concatenate([A, penalty]), intercept=intercept)
    rows = _Rows(basis, len(penalty), omega, loss, penalty=n * t * (l1 + l2))
    ends = []
    for k in range(t):
        noise = NOISE * EPS * np.abs(B[:, k])
        ends.append(_lowest(rows, centred[:, k], noise, A=A, unique=unique))
    params = np.stack([one.params for one in ends], axis=1)
    residuals = A @ params - centred
    data = float((omega @ loss.values(residuals)).sum() / (n * t))
    W = params[: A.shape[1] - intercept]
    terms = NOISE * EPS * (np.abs(B) + np.abs(A) @ np.abs(params))
    if intercept:
        params[-1] += shift
    return Lowest(
        params=params,
        objective=float(data + l1 * np.abs(W).sum() + l2 * np.square(W).sum()),
        loss=data,
        bound=sum(one.bound for one in ends) / (n * t),
        rank=basis.rank,
        condition=basis.condition,
        unique=tuple(one.unique for one in ends),
        at_kink=tuple(one.at_kink for one in ends),
        noise=float((omega @ loss.values(terms)).sum() / (n * t)),
    )


def best_constant(B: Floats, omega: Floats, loss: Loss) -> Floats:
    """Give the constant of least loss for each target: a weighted quantile of its values.

    Args:
        B: shape (n, n_targets).
        omega: > 0, shape (n,).
        loss: under huber the median stands for it.

    Returns:
        Shape (n_targets,): values that occur.
    """
    level = loss.quantile if loss.name == "quantile" else 0.5
    order = np.argsort(B, axis=0, kind="stable")
    reached = np.cumsum(omega[order], axis=0)
    places = (reached < level * reached[-1]).sum(axis=0)
    chosen = np.take_along_axis(order, places[np.newaxis], 0)
    return np.asarray(np.take_along_axis(B, chosen, 0)[0])


@dataclass(frozen=True, eq=False)
class _Rows:
    """What all targets share: the basis, how many rows at the end are penalties, and the loss."""

    basis: _Basis
    n_penalties: int
    omega: Floats
    loss: Loss
    penalty: float

    def start(self, y: Floats) -> Floats:
        """Give the better of least squares, moved to the residuals' quantile, and no weights."""
        Q, n = self.basis.Q, len(self.omega)
        by_squares = Q.T @ y
        by_squares += Q.T @ (y - Q @ by_squares)
        if self.n_penalties and self.loss.name == "huber":
            weight = np.concatenate([self.omega, np.full(self.n_penalties, 2 * self.penalty)])
            by_squares = _balanced((Q * weight[:, np.newaxis]).T @ Q, Q.T @ (weight * y))
        if self.basis.intercept and self.loss.name == "quantile":
            one = np.concatenate([np.ones(n), np.zeros(self.n_penalties)])
            u = (y - Q @ by_squares)[:n, np.newaxis]
            by_squares += best_constant(u, self.omega, self.loss) * (Q.T @ one)
        nothing = np.zeros_like(by_squares)
        return min((by_squares, nothing), key=lambda z: self.objective(y - Q @ z))

    def objective(self, u: Floats) -> float:
        """Compute n t J of one target; u = target - prediction, then -w."""
        n = len(self.omega)
        w = u[n:]
        penalty = np.square(w) if self.loss.name == "huber" else np.abs(w)
        return float(self.omega @ self.loss.values(-u[:n]) + self.penalty * penalty.sum())

    def pieces(self, u: Floats, scale: float) -> tuple[Pieces, float]:
        """Make the problem of the residuals u over scale; and the unit of its objective."""
        omega, rest = self.omega, np.ones(self.n_penalties)
        if self.loss.name == "huber":
            delta = self.loss.delta / scale
            weight, first = self.penalty / delta, np.square(u[len(omega) :] / scale)
            kappa = delta / omega
            loss = Loss("huber", delta).values(u[: len(omega)] / scale) / delta
            # Beyond this no slope is needed: w^2 of the minimum is within J at the start.
            end = 4 * np.sqrt(weight * (omega @ loss + weight * first.sum()))
            high = np.concatenate([omega, rest * end])
            kappa = np.concatenate([kappa, rest / (2 * weight) if self.n_penalties else rest])
            pieces = Pieces(self.basis.Q, u / scale, -high, high, kappa)
            return pieces, scale**2 * delta
        up = self.loss.quantile if self.loss.name == "quantile" else 1.0
        down = 1 - up if self.loss.name == "quantile" else 1.0
        high = np.concatenate([up * omega, rest * self.penalty])
        low = np.concatenate([-down * omega, -rest * self.penalty])
        return Pieces(self.basis.Q, u / scale, low, high, np.zeros(len(u))), scale


@dataclass(frozen=True, eq=False)
class _End:
    """Of one target: weights of the shifted target, and n t J from below."""

    params: Floats
    bound: float
    unique: bool
    at_kink: int


def _lowest(rows: _Rows, b: Floats, noise: Floats, *, A: Floats, unique: bool) -> _End:
    basis = rows.basis
    y = np.concatenate([b, np.zeros(rows.n_penalties)])
    start = rows.start(y)
    u = y - basis.Q @ start
    theta = basis.params(start)
    rounding = noise + NOISE * EPS * (np.abs(A) @ np.abs(theta))
    if (np.abs(u[: len(b)]) <= rounding).all() and not u[len(b) :].any():
        return _End(theta, 0.0, unique=True, at_kink=len(b))
    scale = float(np.abs(u).mean())
    pieces, unit = rows.pieces(u, scale)
    if pieces.is_linear:
        z, d = _at_vertex(pieces)
        alone = not unique or is_unique(pieces, pieces.y - pieces.A @ z, d)
    else:
        z, d, alone = _by_newton(pieces)
    u = pieces.y - pieces.A @ z
    bound = lower_bound(pieces, dual_point(pieces, d), u)
    near = int(at_kink(pieces, u)[: len(b)].sum())
    return _End(basis.params(start + scale * z), unit * bound, alone, near)


def _at_vertex(pieces: Pieces) -> tuple[Floats, Floats]:
    z = near_minimum(pieces)
    found = vertex(pieces, z)
    if found is None:
        near = approach(pieces, z)
        return near.z, near.d
    return found


def _by_newton(pieces: Pieces) -> tuple[Floats, Floats, bool]:
    """From least squares, or where that leads nowhere from the interior point's end."""
    found = _newton(pieces, np.zeros(pieces.A.shape[1]))
    if found is None:
        near = approach(pieces, np.zeros(pieces.A.shape[1]))
        found = _newton(pieces, near.z)
        if found is None:
            return near.z, near.d, True
    z = found
    u = pieces.y - pieces.A @ z
    d = pieces.slopes(u)
    inner = (d > pieces.low) & (d < pieces.high)
    return z, d, bool(np.linalg.matrix_rank(pieces.A[inner]) == pieces.A.shape[1])


def _newton(pieces: Pieces, z: Floats) -> Floats | None:
    """Take steps to the minimum of the quadratic that holds about z, until the rows in it stay.

    Returns:
        The minimiser; None where a step leads up, or the rows within delta do not settle or are
        too few to bear the others' pull.
    """
    A, seen = pieces.A, None
    lowest = float(pieces.values(pieces.y - A @ z).sum())
    for _ in range(MOST_NEWTON_STEPS):
        d = pieces.slopes(pieces.y - A @ z)
        inner = (d > pieces.low) & (d < pieces.high)
        pull = A.T @ d
        if seen is not None and (inner == seen).all():
            balanced = np.linalg.norm(pull) <= BALANCED * np.linalg.norm(d)
            return z if balanced else None
        curved = A[inner] / np.sqrt(pieces.kappa[inner])[:, np.newaxis]
        z = z + _balanced(curved.T @ curved, pull)
        reached = float(pieces.values(pieces.y - A @ z).sum())
        if not reached <= lowest + CLOSE * abs(lowest):
            return None
        lowest, seen = reached, inner
    return None


def _balanced(H: Floats, g: Floats) -> Floats:
    """Solve H x = g, H positive semidefinite, its rows and columns scaled to a diagonal of 1."""
    size = np.sqrt(np.diagonal(H))
    unit = 1 / np.where(size > 0, size, 1)
    scaled = np.linalg.lstsq(H * np.outer(unit, unit), g * unit, rcond=len(H) * EPS)[0]
    return np.asarray(scaled * unit)
