"""How rates fall from epoch to epoch; epochs count from 0 (numpy)."""

from collections.abc import Sequence

import numpy as np

from descend.jobs import Hyperparameters
from workers.training.progress import Ints
from workers.training.scaling import Floats
from workers.training.setup import Setup

__all__ = ["factors", "falls", "of_lanes", "rates"]


def falls(h: Hyperparameters) -> bool:
    """Whether the rate changes at all."""
    return h.schedule is not None and h.schedule.type != "constant"


def factors(h: Hyperparameters, epochs: Ints) -> Floats:
    """Compute what the rate is multiplied by in each of these epochs.

        step      factor^(epoch // every)
        cosine    floor + (1 - floor) (1 + cos(pi epoch / max_epochs)) / 2
        inverse   1 / (1 + decay epoch)

    Notes:
        These are torch.optim.lr_scheduler's StepLR, CosineAnnealingLR(T_max=max_epochs,
        eta_min=floor * rate) and a LambdaLR, in closed form, so that no epoch needs the one
        before it.
    """
    schedule = h.schedule
    if schedule is None or schedule.type == "constant":
        return np.ones(len(epochs))
    if schedule.type == "step":
        return np.asarray(schedule.factor ** (epochs // schedule.every).astype(np.float64))
    if schedule.type == "cosine":
        wave = (1 + np.cos(np.pi * epochs / h.max_epochs)) / 2
        return np.asarray(schedule.floor + (1 - schedule.floor) * wave)
    return np.asarray(1 / (1 + schedule.decay * epochs))


def of_lanes(
    setups: Sequence[Setup], lanes: Sequence[int], begun: Ints, steps: int
) -> Floats | None:
    """Compute the factors of the epochs to come, (lanes, steps); None where no rate falls.

    Either all models of a batch have a schedule, or none has (batch_key).
    """
    if not falls(setups[0].hyperparameters):
        return None
    to_come = np.arange(steps)
    return np.stack([factors(setups[m].hyperparameters, begun[m] + to_come) for m in lanes])


def rates(setup: Setup, begin: int, end: int) -> Floats:
    """Compute the rates of the epochs begin to end - 1."""
    return setup.rate * factors(setup.hyperparameters, np.arange(begin, end, dtype=np.int64))
