"""What a warning advises: words, and the hyperparameters that they change.

A remedy that the parser would refuse is not given: `exact` reads no batch_size, adam no momentum.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from descend.jobs import Hyperparameters
from workers.training.certificate import CERTIFICATE_COST
from workers.training.losses import Loss
from workers.training.schedules import falls
from workers.training.setup import Setup

__all__ = ["changed", "closer", "exactly", "listed", "lower_tol", "swamped"]

# What nothing but steps reads: taken back where there are none.
_OF_STEPS = (
    "learning_rate",
    "schedule",
    "batch_size",
    "shuffle",
    "max_epochs",
    "tol",
    "patience",
    "target_gap",
    "init",
    "dtype",
    "momentum",
    "nesterov",
    "betas",
    "eps",
    "weight_decay",
    "history_size",
)
# And what lbfgs does not read; a batch_size is no matter of taste: it stays.
_OF_RATES = (
    "learning_rate",
    "schedule",
    "momentum",
    "nesterov",
    "betas",
    "eps",
    "weight_decay",
)
# Adam's eps counts where it is more than this part of the largest gradient.
SWAMPS = 0.1


def changed(h: Hyperparameters, changes: Mapping[str, Any]) -> Hyperparameters | None:
    """Apply changes, None taking a field back; None where the parser refuses them together."""
    body = h.model_dump(mode="json", exclude_none=True) | dict(changes)
    try:
        return Hyperparameters.model_validate({k: v for k, v in body.items() if v is not None})
    except ValidationError:
        return None


def exactly(h: Hyperparameters, *, verb: str = "use") -> str | None:
    """Advise to solve, and name what was asked for that a solution does not read.

    None where this loss has no exact solution, and where it was solved already.
    """
    if h.optimizer == "exact":
        return None
    plain = Hyperparameters(optimizer=h.optimizer, loss=h.loss).resolved(0)
    # What null stands for, be it asked for or filled in, is not told apart from it.
    unset = {name: getattr(plain, name) for name in _OF_STEPS}
    unset |= {"learning_rate": "auto", "shuffle": True}
    given = [name for name in _OF_STEPS if getattr(h, name) not in (None, unset[name])]
    if changed(h, {"optimizer": "exact", **dict.fromkeys(_OF_STEPS)}) is None:
        return None
    without = f" (without {listed(given, 'and')})" if given else ""
    return f"{verb} optimizer exact{without}"


def lower_tol(h: Hyperparameters) -> str:
    """Tol counts as no less than the precision of the dtype: below it only another dtype helps."""
    return "lower tol" if h.tol > np.finfo(h.dtype).eps else "use dtype float64"


def closer(setup: Setup) -> str:
    """Name what would bring a run that max_epochs ended closer to the optimum."""
    h = setup.problem.hyperparameters
    if h.optimizer != "lbfgs" and Loss.of(h).curvature is None and not falls(h):
        return f"the gradient of {h.loss} loss does not fade, but a schedule that falls"
    if h.loss != "squared":
        taken_back = dict.fromkeys(name for name in _OF_RATES if getattr(h, name) is not None)
        lbfgs = changed(h, {"optimizer": "lbfgs", **taken_back})
        return (
            "more epochs"
            if lbfgs is None or h.optimizer == "lbfgs"
            else ("more epochs or optimizer lbfgs")
        )
    accelerates = h.optimizer == "sgd" and not h.momentum and not falls(h)
    return "more epochs or a momentum" if accelerates else "more epochs"


def swamped(setup: Setup) -> str | None:
    """Say that adam's eps is more than the gradients that it only is to keep from 0.

    Steps are rate * m / (sqrt(v) + eps): with eps above the gradients they are no longer about the
    rate, but the gradient's part of it, as those of sgd are.
    """
    h = setup.hyperparameters
    if h.eps is None or h.loss not in {"squared", "huber"}:
        return None
    arranged = setup.matrices()
    if arranged.A.size * setup.problem.n_targets > CERTIFICATE_COST:
        return None
    residuals = arranged.A @ setup.start - arranged.B
    if arranged.weights is not None:
        residuals *= arranged.weights[:, np.newaxis]
    largest = float(np.abs(arranged.A.T @ residuals).max()) * 2 / residuals.size
    if h.loss == "huber":
        largest = min(largest / 2, h.huber_delta or largest)
    if largest == 0 or h.eps <= SWAMPS * largest:
        return None
    return (
        f"{h.optimizer}'s eps ({h.eps:g}) swamps the gradients, which begin at {largest:.2g}: its"
        f" steps are a part of learning_rate only; lower eps to {1e-6 * largest:.1g}, or multiply"
        " the targets by a power of ten"
    )


def listed(words: Sequence[str], last: str = "or") -> str:
    """Join words as a sentence does: a, b or c."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
