"""How far the models of a batch are: host-side arrays, one entry per model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.training.problem import Floats

__all__ = ["Ints", "Progress"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Progress:
    """Arrays over the models of a batch.

    Attributes:
        epoch: epochs done.
        stale: consecutive epochs, up to the last, whose objective changed by no more than tol.
        best_epoch: epoch of `best`.
        first: train_loss of epoch 0; NaN before it.
        first_gap: the gap at epoch 0; NaN before it and where no minimum is known.
        previous: the objective before the last step; NaN before the first.
        best: lowest eval_loss so far, train_loss where no rows are held out; infinity before.
        last_loss: train_loss of the last epoch done; not in checkpoints.
        bound: the stability bound where it has been computed, else NaN; not in checkpoints.
    """

    epoch: Ints
    stale: Ints
    best_epoch: Ints
    first: Floats
    first_gap: Floats
    previous: Floats
    best: Floats
    last_loss: Floats
    bound: Floats

    @classmethod
    def fresh(cls, n_models: int) -> "Progress":
        zeros, unknown = np.zeros(n_models, dtype=np.int64), np.full(n_models, np.nan)
        return cls(
            epoch=zeros,
            stale=zeros.copy(),
            best_epoch=zeros.copy(),
            first=unknown,
            first_gap=unknown.copy(),
            previous=unknown.copy(),
            best=np.full(n_models, np.inf),
            last_loss=unknown.copy(),
            bound=unknown.copy(),
        )

    def copy(self) -> "Progress":
        return Progress(**{name: column.copy() for name, column in vars(self).items()})
