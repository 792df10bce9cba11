"""The minimum of a problem's objective, computed rather than approached (numpy).

Squared loss on full batches by a linear solve, with l1 by a search; huber, absolute and quantile
loss by their duals. What a loss and its penalties have no proof for has no certificate.
"""

from dataclasses import dataclass

import numpy as np

from descend.jobs import Hyperparameters
from workers.training.exact import solve
from workers.training.losses import Loss
from workers.training.objective import Matrices
from workers.training.piecewise import best_constant, minimise
from workers.training.problem import Floats, Problem
from workers.training.sparse import LASSO_COST, lasso

__all__ = [
    "CERTIFICATE_COST",
    "NOISE",
    "Certificate",
    "certify",
    "excess",
    "is_provable",
]

# Multiplications (rows * columns^2) beyond which no minimum is computed: some seconds of a core.
# With l2 the penalty's rows count, too.
CERTIFICATE_COST = 1e10
# A minimum is proved if it is in error by at most this part of itself, a tenth of the nearness that
# counts as converged; or, where it is almost nothing, by what the search asks for: a part of J at
# zero weights.
PROVED = 1e-7
PROVED_OF_START = 1e-12
# Of huber, absolute and quantile loss: converged is within this part of the minimum; and one below
# that part of the best constant's loss counts as that part of it.
CONVERGED_GAP = 1e-6
NEAR_NOTHING = 1e-9
# Steps of n columns^2 multiplications that the minimum of one of these takes.
PIECEWISE_STEPS = 25
# Residuals of so many units in the last place of the targets are rounding.
NOISE = 10.0


