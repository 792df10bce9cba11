"""What came of a model's training, in original units."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from descend.errors import InvalidInput
from descend.jobs import Hyperparameters, JobError, Metrics, StopReason
from workers.training.certificate import Certificate, excess
from workers.training.compressed import Factored
from workers.training.conditioning import repeated_columns, unevenness
from workers.training.divergence import diagnose
from workers.training.losses import SQUARED, Loss
from workers.training.minibatch import StreamedState
from workers.training.problem import Floats, Problem
from workers.training.remedies import closer, exactly, listed, lower_tol, swamped
from workers.training.schedules import falls
from workers.training.setup import Setup
from workers.training.state import TrainingState
from workers.training.units import added_loss, told_of_offsets, unrepresentable

__all__ = [
    "PERFECT_FIT",
    "TrainingOutcome",
    "allowed",
    "distance",
    "engine_of",
    "outcome",
    "solved",
    "verdict",
]

_SUCCESSES = frozenset({StopReason.SETTLED, StopReason.TARGET_GAP, StopReason.MAX_EPOCHS})
# What a run that is at its minimum in fact is not called, however it came to stop there.
_OF_CHANCE = frozenset({StopReason.SETTLED, StopReason.MAX_EPOCHS})
# Converged in fact: so near to the minimum, as a part of it; or where that is almost nothing, as a
# part of the targets' variance, or of the first epoch's distance if that is less.
CONVERGED_GAP = 1e-6
CONVERGED_GAP_OF_SPREAD = 1e-9
# A minimum below this part of the variance, or of the first loss, is a perfect fit's, and rounding.
ALMOST_NOTHING = 1e-12
# Beyond this condition number 24 bits leave less than three digits.
SINGLE_HOLDS = 1e4
# Below this part of the targets' spread a huber_delta is most likely in another unit.
LINEAR_BELOW = 0.01
# Why `converged` is null there.
PERFECT_FIT = (
    "the loss left is of the size of rounding, too small to say whether it is within 1e-6 of the"
    " least there is"
)


@dataclass(frozen=True, eq=False)
class TrainingOutcome:
    """What came of a model's training.

    Attributes:
        stop_reason: None for a model that still trains; ERROR where training succeeded, but its
            weights cannot be written in the units of X.
        coef: shape (n_targets, n_features), original units, float64.
        intercept: shape (n_targets,), zeros when none was fitted.
        metrics: losses after the last step, of the model as returned.
        error: for a diverged model, or one of stop_reason ERROR, why.
        resolved: hyperparameters with the rate as a number.
    """

    stop_reason: StopReason | None
    coef: Floats
    intercept: Floats
    metrics: Metrics
    error: JobError | None
    resolved: Hyperparameters
    engine: str
    warnings: tuple[str, ...]


@np.errstate(over="ignore", invalid="ignore")
def outcome(state: TrainingState | StreamedState, index: int) -> TrainingOutcome:
    """Read a model's result; of one still training, its present state.

    Returns:
        Weights in original units. A diverged model's may be infinite or NaN.

    Notes:
        Losses are recomputed in float64 from the weights as returned: they are what anyone gets
        who applies them to the rows, also where training ran in float32.
    """
    setup, stop = state.setups[index], state.stops.get(index)
    setup = setup if stop is None else setup.proved_afterwards()
    params = _params(state, index)
    coef, intercept = setup.original(params)
    metrics = _metrics(state, index, setup, params=params, weights=(coef, intercept))
    error = None
    if stop in _SUCCESSES:
        error = unrepresentable(setup, params, coef, intercept)
        stop = stop if error is None else StopReason.ERROR
    if stop in _SUCCESSES and metrics.train_loss is None:
        stop = StopReason.DIVERGED  # with the last step, after which no epoch looked
    if metrics.converged and stop in _OF_CHANCE:
        stop = StopReason.CONVERGED
    if stop is StopReason.DIVERGED:
        epoch = int(state.progress.epoch[index]) - 1
        error = diagnose(setup, epoch=epoch, loss=float(state.progress.last_loss[index]))
    return TrainingOutcome(
        stop_reason=stop,
        coef=coef,
        intercept=intercept,
        metrics=metrics,
        error=error,
        resolved=setup.hyperparameters,
        engine=engine_of(setup.problem),
        warnings=_warnings(setup, stop, params, metrics),
    )


def engine_of(problem: Problem) -> str:
    """Name what trains a problem.

    "eager" epochs on rows, "compressed" ones on their factor, or "streamed" mini-batches.
    """
    if problem.hyperparameters.batch_size is not None:
        return "streamed"
    return "compressed" if isinstance(problem.trained, Factored) else "eager"


def _params(state: TrainingState | StreamedState, index: int) -> Floats:
    if index in state.final:
        params = state.final[index]
    elif index in state.live:
        params = state.params[state.lanes.index(index)]
    else:
        raise InvalidInput(f"model {index} was dropped: it has no outcome")
    found = params.detach().double().cpu().numpy()
    return np.asarray(found[:, : state.setups[index].problem.n_targets])


def _metrics(
    state: TrainingState | StreamedState,
    index: int,
    setup: Setup,
    *,
    params: Floats,
    weights: tuple[Floats, Floats],
) -> Metrics:
    (coef, intercept), progress, h = weights, state.progress, setup.hyperparameters
    trained, held = setup.problem.summary, setup.problem.held
    measure = Loss.of(h)
    train_loss = trained.loss(coef, intercept, measure)
    squares = train_loss if measure == SQUARED else trained.loss(coef, intercept)
    eval_loss = None if held is None else held.loss(coef, intercept, measure)
    W = params[: setup.problem.n_features]
    objective = train_loss + h.l2 * np.square(W).sum() + h.l1 * np.abs(W).sum()
    epochs = int(progress.epoch[index])
    told = train_loss if eval_loss is None else eval_loss
    best, best_epoch = float(progress.best[index]), int(progress.best_epoch[index])
    if told < best:
        best, best_epoch = told, epochs
    return Metrics(
        n_samples=trained.n,
        n_eval_samples=setup.problem.n_eval,
        epochs=epochs,
        initial_loss=_finite(progress.first[index]),
        train_loss=_finite(train_loss),
        eval_loss=_finite(eval_loss),
        objective=_finite(objective),
        best_loss=_finite(best),
        best_epoch=best_epoch if np.isfinite(best) else None,
        r2=_finite(1 - squares / setup.baseline) if setup.baseline > 0 else None,
        **_closeness(state, index, setup, params=params, loss=train_loss, weights=weights),
    )


def _closeness(
    state: TrainingState | StreamedState,
    index: int,
    setup: Setup,
    *,
    params: Floats,
    loss: float,
    weights: tuple[Floats, Floats],
) -> dict[str, Any]:
    """Say how far the result is from the certified minimum; nothing where none is known."""
    minimum = setup.certificate
    if minimum is None:
        diverged = state.stops.get(index) is StopReason.DIVERGED
        return {"converged": False if diverged else unproved(setup, loss)}
    if setup.hyperparameters.loss == "squared":
        gap = excess(setup.problem, setup.matrices(), minimum, params)
        gap += added_loss(setup, params, loss)
    else:  # of the weights as returned, what rounding in the units of X adds included
        back = setup.trained(*weights)
        gap = excess(setup.problem, setup.whole(), minimum, back)
        gap = gap if np.isfinite(gap) else np.inf
    near = allowed(setup, minimum, first_gap=float(state.progress.first_gap[index]))
    return {
        "converged": verdict(setup, gap, near),
        "min_loss": minimum.loss,
        "min_objective": minimum.objective,
        "gap": _finite(gap),
        "relative_gap": _finite(minimum.part(gap)),
        "duality_gap": minimum.duality_gap if setup.hyperparameters.l1 > 0 else None,
        "rank": minimum.rank,
        "condition_number": _finite(minimum.condition),
    }


def allowed(setup: Setup, minimum: Certificate, *, first_gap: float) -> float:
    """The gap up to which a result has converged.

    A part of the first gap alone would be any number: zero weights are as far from the minimum as
    the targets are from 0.
    """
    if minimum.allowed_gap is not None:
        return minimum.allowed_gap - minimum.error  # it may be so much lower than what was found
    if minimum.objective > max(minimum.noise, ALMOST_NOTHING * setup.variance):
        return CONVERGED_GAP * minimum.objective
    spread = min(first_gap, setup.variance) if setup.variance > 0 else first_gap
    return max(minimum.noise, CONVERGED_GAP_OF_SPREAD * spread)


def verdict(setup: Setup, gap: float, near: float) -> bool | None:
    """Say whether a gap is near enough; None where it is a perfect fit's rounding and no nearer."""
    if gap <= near:
        return True
    return None if gap <= setup.rounding else False


