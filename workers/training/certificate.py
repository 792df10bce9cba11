"""The minimum of a problem's objective, computed rather than approached (numpy)."""

from dataclasses import dataclass

import numpy as np

from workers.training.exact import solve
from workers.training.objective import Matrices
from workers.training.problem import Floats, Problem
from workers.training.sparse import LASSO_COST, lasso

__all__ = ["CERTIFICATE_COST", "NOISE", "Certificate", "certify", "excess"]

# Multiplications (rows * columns^2) beyond which no minimum is computed: some seconds of a core.
# With l2 the penalty's rows count, too.
CERTIFICATE_COST = 1e10
# A minimum is proved if it is in error by at most this part of itself, a tenth of the nearness that
# counts as converged; or, where it is almost nothing, by what the search asks for: a part of J at
# zero weights.
PROVED = 1e-7
PROVED_OF_START = 1e-12
# Residuals of so many units in the last place of the targets are rounding.
NOISE = 10.0


@dataclass(frozen=True, eq=False)
class Certificate:
    """Where the objective of a squared loss is least, in the coordinates of training.

    Attributes:
        params: [W; b] at the minimum, shape (columns, n_targets); of minimum norm where the
            columns are dependent.
        gradient: of the smooth part (data term and l2) there; 0 without l1.
        objective: J at the minimum.
        loss: the data term at the minimum.
        rank: independent columns of A.
        condition: of A with columns of equal length.
        duality_gap: a bound on the error of `objective`, as a part of J at zero weights; 0 where
            the minimum is a linear solve.
        error: the same bound in units of J.
        exhausted: whether the search ended because its budget of work was spent.
        noise: what is left of J by rounding where the fit is perfect; `objective` may be less.
    """

    params: Floats
    gradient: Floats
    objective: float
    loss: float
    rank: int
    condition: float
    duality_gap: float
    error: float
    exhausted: bool
    noise: float

    @property
    def proved(self) -> bool:
        """Whether `objective` is the minimum, and not only the lowest value found."""
        return self.duality_gap <= PROVED_OF_START or self.error <= PROVED * self.objective

    def part(self, gap: float) -> float | None:
        """Say what part of the minimum a gap is; of one that is rounding there is no part."""
        return gap / self.objective if self.objective > self.noise else None


@np.errstate(over="ignore", invalid="ignore")
def certify(
    problem: Problem, matrices: Matrices, *, budget: float = LASSO_COST
) -> Certificate | None:
    """Compute the minimum of J(W, b), the squared objective with its penalties.

    Returns:
        The minimum; with l1 the lowest point found, which may lack its proof. None where nothing
        is known: another loss, mini-batches' own minimum, a matrix too large (`CERTIFICATE_COST`),
        or numbers that leave the range of float64.

    Notes:
        Cost: one pivoted QR factorisation of A; with l1, the search for the signs
        besides, of at most `budget` multiplications.
    """
    h = problem.hyperparameters
    A, B = matrices.A, matrices.B
    if not h.has_certificate or _cost(A, penalised=h.l2 > 0) > CERTIFICATE_COST:
        return None
    if not np.isfinite(np.square(A).sum() + np.square(B).sum()):
        return None
    found = solve(A, B, n_rows=len(A), l2=h.l2, intercept=h.fit_intercept)
    params, sparse = found.params, None
    if h.l1 > 0:
        sparse = lasso(
            A, B, l1=h.l1, l2=h.l2, n_rows=len(A), intercept=h.fit_intercept, budget=budget
        )
        params = sparse.params
    residual = A @ params - B
    loss = float(np.square(residual).mean())
    weights = params[: problem.n_features]
    objective = loss + h.l2 * np.square(weights).sum() + h.l1 * np.abs(weights).sum()
    if not (np.isfinite(params).all() and np.isfinite(objective)):
        return None
    return Certificate(
        params=params,
        gradient=_gradient(problem, A, residual, params),
        objective=float(objective),
        loss=loss,
        rank=found.rank,
        condition=found.condition,
        duality_gap=0.0 if sparse is None else sparse.relative_gap,
        error=0.0 if sparse is None else sparse.gap,
        exhausted=sparse is not None and sparse.exhausted,
        noise=_noise(A, B, params),
    )


@np.errstate(over="ignore", invalid="ignore")
def excess(problem: Problem, matrices: Matrices, minimum: Certificate, params: Floats) -> float:
    """Compute J(params) - J*, without cancellation, in float64.

    With d = params - params*:  mean (A d)^2 + l2 ||d_W||^2 + <g*, d> + l1 (||W||_1 - ||W*||_1).
    """
    h = problem.hyperparameters
    moved = params - minimum.params
    n = problem.n_features
    above = np.square(matrices.A @ moved).mean(axis=0).mean() + h.l2 * np.square(moved[:n]).sum()
    if h.l1 > 0:
        above += (minimum.gradient * moved).sum()
        above += h.l1 * (np.abs(params[:n]).sum() - np.abs(minimum.params[:n]).sum())
    return max(float(above), 0.0)


def _noise(A: Floats, B: Floats, params: Floats) -> float:
    """Square the last digits of the targets and of the terms that add up to a prediction.

    The targets alone would not do: of two columns that are nearly copies the terms may be 1e8
    times the targets, which their difference is.
    """
    terms = np.abs(A) @ np.abs(params)
    last = NOISE * np.finfo(np.float64).eps
    return float(np.square(last * B).mean() + np.square(last * terms).mean())


def _gradient(problem: Problem, A: Floats, residual: Floats, params: Floats) -> Floats:
    """Of the smooth part; what a linear solve leaves of it is rounding, and counts as 0."""
    h = problem.hyperparameters
    if h.l1 == 0:
        return np.zeros_like(params)
    gradient = A.T @ residual * (2 / residual.size)
    gradient[: problem.n_features] += 2 * h.l2 * params[: problem.n_features]
    return np.asarray(gradient)


def _cost(A: Floats, *, penalised: bool) -> float:
    rows, columns = A.shape
    rows += columns if penalised else 0
    return float(rows * columns * min(rows, columns))
