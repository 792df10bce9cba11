"""A fit's statistics as they are stored; and why there are none, where there are none."""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from descend.jobs import Hyperparameters
from descend.statistics import INTERCEPT, Covariance, Statistics, TargetStatistics
from workers.training.compressed import factor_of
from workers.training.constant import holds_constant
from workers.training.factor import Factor
from workers.training.outcome import TrainingOutcome, distance
from workers.training.piecewise_errors import PiecewiseErrors, piecewise_errors
from workers.training.problem import Floats, Problem
from workers.training.remedies import exactly
from workers.training.robust import NAMED_ROWS, Robust, robust
from workers.training.spread import Refusal, Spread
from workers.training.statistics import Inference, infer
from workers.training.tiles import Block

__all__ = ["statistics_of"]

# Weights within a thousandth of a standard error of the optimum count as it.
NEAR_IN_ERRORS = 1e-3
PERFECT = (
    "the fit is exact to rounding: what is left of the residuals is the last digits of the numbers,"
    " and no spread that errors, t or p could be taken from"
)
# A root of the covariance of more columns is not kept: 2 MiB.
MOST_COLUMNS = 512


def statistics_of(
    problem: Problem,
    outcome: TrainingOutcome,
    blocks: Callable[[], Iterable[Block]] | None = None,
    numbers: Callable[[Sequence[int]], list[int]] | None = None,
) -> tuple[Statistics, bytes | None]:
    """Compute what is known about a fit beyond its weights.

    Args:
        problem: what was trained.
        outcome: what came of it.
        blocks: gives the rows, for the standard errors HC0 to HC3; None leaves them out.
        numbers: finds the numbers of rows, as people count them, by their places among `blocks`;
            None counts these from 1.

    Returns:
        The statistics, with `refused` where inference does not exist; and what intervals about
        predictions need (mean, scale and root of workers.training.spread as float64, one after
        the other), None where there are none.
    """
    h = problem.hyperparameters
    if h.loss != "squared":
        return _of_piecewise(problem, outcome), None
    if refused := _refused_by_way(problem) or _refused_by_distance(problem, outcome):
        return _without(problem, outcome, refused), None
    factor = factor_of(problem.summary)
    found = _inferred(factor, problem, outcome)
    if isinstance(found, Refusal):
        return _without(problem, outcome, found.reason), None
    if all(one.perfect for one in found.targets):
        return _with(problem, outcome, found, None, refused=PERFECT), None
    if _distance(found, outcome, root_weight=factor.root_weight) > NEAR_IN_ERRORS:
        return _without(problem, outcome, _not_there(problem, outcome)), None
    sturdy = None
    if blocks is not None:
        sturdy = robust(blocks(), factor, _params(outcome, h), fit_intercept=h.fit_intercept)
    packed = None
    if found.rank <= MOST_COLUMNS:
        packed = _packed(found.spread, root_unit=math.sqrt(problem.weight_unit))
    pinned = _pinned(sturdy, numbers)
    return _with(problem, outcome, found, sturdy, pinned=pinned), packed


def _inferred(factor: Factor, problem: Problem, outcome: TrainingOutcome) -> Inference | Refusal:
    h = problem.hyperparameters
    return infer(
        factor,
        fit_intercept=h.fit_intercept,
        params=_params(outcome, h),
        names=problem.features,
    )


def _refused_by_way(problem: Problem) -> str | None:
    h = problem.hyperparameters
    if h.l1 > 0 or h.l2 > 0:
        return (
            "a penalty biases the weights: their standard errors say nothing about the truth;"
            " train without l1 and l2"
        )
    way = exactly(h, verb="train with") or "train with loss squared"
    if h.loss != "squared" and h.optimizer != "exact":
        return f"standard errors of {h.loss} loss need its minimum: {way}"
    return None


def _refused_by_distance(problem: Problem, outcome: TrainingOutcome) -> str | None:
    """Refuse cheaply what is far from the optimum, as most training is when it ends."""
    metrics = outcome.metrics
    if metrics.gap is None or metrics.min_loss is None:
        return "the design is too large for its minimum to be computed, on which statistics rest"
    freedom = max(metrics.n_samples - (metrics.rank or 0), 1)
    far = metrics.gap * freedom > NEAR_IN_ERRORS**2 * metrics.min_loss
    return _not_there(problem, outcome) if far else None


