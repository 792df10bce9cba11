"""Jobs inside the engine: one `Trainee` each, and the `Batch` that trains together.

The engine's states go in and out; what has happened since the last report collects here.
"""

import contextlib
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from descend.errors import InvalidInput
from descend.history import COLUMNS, History
from descend.jobs import Hyperparameters, JobError, StopReason
from workers import training
from workers.loading import Loaded, load_problem
from workers.orders import Assignment
from workers.reports import MAX_BLOB_BYTES, Entry, Fate
from workers.tables import Block

__all__ = ["Trainee", "Work", "batches", "in_order", "load", "rehearse", "unloaded", "work_on"]

_SUCCESS = frozenset(
    {
        StopReason.CONVERGED,
        StopReason.SETTLED,
        StopReason.TARGET_GAP,
        StopReason.SOLVED,
        StopReason.MAX_EPOCHS,
    }
)
Blocks = Callable[[], Iterator[Block]]
T = TypeVar("T")
# An epoch takes some microseconds however small it is: as long as to read so many numbers.
EPOCH_CELLS = 5_000
ALIKE = 4


@dataclass(eq=False)
class Trainee:
    """A job with its data, and what is not yet reported of it.

    `known_epochs`: rows up to there are in the database from an earlier attempt.
    """

    job: Assignment
    loaded: Loaded
    device: str
    key: Hashable
    checkpoint: bytes | None
    epochs_done: int
    seconds: float = 0.0
    begun: bool = False
    ended: bool = False
    retried: bool = False
    rows: list[History] = field(default_factory=list)
    unreported_checkpoint: bytes | None = None
    known_epochs: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def problem(self) -> training.Problem:
        return self.loaded.problem

    def entry(self, fate: Fate, **more: object) -> Entry:
        """Say what happened since the last report; saying it once is enough."""
        rows, self.rows = self.rows, []
        saved, self.unreported_checkpoint = self.unreported_checkpoint, None
        self.ended = fate is not Fate.RUNNING
        return Entry(
            self.job.job_id,
            self.job.fence,
            fate=fate,
            epochs_done=self.epochs_done,
            history=_joined(rows, total=self.epochs_done),
            checkpoint=saved,
            device=self.device,
            **more,  # type: ignore[arg-type]  # the caller's keywords are Entry's
        )

    def note(self, rows: History, seconds: float) -> None:
        """Keep the new rows of one call into the engine."""
        self.epochs_done = rows.total
        self.seconds += seconds
        n_new = min(rows.total - self.known_epochs, len(rows))
        if n_new > 0:
            self.rows.append(rows.take(np.arange(len(rows) - n_new, len(rows))))

    def start_over(self) -> None:
        """Train from epoch 0: the checkpoint is damaged, or of another version of the engine."""
        self.checkpoint, self.known_epochs, self.epochs_done = None, self.job.epochs_done, 0
        self.warnings += ("the checkpoint could not be used: trained again from the start",)

    def failed(self, error: JobError) -> Entry:
        return self.entry(Fate.FAILED, stop_reason=StopReason.ERROR, error=error)

    def outcome(self, outcome: training.TrainingOutcome, blocks: Blocks | None = None) -> Entry:
        """Say what came of the training; `blocks`: the rows again, for what only they tell."""
        succeeded = outcome.stop_reason in _SUCCESS
        statistics, covariance = None, None
        if succeeded:
            statistics, covariance = training.statistics_of(
                self.problem, outcome, blocks, self.loaded.numbers
            )
        return self.entry(
            Fate.SUCCEEDED if succeeded else Fate.FAILED,
            stop_reason=outcome.stop_reason,
            coef=outcome.coef if succeeded else None,
            intercept=outcome.intercept if succeeded else None,
            metrics=outcome.metrics.model_copy(update={"train_seconds": self.seconds}),
            encoding=self.loaded.encoding if succeeded else None,
            statistics=statistics,
            covariance=covariance,
            error=outcome.error,
            resolved=outcome.resolved,
            engine=outcome.engine,
            warnings=self.warnings + outcome.warnings,
        )


class Batch:
    """Trainees of one key, and the engine's state of them."""

    def __init__(self, trainees: Sequence[Trainee]) -> None:
        self.trainees = trainees
        self.chunk_seconds = 0.0
        self._state = training.start(
            [trainee.problem for trainee in trainees],
            trainees[0].device,
            [trainee.checkpoint for trainee in trainees],
        )

    @property
    def cells(self) -> int:
        """Numbers that one epoch of the whole batch reads."""
        return sum(cells_of(trainee.problem) for trainee in self.trainees)

    @property
    def live(self) -> list[Trainee]:
        return [self.trainees[index] for index in self._state.live]

    def advance(self, epochs: int) -> list[Entry]:
        """Train every live job for up to `epochs` epochs; return entries of those that ended."""
        started = time.monotonic()
        self._state, segments = training.advance(self._state, epochs)
        self.chunk_seconds = time.monotonic() - started
        stopped = []
        for segment in segments:
            trainee = self.trainees[segment.index]
            trainee.note(segment.history, self.chunk_seconds)
            if segment.stop is not None:
                stopped.append(segment.index)
        return [self.trainees[index].outcome(self._outcome(index)) for index in stopped]

    def drop(self, trainee: Trainee) -> None:
        self._state = training.drop(self._state, self.trainees.index(trainee))

    def save(self) -> None:
        """Take a checkpoint of every live job, at the epoch at which its rows end."""
        for index in self._state.live:
            trainee = self.trainees[index]
            if trainee.epochs_done < trainee.known_epochs:
                continue  # the rows in the database are ahead: a checkpoint must end where they do
            with contextlib.suppress(InvalidInput):  # no longer finite: about to be stopped
                trainee.checkpoint = training.save(self._state, index)
                if len(trainee.checkpoint) <= MAX_BLOB_BYTES:  # more has no place in the database
                    trainee.unreported_checkpoint = trainee.checkpoint

    def _outcome(self, index: int) -> training.TrainingOutcome:
        return training.outcome(self._state, index)