def unproved(setup: Setup, loss: float) -> bool | None:
    """Say whether weights have converged whose minimum is known from above alone, or not at all.

    None where no minimum was looked for, or the loss is a perfect fit's rounding.
    """
    return None if setup.lowest is None or loss <= setup.rounding else False


def solved(
    setup: Setup,
    minimum: Certificate,
    *,
    losses: tuple[float, float | None],
    gap: float,
    converged: bool | None,
    **more: float | None,
) -> Metrics:
    """Say what `exact` found.

    Args:
        setup: of the problem.
        minimum: the lowest point, proved or not.
        losses: of the weights as returned, over the rows trained on and those held out.
        gap: of these weights.
        converged: whether that is near enough, if the minimum is proved.
        more: figures of the kind of loss; what is no number is left out.
    """
    problem, (loss, eval_loss) = setup.problem, losses
    told = {
        "initial_loss": loss,
        "train_loss": loss,
        "eval_loss": eval_loss,
        "best_loss": loss if eval_loss is None else eval_loss,
        "objective": minimum.objective - minimum.loss + loss,
        "condition_number": minimum.condition,
        **more,
    }
    if minimum.proved:
        told |= {
            "min_loss": min(minimum.loss, loss),
            "min_objective": minimum.objective,
            "gap": gap,
            "relative_gap": minimum.part(gap),
        }
    return Metrics(
        n_samples=problem.n_train,
        n_eval_samples=problem.n_eval,
        epochs=1,
        best_epoch=0,
        converged=converged if minimum.proved else unproved(setup, loss),
        rank=minimum.rank,
        **{name: value for name, value in told.items() if value is not None and np.isfinite(value)},
    )


