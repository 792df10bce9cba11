"""A job watched: a bar with the loss's curve on a terminal, a cell in a notebook, else lines."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from descend.charts import number, sparkline
from descend.events import HistoryEvent, JobEvent, ProgressEvent, StateEvent
from descend.history import History
from descend.jobs import Job, JobPhase, JobState, StopReason
from descend.views import progress_html

__all__ = ["Display", "Watched", "shown"]

_CURVE_WIDTH = 24
_BEFORE_EPOCHS = {JobPhase.WAITING, JobPhase.LOADING}
_NOTEBOOK_SECONDS = 0.2
_LINE_SECONDS = 2.0


class Watched:
    """What is known of a job, by its events so far."""

    def __init__(self, job: Job) -> None:
        self.job_id, self.state = job.id, job.state
        self.stop_reason: StopReason | None = job.stop_reason
        self.epoch, self.max_epochs = job.progress.epoch, job.progress.max_epochs
        self.intent: str | None = job.intent
        self.phase: JobPhase | None = job.progress.phase
        self.queue_position: int | None = job.queue_position
        self._since: datetime = job.transitions[-1].at if job.transitions else job.created_at
        self._epochs: list[int] = []
        self._losses: list[float] = []

    def learn(self, event: JobEvent) -> None:
        if isinstance(event, StateEvent):
            if event.at <= self._since:
                return  # the log is told from its beginning
            self.state, self.stop_reason = event.data.state, event.data.stop_reason
            if event.data.progress is not None:
                self.epoch = event.data.progress.epoch
        elif isinstance(event, ProgressEvent):
            self.state, self.intent = event.data.state, event.data.intent
            self.phase = event.data.progress.phase
            self.epoch, self.queue_position = event.data.progress.epoch, event.data.queue_position
        elif isinstance(event, HistoryEvent):
            if self.state is JobState.RUNNING and event.data.epoch:
                self.phase = JobPhase.TRAINING  # losses come sooner than what is told of progress
            losses = event.data.train_loss or [None] * len(event.data.epoch)
            self._epochs += event.data.epoch
            self._losses += [np.nan if loss is None else loss for loss in losses]

    @property
    def standing(self) -> str:
        """The state in words."""
        if self.state is JobState.QUEUED and self.queue_position:
            return f"queued, number {self.queue_position} in line"
        if self.state.is_terminal:
            return f"{self.state} ({self.stop_reason})" if self.stop_reason else str(self.state)
        if self.intent:
            return f"{self.state}, {self.intent} asked for"
        held_up = self.state is JobState.RUNNING and self.phase in _BEFORE_EPOCHS
        return f"{self.state}, {self.phase}" if held_up else str(self.state)

    @property
    def loss(self) -> str:
        """The newest loss that is a number, in words; nothing where there is none."""
        if self.diverged:
            return ""
        finite = (loss for loss in reversed(self._losses) if np.isfinite(loss))
        newest = next(finite, None)
        return "" if newest is None else f"loss {number(newest)}"

    @property
    def diverged(self) -> bool:
        """Whether its last losses say nothing: the failure tells the one that matters."""
        return self.stop_reason is StopReason.DIVERGED

    @property
    def history(self) -> History:
        losses = np.array(self._losses, dtype=np.float64)
        none = np.full(len(losses), np.nan)
        epochs = np.array(self._epochs, dtype=np.int64)
        return History(epochs, losses, none, none, none, none, total=len(losses))


class Display(Protocol):
    """Where a job is shown."""

    def show(self, watched: Watched) -> None: ...


@contextmanager
def shown(console: Console | None = None) -> Iterator[Display]:
    """Show a job for the length of a block: below a notebook's cell, on the terminal, in lines."""
    console = console or Console()
    if console.is_jupyter:
        yield _Notebook()
    elif console.is_terminal and not console.is_dumb_terminal:
        with _bar(console) as progress:
            yield _Terminal(progress, unicode=console.encoding.startswith("utf"))
    else:
        yield _Lines(console)


class _Terminal:
    """One line that is drawn anew: state, bar, epochs, loss and how it fell, time left."""

    def __init__(self, progress: Progress, *, unicode: bool) -> None:
        self._progress, self._unicode = progress, unicode
        self._task: TaskID = progress.add_task("", total=None, loss="", curve="", epochs="")

    def show(self, watched: Watched) -> None:
        ended = watched.state.is_terminal
        self._progress.update(
            self._task,
            description=watched.standing,
            total=watched.max_epochs,
            completed=watched.max_epochs if ended else watched.epoch,
            epochs="" if watched.diverged else f"{watched.epoch}/{watched.max_epochs}",
            loss=watched.loss,
            curve=sparkline(watched.history.train_loss, _CURVE_WIDTH, unicode=self._unicode),
        )
        if ended:
            self._progress.refresh()


class _Lines:
    """A line when the state changes, and every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._state: JobState | None = None
        self._next = 0.0

    def show(self, watched: Watched) -> None:
        now, state = time.monotonic(), watched.state
        if state is self._state and (now < self._next or state is JobState.QUEUED):
            return
        self._state, self._next = state, now + _LINE_SECONDS
        words = f"{watched.job_id} {watched.standing}"
        if watched.epoch and not watched.diverged:
            words += f": epoch {watched.epoch} of {watched.max_epochs}"
        loss = watched.loss
        self._console.print(Text(f"{words}, {loss}" if loss else words), soft_wrap=True)


class _Notebook:
    """A cell's output that is drawn anew, a few times a second."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._next = 0.0

    def show(self, watched: Watched) -> None:
        from IPython.display import HTML, display

        now = time.monotonic()
        if now < self._next and not watched.state.is_terminal:
            return
        self._next = now + _NOTEBOOK_SECONDS
        page = HTML(
            progress_html(
                watched.job_id, watched.standing, watched.epoch, watched.max_epochs, watched.history
            )
        )
        if self._handle is None:
            self._handle = display(page, display_id=True)
        else:
            self._handle.update(page)


def _bar(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[epochs]}"),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[curve]}", style="cyan"),
        TimeRemainingColumn(compact=True),
        console=console,
    )
