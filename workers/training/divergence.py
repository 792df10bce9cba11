"""Why a run diverged: the bound it broke, the direction and columns that set it, and remedies."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from pydantic import JsonValue

from descend.jobs import Hyperparameters, JobError
from descend.statistics import INTERCEPT
from workers.training.losses import Loss
from workers.training.objective import Matrices
from workers.training.problem import Floats
from workers.training.rate import adam_rate, auto_rate, best_rate, stability_bound
from workers.training.setup import Setup
from workers.training.spectrum import spectrum

__all__ = ["diagnose", "guilty_columns", "largest_parts"]

# A column is named when it holds a tenth of the squared length of the steepest direction.
GUILTY_SHARE = 0.1
NAMED_AT_MOST = 10
# What another optimizer than the one at fault does not read.
_NOT_OF_SGD = ("betas", "eps", "weight_decay", "history_size")
_NOT_OF_ADAM = ("momentum", "nesterov")


@dataclass(frozen=True)
class Facts:
    """The numbers that the texts are made of."""

    rate: float
    bound: float | None
    best: float | None
    safe: float  # what auto would have been
    plain: float  # and for plain sgd
    adam: float
    columns: tuple[str, ...]
    spread: float  # standard deviation of the first of them, in its own units
    curvature: float  # lambda_max
    direction: dict[str, float]


def diagnose(setup: Setup, *, epoch: int, loss: float) -> JobError:
    """Explain a divergence.

    The steepest direction of the objective is the eigenvector of the Hessian's largest eigenvalue;
    the columns that make it up, by name, are what a user can act upon.

    Args:
        setup: the problem and its rate.
        epoch: of the loss at which training was stopped.
        loss: that loss, which may be infinite or NaN.

    Returns:
        code "diverged"; detail {learning_rate, bound, best_rate, epoch, columns, direction,
        remedies, changes}. bound and best_rate are null for adam and adamw, which have none.
        changes are the hyperparameters that each remedy sets, null for what it takes back, {} where
        it is the data that changes.
    """
    facts = _facts(setup)
    h = setup.hyperparameters
    columns, direction = list(facts.columns), dict(facts.direction)
    remedies, changes = list(_remedies(setup, facts)), list(_changes(setup, facts))
    return JobError(
        code="diverged",
        message=_message(setup, facts, epoch=epoch, loss=loss),
        param="hyperparameters." + ("optimizer" if h.optimizer == "lbfgs" else "learning_rate"),
        detail={
            "learning_rate": None if h.learning_rate is None else facts.rate,
            "bound": facts.bound,
            "best_rate": facts.best,
            "epoch": epoch,
            "columns": [*columns],
            "direction": {**direction},
            "remedies": [*remedies],
            "changes": [*changes],
        },
    )


def _facts(setup: Setup) -> Facts:
    h, arranged = setup.hyperparameters, setup.matrices()
    found = spectrum(setup.problem, arranged)
    bound = stability_bound(h, found)
    known = bound is not None and np.isfinite(bound) and bound > 0 and not _boundless(h)
    names = [*setup.problem.features, *([INTERCEPT] if h.fit_intercept else [])]
    direction = largest_parts(found.direction, names)
    guilty = guilty_columns(direction) or _largest_columns(setup)
    return Facts(
        rate=setup.rate,
        bound=bound if known else None,
        best=best_rate(h, found) if known else None,
        safe=auto_rate(setup.problem, arranged, setup.start, rows=setup.rows_sampled()),
        plain=_plain_rate(setup, arranged),
        adam=adam_rate(setup.problem, arranged, setup.start),
        columns=guilty,
        spread=_spread(setup, guilty[0]),
        curvature=found.largest,
        direction=direction,
    )


def _boundless(h: Hyperparameters) -> str | None:
    """Say why there is no bound to compare a rate with, where no Hessian sets one."""
    if h.batch_size is not None:
        return (
            f"for steps on batches of {h.batch_size} rows: a batch may curve far more than all rows"
            " together do"
        )
    if Loss.of(h).curvature is None:
        return f"under {h.loss} loss, whose steps are as long near the minimum as far from it"
    return None


def _plain_rate(setup: Setup, arranged: Matrices) -> float:
    plain = {"optimizer": "sgd", "momentum": 0.0, "nesterov": False}
    h = setup.hyperparameters.model_copy(update=plain)
    problem = replace(setup.problem, hyperparameters=h)
    return auto_rate(problem, arranged, setup.start, rows=setup.rows_sampled())


def _spread(setup: Setup, name: str) -> float:
    scaling = setup.problem.summary.scaling(standardize=True, fit_intercept=True)
    return float(scaling.scale[setup.problem.features.index(name)])


def largest_parts(vector: Floats, names: list[str]) -> dict[str, float]:
    """Name the ten largest components, largest first."""
    order = np.argsort(-np.abs(vector), kind="stable")[:NAMED_AT_MOST]
    return {names[place]: float(vector[place]) for place in order}


def guilty_columns(direction: dict[str, float]) -> tuple[str, ...]:
    """Choose the columns that hold a tenth of the direction's squared length, at least one."""
    of_columns = {name: size for name, size in direction.items() if name != INTERCEPT}
    share = {name: size**2 for name, size in of_columns.items() if size}
    named = tuple(name for name, value in share.items() if value >= GUILTY_SHARE)
    return named or tuple(list(share)[:1])


