"""Inference for the least-squares optimum, from the factor of its rows (numpy, scipy.special).

For squared loss without penalties only: a penalised or early-stopped fit is biased, and these
figures would be wrong for it. Arrays over parameters hold the features, then the intercept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc, stdtr, stdtrit

from workers.training.certificate import NOISE
from workers.training.constant import spans_constant
from workers.training.exact import solve
from workers.training.factor import Factor, residuals_of, scaling_of
from workers.training.problem import Floats
from workers.training.robust import Robust, robust
from workers.training.rounding import EPS, rank_tolerance, row_lengths
from workers.training.scaling import Scaling
from workers.training.spread import (
    Intervals,
    Refusal,
    Spread,
    prediction_intervals,
    spread_of,
    weighed,
)
from workers.training.tiles import power_of_two

__all__ = [
    "Inference",
    "Intervals",
    "Refusal",
    "Robust",
    "Spread",
    "TargetInference",
    "infer",
    "prediction_intervals",
    "robust",
    "variance_inflation",
]

# A feature whose share in the null space is below this only carries its rounding.
NULL_SHARE = 1e-12


@dataclass(frozen=True, eq=False)
class TargetInference:
    """One target's figures; arrays have shape (columns,). None where a figure does not exist.

    Attributes:
        params: coefficients, then intercept, in original units.
        standard_errors: of params.
        t: params / standard_errors.
        p: two-sided, of t with df_residual degrees of freedom.
        low: lower ends of the confidence intervals.
        high: upper ends.
        residual_sd: sqrt(sum omega r^2 / df_residual), in the target's unit.
        residual_sum_squares: sum omega r^2.
        r2: about the mean where the model has a constant, else about 0; None for a target without
            spread.
        adjusted_r2: r2 for the degrees of freedom.
        f: of the hypothesis that all coefficients but the constant are 0; None for a target
            without spread, and where there are none.
        f_p: its p.
        log_likelihood: of normal errors of variance sigma^2 / omega, at its maximum over sigma.
        aic: -2 log_likelihood + 2 rank: sigma is not counted, as in statsmodels.
        bic: -2 log_likelihood + log(n_observations) rank.
        perfect: whether the residuals are rounding: then no figure that divides by them is one.
    """

    params: Floats
    standard_errors: Floats
    t: Floats
    p: Floats
    low: Floats
    high: Floats
    residual_sd: float
    residual_sum_squares: float
    r2: float | None
    adjusted_r2: float | None
    f: float | None
    f_p: float | None
    log_likelihood: float
    aic: float
    bic: float
    perfect: bool


@dataclass(frozen=True, eq=False)
class Inference:
    """Figures of a fit.

    Attributes:
        n_observations: rows with weight > 0: a row of weight 0 is no observation.
        rank: of the design.
        has_constant: whether there is an intercept, or columns whose combination is one.
        df_model: rank without the constant.
        df_residual: n_observations - rank.
        level: of the confidence intervals.
        condition: of the design [X, 1] with its columns scaled to norm 1, not centred.
        vif: variance inflation factor of each feature, shape (n_features,).
        targets: figures of each target.
        spread: what intervals about predictions need, beside residual_sd and df_residual.
    """

    n_observations: int
    rank: int
    has_constant: bool
    df_model: int
    df_residual: int
    level: float
    condition: float
    vif: Floats
    targets: tuple[TargetInference, ...]
    spread: Spread


def infer(
    factor: Factor,
    *,
    fit_intercept: bool,
    level: float = 0.95,
    params: Floats | None = None,
    names: Sequence[str] | None = None,
) -> Inference | Refusal:
    r"""Compute the classical figures of a least-squares fit.

    With A the rows sqrt(omega_i) [x_i, 1], r the residuals and p the rank,

        sigma^2 = sum(omega r^2) / (n - p),   Cov = sigma^2 (A'A)^-1.

    Args:
        factor: of the rows.
        fit_intercept: whether the model has one.
        level: of the confidence intervals, in (0, 1).
        params: the optimum [W; b] in original units, shape (columns, n_targets), where it is known
            better (refined); else it is solved for here.
        names: of the features, for the refusal.

    Returns:
        The figures, or why they do not exist.

    Raises:
        InvalidInput: when every weight is 0.

    Notes:
        Equals statsmodels' OLS and WLS, rows of weight 0 left out. A constant among the columns
        (all dummies, a column of ones) is one: R2 and F are then about the mean.

    References:
        G. A. F. Seber, A. J. Lee, Linear Regression Analysis (2003), sections 3.3, 4.3, 5.1.
        D. A. Belsley, E. Kuh, R. E. Welsch, Regression Diagnostics (1980), section 3.2 (condition).
    """
    rank = factor.n_features + fit_intercept
    if factor.n_observations <= rank:
        return Refusal(
            f"{factor.n_observations} observations for {rank} parameters leave no residual degrees"
            f" of freedom: bring at least {rank + 1} rows with weight > 0, or fewer features"
        )
    spread = spread_of(factor, fit_intercept=fit_intercept)
    vif = variance_inflation(factor, fit_intercept=fit_intercept)
    if spread is None:
        return Refusal(_dependent(vif, names))
    residuals, params = _fitted(factor, spread, params)
    squares = _squares(factor)
    has_constant = fit_intercept or _constant_among(factor)
    noise = _noise(factor, params)
    df_residual = factor.n_observations - rank
    errors = row_lengths(spread.original())
    return Inference(
        n_observations=factor.n_observations,
        rank=rank,
        has_constant=has_constant,
        df_model=rank - has_constant,
        df_residual=df_residual,
        level=level,
        condition=_condition(factor, fit_intercept=fit_intercept),
        vif=vif,
        targets=tuple(
            _target(
                factor,
                params[:, k],
                errors,
                rss=float(np.square(residuals[:, k]).sum()),
                tss=float(squares[int(has_constant) :, k].sum()),
                noise=float(noise[k]),
                has_constant=has_constant,
                level=level,
            )
            for k in range(factor.n_targets)
        ),
        spread=spread,
    )


def variance_inflation(factor: Factor, *, fit_intercept: bool) -> Floats:
    """Compute 1 / (1 - R2_j) of each feature regressed on the others, shape (n_features,).

    Returns:
        At least 1; infinite where the others determine the feature, or it is constant beside an
        intercept. R2 is about 0 where there is no intercept.
    """
    scaling = scaling_of(factor, standardize=True, fit_intercept=fit_intercept)
    A, _ = weighed(factor, scaling, fit_intercept=False)
    A = A[int(fit_intercept) :]
    norms = np.linalg.norm(A, axis=0)
    _, singular, right = np.linalg.svd(A / np.where(norms == 0, 1, norms), full_matrices=False)
    zero = singular <= rank_tolerance(A.shape) * singular.max(initial=0)
    inverse = np.where(zero, 0, 1 / np.where(zero, 1, singular))
    within_null = np.square(right[zero]).sum(axis=0)
    vif = np.square(inverse[:, np.newaxis] * right).sum(axis=0)
    return np.where((within_null > NULL_SHARE) | (norms == 0), np.inf, vif)


def _fitted(factor: Factor, spread: Spread, params: Floats | None) -> tuple[Floats, Floats]:
    """Give the residuals and [W; b], in original units."""
    d, fitted = factor.n_features, spread.intercept
    if params is None:
        scaling = Scaling(spread.mean, spread.scale)
        A, B = weighed(factor, scaling, fit_intercept=fitted)
        trained = solve(A, B, n_rows=factor.n_rows, intercept=fitted).params
        coef, b = scaling.to_original(trained[:d].T, trained[d:].sum(axis=0))
        params = np.concatenate([coef.T, b[np.newaxis]]) if fitted else coef.T
    return residuals_of(factor, params[:d].T, params[d:].sum(axis=0)), params


def _squares(factor: Factor) -> Floats:
    """Squares of the targets' part of the factor: of the mean in the first row, then about it."""
    nothing = np.zeros((factor.n_targets, factor.n_features))
    return np.asarray(np.square(residuals_of(factor, nothing, np.zeros(factor.n_targets))))


def _constant_among(factor: Factor) -> bool:
    scaling = scaling_of(factor, standardize=True, fit_intercept=False)
    A, _ = weighed(factor, scaling, fit_intercept=True)
    return spans_constant(A) is not None


def _noise(factor: Factor, params: Floats) -> Floats:
    """Residual sums of squares up to which a fit is perfect: the last digits of what it adds up.

    Ten units in the last place of the largest target, and of the terms of the largest prediction.
    """
    d = factor.n_features
    largest = np.maximum(np.abs(factor.low), np.abs(factor.high))
    terms = np.abs(params[:d]).T @ largest[:d] + np.abs(params[d:]).sum(axis=0)
    return np.asarray(np.square(factor.root_weight * NOISE * EPS * (largest[d:] + terms)))


def _target(
    factor: Factor,
    params: Floats,
    errors: Floats,
    *,
    rss: float,
    tss: float,
    noise: float,
    has_constant: bool,
    level: float,
) -> TargetInference:
    n, rank = factor.n_observations, len(params)
    df = n - rank
    variance = rss / df
    standard_errors = errors * np.sqrt(variance)
    reach = float(stdtrit(df, (1 + level) / 2)) * standard_errors
    with np.errstate(divide="ignore", invalid="ignore"):
        t = params / standard_errors
        likelihood = -n / 2 * (np.log(2 * np.pi * rss / n) + 1) + factor.log_weight_sum / 2
        f = np.float64(tss - rss) / max(rank - has_constant, 1) / variance
    spread = tss > 0
    tested = spread and rank > has_constant
    r2 = 1 - rss / tss if spread else None
    return TargetInference(
        params=params,
        standard_errors=standard_errors,
        t=t,
        p=2 * stdtr(df, -np.abs(t)),
        low=params - reach,
        high=params + reach,
        residual_sd=float(np.sqrt(variance)),
        residual_sum_squares=rss,
        r2=r2,
        adjusted_r2=None if r2 is None else 1 - (n - has_constant) / df * (1 - r2),
        f=float(f) if tested else None,
        f_p=float(fdtrc(rank - has_constant, df, f)) if tested else None,
        log_likelihood=float(likelihood),
        aic=float(-2 * likelihood + 2 * rank),
        bic=float(-2 * likelihood + np.log(n) * rank),
        perfect=rss <= noise,
    )


def _condition(factor: Factor, *, fit_intercept: bool) -> float:
    # Near 1, so that no square leaves float64; the lengths are divided out again.
    d = factor.n_features
    size = power_of_two(np.maximum(np.abs(factor.low), np.abs(factor.high))[:d])
    A, _ = weighed(factor, Scaling(np.zeros(d), size), fit_intercept=fit_intercept)
    return float(np.linalg.cond(A / np.linalg.norm(A, axis=0)))


def _dependent(vif: Floats, names: Sequence[str] | None) -> str:
    labels = names or [f"X[:, {j}]" for j in range(len(vif))]
    found = [label for label, value in zip(labels, vif, strict=True) if np.isinf(value)]
    return (
        f"the columns {', '.join(found)} are constant or determine each other: many coefficients"
        " fit equally well and none has a standard error; leave one of them out, or use ridge (l2)"
    )
