"""When a model stops: settled, diverged, at max_epochs. On the host, a block at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from descend.jobs import StopReason
from workers.training.certificate import NOISE
from workers.training.losses import Loss
from workers.training.problem import Floats
from workers.training.progress import Ints, Progress
from workers.training.rate import stability_bound
from workers.training.schedules import rates
from workers.training.setup import Setup

__all__ = ["Limits", "Readings", "Verdicts", "judge"]

# Diverged: a loss above CEILING * max(first loss, variance of y), or, where sgd's rate is at or
# above its stability bound, above GROWTH times the first.
CEILING = 1e8
GROWTH = 10.0
# Targets below 1e-154 have squares of 0, which nothing may exceed.
SMALLEST = float(np.finfo(np.float64).tiny)
# An epoch beyond any block.
NEVER = 2**62

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Readings:
    """What a block's epochs gave, float64 arrays of shape (epochs, lanes).

    Attributes:
        loss: data term before each step.
        objective: with its penalties.
        held_loss: data term of the held-out rows before each step; None where there are none.
        norm: 2-norm of the gradient of the smooth objective.
        gap: the objective's distance from its certified minimum; None where none is known.
        finite: whether loss, gradient and the parameters after the step are; None where all are.
    """

    loss: Floats
    objective: Floats
    held_loss: Floats | None
    norm: Floats
    gap: Floats | None
    finite: Mask | None


@dataclass(frozen=True, eq=False)
class Limits:
    """When models stop: arrays over the models of a batch.

    Attributes:
        tol: relative change of the objective, not below the precision of the dtype; 0 for never.
        target_gap: part of the first gap at which to stop; 0 for never.
        variance: of the targets; under another loss that of a residual of one standard deviation.
        noise: change of the objective that is rounding: a perfect fit's loss never comes to rest,
            but jumps about between 0 and the squares of the targets' last digits.
    """

    tol: Floats
    target_gap: Floats
    noise: Floats
    patience: Ints
    max_epochs: Ints
    variance: Floats

    @classmethod
    def of(cls, setups: Sequence[Setup]) -> "Limits":
        given = [setup.hyperparameters for setup in setups]
        eps = np.array([np.finfo(h.dtype).eps for h in given], dtype=np.float64)
        tol = np.array([h.tol for h in given], dtype=np.float64)
        losses = [Loss.of(h) for h in given]
        squares = np.array([setup.mean_square for setup in setups], dtype=np.float64)
        noise = np.square(NOISE * eps) * squares
        variance = np.array([setup.variance for setup in setups], dtype=np.float64)
        if losses[0].name != "squared":
            noise = _as_losses(losses, np.sqrt(noise))
            variance = _as_losses(losses, np.sqrt(variance))
        return cls(
            tol=np.where(tol > 0, np.maximum(tol, eps), 0),
            target_gap=np.array([h.target_gap or 0.0 for h in given], dtype=np.float64),
            noise=noise,
            patience=np.array([h.patience for h in given], dtype=np.int64),
            max_epochs=np.array([h.max_epochs for h in given], dtype=np.int64),
            variance=variance,
        )


@dataclass(frozen=True, eq=False)
class Verdicts:
    """For each lane how many of the block's epochs count; and why some models stopped there."""

    counts: Ints
    stops: dict[int, StopReason]  # by lane


def _as_losses(losses: Sequence[Loss], residuals: Floats) -> Floats:
    places = range(len(losses))
    return np.concatenate([losses[k].values(residuals[k : k + 1]) for k in places])


def judge(
    readings: Readings,
    models: Ints,
    *,
    progress: Progress,
    limits: Limits,
    setups: Sequence[Setup],
) -> Verdicts:
    """Decide where in a block each model stopped, and bring its progress up to there.

    Args:
        readings: of the block.
        models: the model in each lane, each once, shape (lanes,).
        progress: changed in place for these models.
        limits: of all models.
        setups: of all models, for the stability bound, computed only for a model whose loss grew.

    Notes:
        At the same epoch divergence goes before the target gap before settling before max_epochs.
        Steps become small where the minimum is near, and where a rate is tiny, too: whether a
        model that settled has converged is for `outcome` to say, which knows the minimum.
    """
    steps = len(readings.loss)
    fresh = progress.epoch[models] == 0
    progress.first[models[fresh]] = readings.loss[0, fresh]
    if readings.gap is not None:
        progress.first_gap[models[fresh]] = readings.gap[0, fresh]
    with np.errstate(invalid="ignore", over="ignore"):
        diverged = _diverged(readings, models, progress, limits=limits, setups=setups)
        stale = _stale(readings.objective, models, progress, limits)
    settled = _never(models) if stale is None else _first(stale >= limits.patience[models])
    found = _verdicts(
        {
            StopReason.DIVERGED: diverged,
            StopReason.TARGET_GAP: _near(readings.gap, models, progress, limits),
            StopReason.SETTLED: settled,
            StopReason.MAX_EPOCHS: limits.max_epochs[models] - 1 - progress.epoch[models],
        },
        steps,
    )
    _update(progress, models, found.counts, readings=readings, stale=stale)
    return found