def _distance(found: Inference, outcome: TrainingOutcome, *, root_weight: float) -> float:
    """How far the weights are from the optimum, in standard errors, at most.

    A gap is of the mean over weights and targets, residual_sd^2 of the weighted sum over rows:
    root_weight, sqrt(sum(omega)), brings the one to the other.
    """
    gap = outcome.metrics.gap or 0.0
    least = min(one.residual_sd for one in found.targets if not one.perfect)
    if gap == 0:
        return 0.0
    moved = root_weight * float(np.sqrt(gap * len(found.targets)))
    return moved / least if least > 0 else float("inf")


def _pinned(
    sturdy: Robust | Refusal | None, numbers: Callable[[Sequence[int]], list[int]] | None
) -> str | None:
    """Name the rows for which HC2 and HC3 divide by 0."""
    if not isinstance(sturdy, Robust) or not sturdy.pinned:
        return None
    places = sturdy.pinned[:NAMED_ROWS]
    rows = numbers(places) if numbers else [place + 1 for place in places]
    one = len(sturdy.pinned) == 1
    listed = ", ".join(map(str, rows)) + (" and more" if len(sturdy.pinned) > NAMED_ROWS else "")
    return (
        f"row{'' if one else 's'} {listed} {'has' if one else 'have'} leverage 1: fitted exactly"
        " whatever the target is there, so that HC2 and HC3 divide by 0; take HC0 or HC1"
    )


def _not_there(problem: Problem, outcome: TrainingOutcome) -> str:
    h, far = problem.hyperparameters, distance(outcome.metrics)
    if h.optimizer == "exact":
        return (
            f"in the units of X the weights are {far}: rounding leaves them no standard errors;"
            " subtract a constant from columns that vary little about values far from 0"
        )
    return (
        f"training stopped before the least-squares estimate, {far}: its weights have no standard"
        f" errors; {exactly(h, verb='train with')}"
    )


def _params(outcome: TrainingOutcome, h: Hyperparameters) -> Floats:
    coef = outcome.coef.T
    return np.concatenate([coef, outcome.intercept[np.newaxis]]) if h.fit_intercept else coef


def _of_piecewise(problem: Problem, outcome: TrainingOutcome) -> Statistics:
    """Of huber, absolute and quantile loss, whose errors have definitions of their own."""
    if refused := _refused_by_way(problem):
        return _without(problem, outcome, refused)
    found = piecewise_errors(problem, outcome)
    if isinstance(found, Refusal):
        return _without(problem, outcome, found.reason)
    kinds = list(found[0].errors)
    refusals = {
        kind: next((e.reason for o in found if isinstance(e := o.errors[kind], Refusal)), None)
        for kind in kinds
    }
    shown = [kind for kind in kinds if refusals[kind] is None]
    if not shown:
        return _without(problem, outcome, refusals[kinds[0]] or "")
    h = problem.hyperparameters
    constant = int(h.fit_intercept or holds_constant(problem.summary))
    names, alone = _names(problem), problem.n_targets == 1
    return Statistics(
        names=names,
        n_samples=found[0].n,
        df_model=len(names) - constant,
        df_residual=found[0].n - len(names),
        rank=len(names),
        condition_number=outcome.metrics.condition_number,
        targets=[
            _piecewise_target(name, one, shown, r2=outcome.metrics.r2 if alone else one.r2)
            for name, one in zip(problem.targets, found, strict=True)
        ],
        covariance=shown[0],
        errors_refused={kind: reason for kind, reason in refusals.items() if reason is not None},
        intervals_refused="intervals about predictions are those of squared loss: train a quantile"
        " for each end, or squared loss",
    )


def _piecewise_target(
    name: str, found: PiecewiseErrors, shown: Sequence[Covariance], *, r2: float | None
) -> TargetStatistics:
    return TargetStatistics(
        target=name,
        residual_sd=_number(found.residual_sd),
        r2=_number(r2),
        adjusted_r2=None,
        std_errors={
            kind: _numbers(errors)
            for kind, errors in found.errors.items()
            if kind in shown and not isinstance(errors, Refusal)
        },
    )


