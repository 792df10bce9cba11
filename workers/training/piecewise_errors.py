"""Standard errors and figures of a fit by huber, absolute or quantile loss (numpy)."""

from dataclasses import dataclass

import numpy as np

from descend.statistics import Covariance
from workers.training.huber_errors import huber_covariances
from workers.training.losses import Loss
from workers.training.outcome import TrainingOutcome
from workers.training.piecewise import NOISE, best_constant
from workers.training.problem import Floats, Problem
from workers.training.quantile_errors import QuantileFit, quantile_covariances
from workers.training.rounding import EPS
from workers.training.samples import Rows
from workers.training.scaling import Scaling
from workers.training.spread import Refusal

__all__ = ["PiecewiseErrors", "piecewise_errors"]

DEPENDENT = Refusal(
    "the columns are dependent: many coefficients fit equally well and none has a standard error;"
    " leave out one of those that explain each other"
)
PERFECT = Refusal("the fit is perfect but for rounding: there are no residuals to take errors from")


@dataclass(frozen=True, eq=False)
class PiecewiseErrors:
    """Of one target.

    Attributes:
        errors: standard errors of [W; b] in original units, shape (columns,), by definition; or
            why there are none.
        residual_sd: sqrt(sum omega r^2 / (n - columns)).
        r2: 1 - sum omega r^2 / that about the mean; None without an intercept or spread.
        n: rows that weigh.
    """

    errors: dict[Covariance, Floats | Refusal]
    residual_sd: float
    r2: float | None
    n: int


def piecewise_errors(
    problem: Problem, outcome: TrainingOutcome
) -> tuple[PiecewiseErrors, ...] | Refusal:
    """Compute the errors of every definition there is, for each target.

    Args:
        problem: of rows in memory, without penalties.
        outcome: its minimum.

    Returns:
        For each target; or why there is no inference at all.

    Notes:
        In the coordinates of standardised columns, whatever the fit's; rows of weight 0 are left
        out. t and p are to be taken with n - columns degrees of freedom.
    """
    h, rows = problem.hyperparameters, problem.trained
    if not isinstance(rows, Rows):
        return Refusal("standard errors need the rows")
    scaling = rows.scaling(standardize=True, fit_intercept=h.fit_intercept)
    A, B, weights = rows.unfolded(scaling, intercept=h.fit_intercept)
    omega = None if weights is None else weights[weights > 0]
    if weights is not None:
        A, B = A[weights > 0], B[weights > 0]
    n, columns = A.shape
    if n <= columns:
        return Refusal(
            f"{n} observations for {columns} parameters leave no residual degrees of freedom: bring"
            f" at least {columns + 1} rows with weight > 0, or fewer features"
        )
    if (outcome.metrics.rank or 0) < columns:
        return DEPENDENT
    coef, intercept = scaling.to_trained(outcome.coef, outcome.intercept)
    params = np.concatenate([coef.T, intercept[np.newaxis]]) if h.fit_intercept else coef.T
    found = [_of(A, B[:, k], omega, params[:, k], problem) for k in range(B.shape[1])]
    perfect = [one for one in found if one is None]
    if perfect:
        return PERFECT
    shape = _map(scaling, fit_intercept=h.fit_intercept)
    return tuple(_original(one, shape) for one in found if one is not None)


def _of(
    A: Floats, b: Floats, omega: Floats | None, params: Floats, problem: Problem
) -> PiecewiseErrors | None:
    """Of one target, covariances still in the coordinates of A; None of a perfect fit."""
    h, loss = problem.hyperparameters, Loss.of(problem.hyperparameters)
    n, columns = A.shape
    weight = np.ones(n) if omega is None else omega
    middle = best_constant(b[:, np.newaxis], weight, loss)[0] if h.fit_intercept else 0.0
    u = b - A @ params
    u = np.where(np.abs(u) <= NOISE * EPS * (np.abs(b) + np.abs(A) @ np.abs(params)), 0.0, u)
    if not u.any():
        return None
    rss = float(weight @ np.square(u))
    tss = float(weight @ np.square(b - weight @ b / weight.sum()))
    if loss.name == "huber":
        covariances = huber_covariances(A, u, omega, loss.delta)
    else:
        level = loss.quantile if loss.name == "quantile" else 0.5
        scaled = (A * weight[:, np.newaxis], (b - middle) * weight, u * weight)
        covariances = quantile_covariances(QuantileFit(*scaled, level))
    return PiecewiseErrors(
        errors=covariances,
        residual_sd=float(np.sqrt(rss * _unit(problem) / (n - columns))),
        r2=1 - rss / tss if h.fit_intercept and tss > 0 else None,
        n=n,
    )


def _unit(problem: Problem) -> float:
    """The weights' mean as they were given: those of the rows here have the mean 1."""
    given = problem.trained.omega if isinstance(problem.trained, Rows) else None
    return 1.0 if given is None else float(given.mean()) * problem.weight_unit


def _map(scaling: Scaling, *, fit_intercept: bool) -> Floats:
    """Give T with [W; b] in original units = T [W; b] in those of standardised columns."""
    T = np.diag(np.append(1 / scaling.scale, [1.0] if fit_intercept else []))
    if fit_intercept:
        T[-1, :-1] = -scaling.mean / scaling.scale
    return T


def _original(found: PiecewiseErrors, T: Floats) -> PiecewiseErrors:
    def root(covariance: Floats | Refusal) -> Floats | Refusal:
        if isinstance(covariance, Refusal):
            return covariance
        return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", T, covariance, T).clip(min=0)))

    errors = {name: root(covariance) for name, covariance in found.errors.items()}
    return PiecewiseErrors(errors, found.residual_sd, found.r2, found.n)
