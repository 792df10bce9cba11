"""What models did during one call of `advance`, gathered block by block."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from descend.history import History
from descend.jobs import StopReason
from workers.training.judge import Readings, Verdicts
from workers.training.problem import Floats
from workers.training.progress import Ints, Progress
from workers.training.schedules import falls, rates
from workers.training.state import TrainingState

__all__ = ["Ledger", "Segment"]


@dataclass(frozen=True, eq=False)
class Segment:
    """What one model did in one call of `advance`.

    Attributes:
        index: the model in the batch.
        history: the rows of this call; `total` counts all epochs done.
        stop: why it stopped, None while it trains.
    """

    index: int
    history: History
    stop: StopReason | None


class Ledger:
    """Histories of the models of one `advance`, all of which train equally many epochs at most."""

    def __init__(self, models: Sequence[int], progress: Progress, *, room: int) -> None:
        self.room = room
        self._row = {model: row for row, model in enumerate(models)}
        self._begun = progress.epoch[list(models)]
        self._counts = np.zeros(len(models), dtype=np.int64)
        self._loss = np.empty((len(models), room))
        self._norm = np.empty((len(models), room))
        self._held_loss: Floats | None = None
        self._gap: Floats | None = None
        self._done = 0

    def enter(self, models: Ints, readings: Readings, verdicts: Verdicts) -> None:
        """Note a block of epochs for the models that took part in it."""
        steps = len(readings.loss)
        rows: slice | list[int] = slice(None)
        if len(models) < len(self._row):
            rows = [self._row[model] for model in models.tolist()]
        place = slice(self._done, self._done + steps)
        self._loss[rows, place] = readings.loss.T
        self._norm[rows, place] = readings.norm.T
        if readings.held_loss is not None:
            if self._held_loss is None:
                self._held_loss = np.empty(self._loss.shape)
            self._held_loss[rows, place] = readings.held_loss.T
        if readings.gap is not None:
            if self._gap is None:
                self._gap = np.empty(self._loss.shape)
            self._gap[rows, place] = readings.gap.T
        self._counts[rows] += verdicts.counts
        self._done += steps
        self.room -= steps

    def segments(self, state: TrainingState) -> list[Segment]:
        """One segment per model; columns that many models share are the same memory."""
        begun, counts = self._begun.tolist(), self._counts.tolist()
        numbered, repeated = cache(_numbered), cache(_repeated)
        falling = falls(state.setups[0].hyperparameters)
        segments = []
        for row, model in enumerate(self._row):
            count, total = counts[row], begun[row] + counts[row]
            history = History(
                epoch=numbered(begun[row], total),
                train_loss=self._loss[row, :count],
                eval_loss=repeated(np.nan, count)
                if self._held_loss is None
                else self._held_loss[row, :count],
                learning_rate=rates(state.setups[model], begun[row], total)
                if falling
                else repeated(state.setups[model].rate, count),
                grad_norm=self._norm[row, :count],
                gap=repeated(np.nan, count) if self._gap is None else self._gap[row, :count],
                total=total,
            )
            segments.append(Segment(model, history, state.stops.get(model)))
        return segments


def _numbered(begin: int, end: int) -> Ints:
    return np.arange(begin, end, dtype=np.int64)


def _repeated(value: float, count: int) -> Floats:
    """Return `count` times the value in the memory of one, read-only."""
    return np.ndarray(count, np.float64, np.float64(value).tobytes(), strides=(0,))
