"""Least losses found without Descend: SciPy's HiGHS and Newton's steps, in numbers of 64 bits.

Every figure is of the data as they stand: residuals are `target - (X coef + intercept)` in
numpy.longdouble, so that an offset of 1e6 costs none of the digits that are compared.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import linprog

__all__ = ["Table", "least", "loss_of"]

Floats = NDArray[np.float64]
Long = NDArray[np.longdouble]
# Narrower by this factor, huber's delta approaches what is asked for.
NARROWER = 0.3
MOST_STEPS = 60
LAST_STEPS = 3000
# A step that lowers the loss by less than this part of it is the last.
LITTLE = 1e-17
REFINEMENTS = 6
AT_KINK = 1e-7


@dataclass(frozen=True, eq=False)
class Table:
    """X of shape (n, d) and y of shape (n,), with a loss to be least.

    Attributes:
        up, down: slopes of absolute and quantile loss where a target is above, below.
        delta: of huber loss; None for the others.
    """

    X: Floats
    y: Floats
    up: float
    down: float
    delta: float | None

    def residuals(self, coef: Floats | Long, intercept: float | np.longdouble) -> Long:
        X, y = self.X.astype(np.longdouble), self.y.astype(np.longdouble)
        return np.asarray(y - X @ np.asarray(coef, dtype=np.longdouble) - np.longdouble(intercept))

    def values(self, u: Long, delta: float | None = None) -> Long:
        delta = self.delta if delta is None else delta
        if delta is None:
            return np.asarray(np.maximum(self.up * u, -self.down * u))
        near = np.clip(u, -delta, delta)
        return np.asarray(near * (u - near / 2))

    def rounding(self, coef: Floats, intercept: float) -> np.longdouble:
        """Bound the loss that is added where each weight is off by a unit in its last place."""
        last = np.spacing(np.abs(coef))
        off = np.abs(self.X).astype(np.longdouble) @ last + np.spacing(abs(intercept))
        steep = max(self.up, self.down) if self.delta is None else self.delta
        u = np.abs(self.residuals(coef, intercept))
        steepest = steep if self.delta is None else np.minimum(u + off, self.delta)
        return np.longdouble((steepest * off).mean())

    @property
    def loss_of_constant(self) -> float:
        """The least loss of a constant; under huber of the median."""
        level = self.up / (self.up + self.down)
        constant = np.quantile(self.y, level, method="inverted_cdf")
        return float(self.values(self.residuals(np.zeros(self.X.shape[1]), constant)).mean())


def loss_of(table: Table, coef: Floats, intercept: float) -> np.longdouble:
    """Compute the mean loss of weights in float64, without rounding that would show."""
    return np.longdouble(table.values(table.residuals(coef, intercept)).mean())


def least(table: Table) -> np.longdouble:
    """Find the least mean loss of any weights, of 64 bits each."""
    path = _Path.of(table)
    if table.delta is not None:
        return path.by_newton(table.delta)
    return path.by_simplex()


def by_highs(table: Table) -> Floats | None:
    """Solve the linear program of absolute or quantile loss on X and y as they stand, in float64.

    Returns:
        The coefficients and the intercept; None where HiGHS finds none.
    """
    n = len(table.y)
    A = np.column_stack([table.X, np.ones(n)])
    found = linprog(
        -table.y,
        A_eq=A.T,
        b_eq=np.zeros(A.shape[1]),
        bounds=(-table.down, table.up),
        method="highs",
    )
    return None if found.x is None else -np.asarray(found.eqlin.marginals)


@dataclass(eq=False)
class _Path:
    """Weights that approach the minimum; steps are solved for in orthonormal columns.

    Attributes:
        A: Q of [(X - mean) / spread, 1] = Q R, times the root of the rows, float64.
        coef, intercept: in the units of X, longdouble.
    """

    table: Table
    A: Floats
    R: Floats
    mean: Floats
    spread: Floats
    coef: Long
    intercept: np.longdouble

    @classmethod
    def of(cls, table: Table) -> "_Path":
        """Begin at least squares, whose residuals have the size that matters."""
        X = table.X
        mean, spread = X.mean(axis=0), X.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        Q, R = np.linalg.qr(np.column_stack([(X - mean) / spread, np.ones(len(X))]))
        root = np.sqrt(len(X))
        zero = np.zeros(X.shape[1], dtype=np.longdouble)
        path = cls(table, Q * root, R / root, mean, spread, zero, np.longdouble(0))
        path.fit(slice(None))
        return path

    @property
    def u(self) -> Long:
        return self.table.residuals(self.coef, self.intercept)

    def move(self, step: Floats) -> None:
        """Add weights of A to those of X."""
        moved = solve_triangular(self.R, step)
        slopes = moved[:-1].astype(np.longdouble) / self.spread
        self.coef = self.coef + slopes
        self.intercept = self.intercept + moved[-1] - slopes @ self.mean.astype(np.longdouble)

    def fit(self, rows: slice | NDArray[np.intp]) -> None:
        """Fit rows by least squares, refined until float64 no longer limits it."""
        for _ in range(REFINEMENTS):
            u = self.u[rows]
            unit = np.abs(u).max()
            if unit == 0:
                return
            step = np.linalg.lstsq(self.A[rows], (u / unit).astype(np.float64), rcond=None)[0]
            self.move(step * float(unit))

    def by_simplex(self) -> np.longdouble:
        """Solve the dual linear program, and go to the vertex that its basis names."""
        table, u = self.table, self.u
        lowest = table.values(u).mean()
        for _ in range(3):
            unit = float(np.abs(u).mean())
            if unit == 0:
                return np.longdouble(0)
            found = linprog(
                -(u / unit).astype(np.float64),
                A_eq=self.A.T,
                b_eq=np.zeros(self.A.shape[1]),
                bounds=(-table.down, table.up),
                method="highs-ds",
                options={
                    "dual_feasibility_tolerance": 1e-10,
                    "primal_feasibility_tolerance": 1e-10,
                },
            )
            self.move(-np.asarray(found.eqlin.marginals) * unit)
            lowest = min(lowest, table.values(self.u).mean())
            inside = (found.x > -table.down + AT_KINK) & (found.x < table.up - AT_KINK)
            near = np.abs(self.u) <= AT_KINK * unit
            for rows in (inside, near):
                kept = self.coef, self.intercept
                if not rows.any():
                    continue
                self.fit(np.flatnonzero(rows))
                reached = table.values(self.u).mean()
                if reached > lowest:
                    self.coef, self.intercept = kept
                lowest = min(lowest, reached)
            u = self.u
        return np.longdouble(lowest)

    def by_newton(self, delta: float) -> np.longdouble:
        """Take Newton's steps on the rows within delta, which is wide at first.

        Where these leave the weights undetermined, steps of reweighted least squares lead on.
        """
        width = max(delta, 10 * float(np.abs(self.u).mean()))
        while True:
            for _ in range(MOST_STEPS if width > delta else LAST_STEPS):
                if not self._step(width):
                    break
            if width <= delta:
                return np.longdouble(self.table.values(self.u, delta).mean())
            width = max(delta, NARROWER * width)

    def _step(self, width: float) -> bool:
        """Take the best of Newton's step, parts of it, and reweighted least squares'.

        Returns:
            Whether the loss fell.
        """
        u, here = self.u, (self.coef, self.intercept)
        pull = self.A.astype(np.longdouble).T @ np.clip(u / width, -1, 1)
        size = np.abs(pull).max()
        if size == 0:
            return False
        weights = (width / np.maximum(np.abs(u), width)).astype(np.float64)
        before = lowest = self.table.values(u, width).mean()
        best = here
        for part, weight in [(0.5**k, weights == 1) for k in range(10)] + [(1.0, weights)]:
            curved = (self.A * weight[:, np.newaxis]).T @ self.A / width
            step = np.linalg.lstsq(curved, (pull / size).astype(np.float64), rcond=None)[0]
            self.move(step * float(size) * part)
            reached = self.table.values(self.u, width).mean()
            if reached < lowest:
                lowest, best = reached, (self.coef, self.intercept)
            self.coef, self.intercept = here
        self.coef, self.intercept = best
        return bool(lowest < before * (1 - LITTLE))