def _verdicts(ends: Mapping[StopReason, Ints], steps: int) -> Verdicts:
    """Take each lane's first end within the block, of two at one epoch the one named first."""
    first = np.min(list(ends.values()), axis=0)
    stops = {
        int(lane): next(reason for reason, at in ends.items() if at[lane] == first[lane])
        for lane in np.flatnonzero(first < steps)
    }
    return Verdicts(np.minimum(first + 1, steps), stops)


def _diverged(
    readings: Readings,
    models: Ints,
    progress: Progress,
    *,
    limits: Limits,
    setups: Sequence[Setup],
) -> Ints:
    """First epoch of the block at which each lane has diverged."""
    first = progress.first[models]
    calm = readings.loss <= GROWTH * first  # False for NaN
    if readings.finite is None and calm.all():
        return _never(models)
    ceiling = CEILING * np.fmax(first, limits.variance[models]).clip(SMALLEST)
    diverged = ~(readings.loss <= ceiling)
    if readings.finite is not None:
        diverged |= ~readings.finite
    for lane in np.flatnonzero(~calm.all(axis=0)):
        model = int(models[lane])
        begun = int(progress.epoch[model])
        fast = rates(setups[model], begun, begun + len(calm)) >= _bound(model, progress, setups)
        diverged[:, lane] |= ~calm[:, lane] & fast
    return _first(diverged)


def _bound(model: int, progress: Progress, setups: Sequence[Setup]) -> float:
    """The stability bound, infinite for adam and adamw; dear, hence kept."""
    if np.isnan(progress.bound[model]):
        h = setups[model].hyperparameters
        bound = (
            stability_bound(h, setups[model].spectrum())
            if h.optimizer == "sgd" and h.batch_size is None
            else None
        )
        progress.bound[model] = np.inf if bound is None else bound
    return float(progress.bound[model])


def _stale(objective: Floats, models: Ints, progress: Progress, limits: Limits) -> Ints | None:
    """Count, for each epoch, how many in a row up to it changed the objective within tol."""
    tol = limits.tol[models]
    if not tol.any():
        return None
    before = np.concatenate([progress.previous[models][np.newaxis], objective[:-1]])
    within = np.maximum(tol * np.abs(before), limits.noise[models])
    quiet = (np.abs(before - objective) <= within) & (tol > 0)
    place = np.arange(len(objective))[:, np.newaxis]
    moved = np.where(quiet, -1 - progress.stale[models], place)
    return np.asarray(place - np.maximum.accumulate(moved, axis=0))


def _near(gap: Floats | None, models: Ints, progress: Progress, limits: Limits) -> Ints:
    """First epoch of the block at which each lane is within its target gap."""
    target = limits.target_gap[models]
    if gap is None or not target.any():
        return _never(models)
    return _first((gap <= target * progress.first_gap[models]) & (target > 0))


def _first(condition: Mask) -> Ints:
    """First row in which a column holds."""
    return np.where(condition.any(axis=0), condition.argmax(axis=0), NEVER)


def _never(models: Ints) -> Ints:
    return np.full(len(models), NEVER)


def _update(
    progress: Progress, models: Ints, counts: Ints, *, readings: Readings, stale: Ints | None
) -> None:
    lanes, last = np.arange(len(models)), counts - 1
    told = readings.loss if readings.held_loss is None else readings.held_loss
    if readings.finite is not None or (counts < len(told)).any():
        counted = np.arange(len(told))[:, np.newaxis] < counts
        told = np.where(counted & np.isfinite(told), told, np.inf)
    place = told.argmin(axis=0)
    better = told[place, lanes] < progress.best[models]
    improved = models[better]
    progress.best[improved] = told[place, lanes][better]
    progress.best_epoch[improved] = (progress.epoch[models] + place)[better]
    progress.previous[models] = readings.objective[last, lanes]
    progress.stale[models] = 0 if stale is None else stale[last, lanes]
    progress.last_loss[models] = readings.loss[last, lanes]
    progress.epoch[models] += counts
