"""`optimizer: exact` under huber, absolute and quantile loss: the minimum and its proof."""

import numpy as np

from descend.errors import InvalidInput
from descend.jobs import Metrics, StopReason
from workers.training.certificate import Certificate, excess
from workers.training.conditioning import repeated_columns
from workers.training.losses import Loss
from workers.training.outcome import PERFECT_FIT, TrainingOutcome, allowed, solved, verdict
from workers.training.problem import Floats, Problem
from workers.training.setup import Setup, prepare
from workers.training.units import unrepresentable

__all__ = ["solve_piecewise"]


def solve_piecewise(problem: Problem) -> TrainingOutcome:
    """Compute the minimiser of huber, absolute or quantile loss, and how near it is to a proof.

    Args:
        problem: of rows in memory; under huber l1 = 0, under the others l2 = 0.

    Returns:
        Weights of least loss: under absolute and quantile loss a corner of the set of all of them,
        where as many rows are fitted exactly as there are independent columns; of dependent
        columns those of least norm. `metrics.duality_gap` says how far above the lower bound they
        are; warnings say if others have the same loss.

    Raises:
        InvalidInput: when its numbers leave float64.

    Notes:
        See `minimise` for the method and its cost.
    """
    setup, _ = prepare(problem, wanted=True)
    minimum = setup.lowest
    if minimum is None:
        raise InvalidInput(
            "the minimum cannot be computed: there are numbers whose squares leave the range of"
            " float64; scale the columns",
            param="hyperparameters.optimizer",
        )
    coef, intercept = setup.original(minimum.params)
    error = unrepresentable(setup, minimum.params, coef, intercept)
    metrics = _metrics(setup, minimum, coef, intercept)
    perfect = metrics.converged is None
    told = [f"the fit is perfect: {PERFECT_FIT}"] if perfect else _unproved(minimum)
    return TrainingOutcome(
        stop_reason=StopReason.SOLVED if error is None else StopReason.ERROR,
        coef=coef,
        intercept=intercept,
        metrics=metrics,
        error=error,
        resolved=setup.hyperparameters,
        engine="exact",
        warnings=(*told, *_warnings(problem, minimum), *repeated_columns(problem, minimum)),
    )


def _metrics(setup: Setup, minimum: Certificate, coef: Floats, intercept: Floats) -> Metrics:
    problem, h = setup.problem, setup.hyperparameters
    measure = Loss.of(h)
    with np.errstate(over="ignore", invalid="ignore"):
        loss = problem.trained.loss(coef, intercept, measure)
        squares = problem.trained.loss(coef, intercept)
        eval_loss = None if problem.held is None else problem.held.loss(coef, intercept, measure)
    gap = excess(problem, setup.matrices(), minimum, setup.trained(coef, intercept))
    return solved(
        setup,
        minimum,
        losses=(loss, eval_loss),
        gap=gap,
        converged=verdict(setup, gap, allowed(setup, minimum, first_gap=np.inf)),
        r2=1 - squares / setup.baseline if setup.baseline > 0 else None,
        duality_gap=minimum.duality_gap,
    )


def _unproved(minimum: Certificate) -> list[str]:
    if minimum.proved:
        return []
    told = (
        "these weights are the lowest point found, but not proved to be the minimum: the"
        f" objective of {minimum.objective:.3g} may be too high by {minimum.error:.2g}; leave"
        " out columns that repeat others"
    )
    return [told]


def _warnings(problem: Problem, minimum: Certificate) -> list[str]:
    told = []
    if minimum.rank < len(minimum.params):
        where = " of the standardised weights" if problem.hyperparameters.standardize else ""
        told.append(
            f"the columns are dependent: {minimum.rank} of {len(minimum.params)} are independent,"
            f" many weights fit equally well, and these are the ones of least norm{where}"
        )
    if not all(minimum.unique):
        told.append(_not_alone(problem, minimum))
    return told


def _not_alone(problem: Problem, minimum: Certificate) -> str:
    """Say that the answer is a range, and which point of it is given."""
    found = [k for k, alone in enumerate(minimum.unique) if not alone]
    of = ""
    if problem.n_targets > 1:
        of = f" of {', '.join(problem.targets[k] for k in found)}"
    if problem.hyperparameters.loss == "huber":
        return (
            f"the least loss{of} is reached by a range of weights, of which these are one point:"
            " too few residuals are within huber_delta to tell them apart; raise huber_delta"
        )
    rows = ", ".join(str(minimum.at_kink[k]) for k in found)
    return (
        f"the least loss{of} is reached by a range of weights, of which these are a corner, where"
        f" {rows} rows are fitted exactly: the others have the same loss"
    )