class Solving:
    """One job that is solved rather than trained; it ends in its first advance."""

    def __init__(self, trainee: Trainee) -> None:
        self.chunk_seconds = 0.0
        self.live = [trainee]

    @property
    def cells(self) -> int:
        return sum(cells_of(trainee.problem) for trainee in self.live)

    def advance(self, epochs: int) -> list[Entry]:  # noqa: ARG002  there is only one
        started = time.monotonic()
        (trainee,) = self.live
        blocks = trainee.loaded.blocks()
        history, outcome = training.solve_exactly(trainee.problem, blocks)
        self.chunk_seconds = time.monotonic() - started
        trainee.note(history, self.chunk_seconds)
        self.live = []
        return [trainee.outcome(outcome, blocks)]

    def drop(self, trainee: Trainee) -> None:
        self.live.remove(trainee)

    def save(self) -> None:
        """There is nothing to save: it begins again."""


Work = Batch | Solving


def work_on(trainees: Sequence[Trainee]) -> Work:
    """Begin with trainees of one key."""
    if trainees[0].problem.hyperparameters.optimizer == "exact":
        return Solving(trainees[0])
    return Batch(trainees)


def load(job: Assignment, *, scratch: Path | None = None) -> Trainee:
    """Read the job's data and choose its device.

    Raises:
        DescendError: when the data cannot be read or the device is not there.
    """
    loaded = load_problem(job, scratch=scratch)
    problem = loaded.problem
    device, _ = training.choose_device(problem, job.device)
    return Trainee(
        job=job,
        loaded=loaded,
        device=device,
        key=(device, training.batch_key(problem, device)),
        checkpoint=job.checkpoint,
        epochs_done=job.epochs_done,
        warnings=loaded.warnings,
    )


def rehearse() -> None:
    """Train a little, so that what is set up at the first use is set up before the first job."""
    column = np.arange(3.0).reshape(3, 1)
    problem = training.Problem.of_rows(
        X=column,
        Y=column,
        sample_weight=None,
        features=("x",),
        targets=("y",),
        hyperparameters=Hyperparameters(max_epochs=2).resolved(seed=0),
    )
    state = training.start([problem], "cpu", [None])
    state, _ = training.advance(state, 2)
    training.outcome(state, 0)


def batches(trainees: Sequence[Trainee]) -> list[list[Trainee]]:
    """Group what may train together, in the order in which it is to be trained."""
    groups: dict[Hashable, list[Trainee]] = {}
    for trainee in trainees:
        groups.setdefault(trainee.key, []).append(trainee)
    return in_order(list(groups.values()), cost=_cost)


def in_order(batches: Sequence[T], *, cost: Callable[[T], float]) -> list[T]:
    """Cheap ones first, so that none waits for one more than ALIKE times as long; of those that are
    alike the longest first, so that what is left for the end, where others may be idle, is short
    (LPT, Graham 1969).
    """
    ordered: list[T] = []
    alike: list[T] = []
    for batch in sorted(batches, key=cost):
        if alike and cost(batch) > ALIKE * cost(alike[0]):
            ordered += reversed(alike)
            alike = []
        alike.append(batch)
    return [*ordered, *reversed(alike)]


def unloaded(job: Assignment, fate: Fate, *, error: JobError | None = None) -> Entry:
    """Make the entry of a job that never became a trainee."""
    return Entry(
        job.job_id,
        job.fence,
        fate=fate,
        epochs_done=job.epochs_done,
        stop_reason=None if error is None else StopReason.ERROR,
        error=error,
    )


def _cost(batch: Sequence[Trainee]) -> int:
    """Numbers read at most; an epoch of few, of one model or many, costs what `_floor` says."""
    epochs = max(t.job.hyperparameters.max_epochs - t.epochs_done for t in batch)
    floor = _floor(batch[0].job.hyperparameters)
    return max(1, epochs) * (floor + sum(cells_of(t.problem) for t in batch))


def _floor(h: Hyperparameters) -> int:
    """Numbers that are read in the time that an epoch's operations take, each one by itself.

    Measured on three rows: a penalty adds 0.3 of an epoch, held-out rows as much, momentum 0.1; a
    loss that is not squared takes 2 to 5.
    """
    more = 3 * bool(h.l2) + 3 * bool(h.l1) + 3 * bool(h.validation_fraction) + bool(h.momentum)
    return EPOCH_CELLS * (10 + more) * (1 if h.loss == "squared" else 3) // 10


def cells_of(problem: training.Problem) -> int:
    """Numbers that one epoch reads."""
    return problem.trained.design_rows * problem.n_features


def _joined(parts: Sequence[History], *, total: int) -> History | None:
    if not parts:
        return None
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
    return History(**columns, total=total)