def _names(problem: Problem) -> list[str]:
    fitted = problem.hyperparameters.fit_intercept
    return [*problem.features, *([INTERCEPT] if fitted else [])]


def _without(problem: Problem, outcome: TrainingOutcome, reason: str) -> Statistics:
    """What there is where inference is refused: the fit's own R2."""
    metrics = outcome.metrics
    # Where no minimum was computed neither was the rank: columns count as independent.
    rank = min(len(_names(problem)), metrics.n_samples) if metrics.rank is None else metrics.rank
    fitted = problem.hyperparameters.fit_intercept or holds_constant(problem.summary)
    r2 = metrics.r2 if problem.n_targets == 1 else None
    return Statistics(
        names=_names(problem),
        n_samples=metrics.n_samples,
        df_model=max(rank - fitted, 0),
        df_residual=max(metrics.n_samples - rank, 0),
        rank=rank,
        condition_number=None,
        targets=[
            TargetStatistics(target=name, residual_sd=None, r2=r2, adjusted_r2=None)
            for name in problem.targets
        ],
        refused=reason,
    )


def _with(
    problem: Problem,
    outcome: TrainingOutcome,
    found: Inference,
    sturdy: Robust | Refusal | None,
    *,
    pinned: str | None = None,
    refused: str | None = None,
) -> Statistics:
    told = pinned
    if sturdy is None and refused is None:
        way = exactly(problem.hyperparameters, verb="train with")
        told = f"HC0 to HC3 need a pass over the rows: {way}"
    elif isinstance(sturdy, Refusal):
        told = sturdy.reason
    return Statistics(
        names=_names(problem),
        n_samples=found.n_observations,
        df_model=found.df_model,
        df_residual=found.df_residual,
        rank=found.rank,
        condition_number=_number(found.condition),
        vif=[_number(value) for value in found.vif],
        targets=[
            _of_target(problem, outcome, found, sturdy, place) for place in range(problem.n_targets)
        ],
        refused=refused,
        robust_refused=told,
    )


def _of_target(
    problem: Problem,
    outcome: TrainingOutcome,
    found: Inference,
    sturdy: Robust | Refusal | None,
    place: int,
) -> TargetStatistics:
    one, name = found.targets[place], problem.targets[place]
    # One number: of the weights as they are returned, in the units of X.
    r2 = outcome.metrics.r2 if problem.n_targets == 1 else one.r2
    adjusted = None
    if r2 is not None:
        n, constant = found.n_observations, found.has_constant
        adjusted = 1 - (n - constant) / found.df_residual * (1 - r2)
    if one.perfect:
        return TargetStatistics(
            target=name, residual_sd=None, r2=r2, adjusted_r2=adjusted, refused=PERFECT
        )
    return TargetStatistics(
        target=name,
        residual_sd=_number(one.residual_sd * math.sqrt(problem.weight_unit)),
        r2=_number(r2),
        adjusted_r2=_number(adjusted),
        f=_number(one.f),
        f_p=_number(one.f_p),
        log_likelihood=_number(one.log_likelihood),
        aic=_number(one.aic),
        bic=_number(one.bic),
        std_errors=_errors(one.standard_errors, sturdy, place),
    )


def _errors(
    classical: Floats, sturdy: Robust | Refusal | None, place: int
) -> dict[Covariance, list[float | None]]:
    errors: dict[Covariance, list[float | None]] = {"classical": _numbers(classical)}
    if not isinstance(sturdy, Robust):
        return errors
    kinds: dict[Covariance, Floats | None] = {
        "HC0": sturdy.hc0,
        "HC1": sturdy.hc1,
        "HC2": sturdy.hc2,
        "HC3": sturdy.hc3,
    }
    return errors | {k: _numbers(v[place]) for k, v in kinds.items() if v is not None}


def _packed(spread: Spread, *, root_unit: float) -> bytes:
    """Its root is of the weights as they were given."""
    parts = (spread.mean, spread.scale, spread.root / root_unit)
    return b"".join(np.ascontiguousarray(part, "<f8").tobytes() for part in parts)


def _numbers(values: Floats) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
