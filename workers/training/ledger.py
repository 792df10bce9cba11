"""What models did during one call of `advance`, gathered block by block."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from descend.history import History
from descend.jobs import StopReason
from workers.training.judge import Readings, Verdicts
from workers.training.problem import Floats
from workers.training.progress import Ints, Progress
from workers.training.state import TrainingState

__all__ = ["Ledger", "Segment"]


@dataclass(frozen=True, eq=False)
class Segment:
    """What one model did in one call of `advance`.

    Attributes:
        model: its index in the batch.
        history: the rows of this call; `total` counts all epochs done.
        stop: why it stopped, None while it trains.
    """

    model: int
    history: History
    stop: StopReason | None


class Ledger:
    """Histories of the models of one `advance`, all of which train equally many epochs at most."""

    def __init__(self, models: Sequence[int], progress: Progress, *, room: int) -> None:
        self.room = room
        self._models = tuple(models)
        self._row = {model: row for row, model in enumerate(models)}
        self._begun = progress.epoch[list(models)]
        self._figures = np.empty((3, len(models), room))  # loss, held loss, norm
        self._counts = np.zeros(len(models), dtype=np.int64)
        self._done = 0

    def enter(self, models: Ints, readings: Readings, verdicts: Verdicts) -> None:
        """Note a block of epochs for the models that took part in it."""
        steps = len(readings.loss)
        rows = [self._row[model] for model in models.tolist()]
        place = slice(self._done, self._done + steps)
        for figure, values in enumerate((readings.loss, readings.held_loss, readings.norm)):
            self._figures[figure, rows, place] = values.T
        self._counts[rows] += verdicts.counts
        self._done += steps
        self.room -= steps

    def segments(self, state: TrainingState) -> list[Segment]:
        return [self._segment(row, model, state) for row, model in enumerate(self._models)]

    def _segment(self, row: int, model: int, state: TrainingState) -> Segment:
        count, begun = int(self._counts[row]), int(self._begun[row])
        loss, held_loss, norm = self._figures[:, row, :count]
        history = History(
            epoch=np.arange(begun, begun + count, dtype=np.int64),
            train_loss=loss,
            eval_loss=held_loss,
            learning_rate=_constant(state.setups[model].rate, count),
            grad_norm=norm,
            total=begun + count,
        )
        return Segment(model, history, state.stops.get(model))


def _constant(value: float, count: int) -> Floats:
    return np.full(count, value)