def distance(metrics: Metrics) -> str:
    """Say how far a run is from its minimum; a part of almost nothing would say nothing."""
    first, least, gap = metrics.initial_loss or 0.0, metrics.min_loss or 0.0, metrics.gap or 0.0
    if least < ALMOST_NOTHING * first:
        loss = metrics.train_loss or 0.0
        return f"at a loss of {loss:.3g}, with {gap / first:.2g} of the first gap left"
    if metrics.relative_gap is None:
        return f"{gap:.3g} above the lowest loss there is"
    return f"{100 * metrics.relative_gap:.3g} % above the lowest loss there is"


def _short(setup: Setup, metrics: Metrics) -> str:
    """Say what settling means where it is no convergence."""
    if setup.lowest is not None and metrics.converged is None:
        return f"at a perfect fit: {PERFECT_FIT}"
    if metrics.gap is not None:
        asked = setup.problem.hyperparameters
        ways = [lower_tol(asked), exactly(asked)]
        return f"while it is still {distance(metrics)}: {listed([way for way in ways if way])}"
    told = "; no minimum is known to hold it against"
    if setup.lowest is not None:
        told = "; the minimum is not proved"
    h = setup.hyperparameters
    other = "" if h.optimizer == "lbfgs" else " or a larger learning_rate"
    other = ", a schedule that falls slower" + other if falls(h) else other
    return f"for its steps became small{told}: a lower tol{other} may bring it closer"


def _closer(setup: Setup, metrics: Metrics) -> str:
    """Say what would bring a run that max_epochs ended closer to the optimum."""
    far = metrics.gap is not None and not metrics.converged
    if far and (uneven := unevenness(setup)):
        now, scaled = uneven
        ways = ["set standardize to true", exactly(setup.problem.hyperparameters)]
        return (
            f"unscaled, the steepest direction is {now:.2g} times as steep as the flattest, scaled"
            f" {scaled:.2g} times: {listed([way for way in ways if way])}"
        )
    return f"{closer(setup)} will bring it closer to the optimum"


def _solver(h: Hyperparameters) -> str:
    """Name the optimizer that gets to the minimum where this one does not; "" where none does."""
    if h.loss == "squared":
        return "optimizer exact"
    return "" if h.optimizer == "lbfgs" or h.l1 > 0 or h.batch_size else "optimizer lbfgs"


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def _warnings(
    setup: Setup, stop: StopReason | None, params: Floats, metrics: Metrics
) -> tuple[str, ...]:
    h, told = setup.hyperparameters, []
    if stop is StopReason.SETTLED:
        told.append(f"the objective settled within tol ({h.tol:g}) {_short(setup, metrics)}")
    if stop is StopReason.MAX_EPOCHS and h.tol > 0:
        told.append(
            f"stopped at max_epochs ({h.max_epochs}) before the objective settled within tol"
            f" ({h.tol:g}): {_closer(setup, metrics)}"
        )
    if (metrics.condition_number or 0) > SINGLE_HOLDS and h.dtype == "float32":
        told.append(
            f"the design's condition number is {metrics.condition_number:.2g}: float32 leaves its"
            " weights fewer than three digits; use dtype float64"
        )
    if not metrics.converged and (words := swamped(setup)):
        told.append(words)
    spread = math.sqrt(setup.variance)
    if h.huber_delta is not None and h.huber_delta < LINEAR_BELOW * spread:
        told.append(
            f"huber_delta ({h.huber_delta:g}) is in units of the target, which spreads by"
            f" {spread:.3g}: almost every residual counts linearly"
        )
    if h.validation_fraction > 0 and setup.problem.n_train < 2:
        told.append("too few rows to hold any out: eval_loss is empty")
    if h.weight_decay and np.abs(params[: setup.problem.n_features]).max() > 0.5 / h.weight_decay:
        told.append(
            f"adamw's weight_decay ({h.weight_decay:g}) keeps coefficients within"
            f" {1 / h.weight_decay:g} in the units trained in: lower weight_decay, or multiply the"
            " targets by a power of ten"
        )
    if h.loss == "squared" and metrics.gap is not None and metrics.train_loss is not None:
        added = added_loss(setup, params, metrics.train_loss)
        told += told_of_offsets(setup, added, metrics.train_loss)
    return (*told, *repeated_columns(setup.problem, setup.lowest))