def _largest_columns(setup: Setup) -> tuple[str, ...]:
    """Where the Hessian overflows there is no direction: the largest column is at fault."""
    return (setup.problem.features[int(setup.problem.summary.largest().argmax())],)


def _message(setup: Setup, facts: Facts, *, epoch: int, loss: float) -> str:
    h = setup.hyperparameters
    told = f"the loss reached {loss:.3g} at epoch {epoch}"
    if h.optimizer == "lbfgs":
        return f"{told}: the numbers leave the range of {h.dtype}"
    if h.optimizer != "sgd":
        decayed = facts.rate * (h.weight_decay or 0.0)
        return (
            f"{told}: learning_rate {facts.rate:.5g} is too large. {h.optimizer} has no stability"
            " bound: its step is about the rate in every coordinate, whatever the gradient"
            + (f"; but rate * weight_decay is {decayed:.3g}, above 2" if decayed >= 2 else "")
        )
    if (why := _boundless(h)) is not None:
        return f"{told}: learning_rate {facts.rate:.5g} is too large {why}"
    if facts.bound is None:
        return f"{told}: the columns are so large that the loss's curvature overflows"
    culprits = ", ".join(facts.columns)
    if facts.rate >= facts.bound:
        return (
            f"{told}: learning_rate {facts.rate:.5g} is at or above {facts.bound:.5g}, the bound"
            f" below which {_method(setup)} is stable on this data; it is set by {culprits}"
        )
    return (
        f"{told}, though learning_rate {facts.rate:.5g} is below the bound {facts.bound:.5g}:"
        f" the numbers leave the range of {h.dtype}"
    )


def _remedies(setup: Setup, facts: Facts) -> tuple[str, str, str]:
    h = setup.hyperparameters
    culprits = ", ".join(facts.columns)
    if h.optimizer == "lbfgs":
        lower = f"Divide {culprits} by a power of ten, so that its values are near 1."
    elif facts.bound is not None or _boundless(h) is not None:
        auto = ", or to auto, which is that on this data" if h.loss == "squared" else ""
        lower = f"Set learning_rate to {facts.safe:.5g}{auto}."
    else:
        lower = f"Set learning_rate to {facts.rate / 10:.5g}, a tenth of it, or to auto."
    if h.standardize:
        scale = (
            f"Remove or combine columns that repeat each other: together {culprits} curve the loss"
            f" by {facts.curvature:.4g}, where one alone has {Loss.of(h).curvature or 1:g}."
        )
    else:
        scale = (
            f"Set standardize to true: it divides {facts.columns[0]} by its standard deviation,"
            f" {facts.spread:.4g}, and likewise the others."
        )
    if h.optimizer != "sgd":
        other = f"Use optimizer sgd with learning_rate {facts.plain:.5g}, which this data allows."
    elif facts.bound is None and _boundless(h) is None:
        other = f"Divide {culprits} by a power of ten, so that its values are near 1."
    else:
        other = f"Use optimizer adam, which has no such bound, at a rate near {facts.adam:.3g}."
    return lower, scale, other


def _changes(setup: Setup, facts: Facts) -> Iterator[dict[str, JsonValue]]:
    """The settings of `_remedies`, in their order, at the rates that their texts name."""
    h, bounded = setup.hyperparameters, facts.bound is not None
    if h.optimizer == "lbfgs":
        yield {}
    else:
        rate = facts.safe if bounded or _boundless(h) is not None else facts.rate / 10
        yield {"learning_rate": _told(rate, digits=5)}
    if h.standardize:
        yield {}
    else:
        yield {"standardize": True} | ({} if h.optimizer == "lbfgs" else {"learning_rate": "auto"})
    if h.optimizer != "sgd":
        rate = _told(facts.plain, digits=5)
        yield {"optimizer": "sgd", "learning_rate": rate, **dict.fromkeys(_NOT_OF_SGD)}
    elif not bounded and _boundless(h) is None:
        yield {}
    else:
        rate = _told(facts.adam, digits=3)
        yield {"optimizer": "adam", "learning_rate": rate, **dict.fromkeys(_NOT_OF_ADAM)}


def _told(rate: float, *, digits: int) -> float:
    """The rate as a text names it."""
    return float(f"{rate:.{digits}g}")


def _method(setup: Setup) -> str:
    mu = setup.hyperparameters.momentum
    if not mu:
        return "gradient descent"
    kind = "Nesterov" if setup.hyperparameters.nesterov else "heavy-ball"
    return f"gradient descent with {kind} momentum {mu:g}"