@dataclass(frozen=True, eq=False)
class Certificate:
    """Where the objective is least, in the coordinates of training.

    Attributes:
        params: [W; b] at the minimum, shape (columns, n_targets); of minimum norm where the
            columns are dependent.
        gradient: of the smooth part (data term and l2) there; 0 without l1.
        objective: J at the minimum.
        loss: the data term at the minimum.
        rank: independent columns of A.
        condition: of A with columns of equal length.
        duality_gap: a bound on the error of `objective`, as a part of J at zero weights, or of
            `baseline`; 0 where the minimum is a linear solve.
        error: the same bound in units of J.
        exhausted: whether the search ended because its budget of work was spent.
        noise: what is left of J by rounding where the fit is perfect; `objective` may be less.
        baseline: loss of the best constant; None for squared loss.
        unique: for each target whether there is no other minimiser, but for dependent columns;
            True where it was not asked; empty for squared loss.
        at_kink: rows that are fitted exactly, for each target, under absolute and quantile loss.
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
    baseline: float | None = None
    unique: tuple[bool, ...] = ()
    at_kink: tuple[int, ...] = ()

    @property
    def proved(self) -> bool:
        """Whether `objective` is the minimum, and not only the lowest value found."""
        if self.allowed_gap is not None:
            return self.error <= max(PROVED / CONVERGED_GAP * self.allowed_gap, self.rounding)
        return self.duality_gap <= PROVED_OF_START or self.error <= PROVED * self.objective

    @property
    def allowed_gap(self) -> float | None:
        """The gap up to which weights have converged; None for squared loss (see `outcome`).

        1e-6 of the minimum, or of 1e-9 of the best constant's loss where that is more.
        """
        if self.baseline is None:
            return None
        return CONVERGED_GAP * max(self.objective, NEAR_NOTHING * self.baseline)

    @property
    def rounding(self) -> float:
        """What of a perfect fit is rounding; 0 of any other."""
        return 0.0 if self.objective > self.noise else self.noise

    def part(self, gap: float) -> float | None:
        """Say what part of the minimum a gap is; of one that is rounding there is no part."""
        return gap / self.objective if self.objective > self.noise else None


@np.errstate(over="ignore", invalid="ignore")
def certify(
    problem: Problem, matrices: Matrices, *, budget: float = LASSO_COST, wanted: bool = False
) -> Certificate | None:
    """Compute the minimum of J(W, b), the objective with its penalties.

    Args:
        problem: whose matrices are of all rows.
        matrices: its rows, or their factor, in the coordinates of training.
        budget: multiplications that the search may take under squared loss with l1.
        wanted: whether the minimum is what is wanted: under another loss than squared no matrix is
            then too large, and it is found out whether the minimiser is unique.

    Returns:
        The minimum; with l1 the lowest point found, which may lack its proof. None where nothing
        is known: what `is_provable` excludes, batches of rows whose factor is not taken, a matrix
        too large (`CERTIFICATE_COST`), or numbers that leave the range of float64.

    Notes:
        Cost: one pivoted QR factorisation of A; with l1, the search for the signs
        besides, of at most `budget` multiplications. Another loss: see `minimise`.
    """
    h = problem.hyperparameters
    A, B = matrices.A, matrices.B
    if not is_provable(h) or not problem.is_summed_up:
        return None
    if not np.isfinite(np.square(A).sum() + np.square(B).sum()):
        return None
    if h.loss != "squared":
        dear = PIECEWISE_STEPS * A.size * A.shape[1] * B.shape[1] > CERTIFICATE_COST
        return None if dear and not wanted else _certified_by_dual(problem, matrices, unique=wanted)
    if _cost(A, penalised=h.l2 > 0) > CERTIFICATE_COST:
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


def is_provable(h: Hyperparameters) -> bool:
    """Whether there is a method that proves the minimum of such an objective."""
    if h.batch_size is not None and h.loss != "squared":
        return False
    return h.loss == "squared" or (h.l1 == 0 if h.loss == "huber" else h.l2 == 0)


@np.errstate(over="ignore", invalid="ignore")
def excess(problem: Problem, matrices: Matrices, minimum: Certificate, params: Floats) -> float:
    """Compute J(params) - J*, of squared loss without cancellation, in float64.

    With d = params - params*:  mean (A d)^2 + l2 ||d_W||^2 + <g*, d> + l1 (||W||_1 - ||W*||_1).
    Of another loss it is the difference, from which rounding takes what `Certificate.noise` says.
    """
    h = problem.hyperparameters
    moved = params - minimum.params
    n = problem.n_features
    if h.loss != "squared":
        W, values = params[:n], Loss.of(h).values(matrices.A @ params - matrices.B)
        weights = np.ones(len(values)) if matrices.weights is None else matrices.weights
        objective = (weights @ values).sum() / values.size
        objective += h.l1 * np.abs(W).sum() + h.l2 * np.square(W).sum()
        return max(float(objective - minimum.objective), 0.0)
    above = np.square(matrices.A @ moved).mean(axis=0).mean() + h.l2 * np.square(moved[:n]).sum()
    if h.l1 > 0:
        above += (minimum.gradient * moved).sum()
        above += h.l1 * (np.abs(params[:n]).sum() - np.abs(minimum.params[:n]).sum())
    return max(float(above), 0.0)


def _certified_by_dual(problem: Problem, matrices: Matrices, *, unique: bool) -> Certificate | None:
    h, loss = problem.hyperparameters, Loss.of(problem.hyperparameters)
    found = minimise(
        matrices.A,
        matrices.B,
        matrices.weights,
        loss,
        intercept=h.fit_intercept,
        l1=h.l1,
        l2=h.l2,
        unique=unique,
    )
    if not (np.isfinite(found.params).all() and np.isfinite(found.objective)):
        return None
    baseline = _baseline(matrices, loss)
    error = max(found.objective - found.bound, 0.0)
    return Certificate(
        params=found.params,
        gradient=np.zeros_like(found.params),
        objective=found.objective,
        loss=found.loss,
        rank=found.rank,
        condition=found.condition if found.rank == len(found.params) else np.inf,
        duality_gap=error / baseline if baseline > 0 else 0.0,
        error=error,
        exhausted=False,
        noise=found.noise,
        baseline=baseline,
        unique=found.unique,
        at_kink=found.at_kink,
    )


def _baseline(matrices: Matrices, loss: Loss) -> float:
    """Compute the loss of the best constant; under huber of the median."""
    B, weights = matrices.B, matrices.weights
    omega = np.ones(len(B)) if weights is None else weights
    seen = omega > 0
    constant = best_constant(B[seen], omega[seen], loss)
    return float((omega @ loss.values(constant - B)).sum() / B.size)


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
