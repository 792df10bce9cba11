"""A job watched: a bar with the loss's sparkline on a terminal, bar and curve in a notebook."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from descend.charts import number, sparkline
from descend.events import HistoryEvent, JobEvent, ProgressEvent, StateEvent
from descend.history import History
from descend.jobs import Job
from descend.views import progress_html

__all__ = ["Watched", "shown"]

_CURVE_WIDTH = 24
_NOTEBOOK_SECONDS = 0.2


class Watched:
    """What is known of a job from its events so far."""

    def __init__(self, job: Job) -> None:
        self.job_id, self.state = job.id, str(job.state)
        self.epoch, self.max_epochs = job.progress.epoch, job.progress.max_epochs
        self.ended = job.state.is_terminal
        self._epochs: list[int] = []
        self._losses: list[float | None] = []

    def learn(self, event: JobEvent) -> None:
        if isinstance(event, HistoryEvent):
            self._epochs += event.data.epoch
            self._losses += event.data.train_loss or [None] * len(event.data.epoch)
            return
        if isinstance(event, StateEvent | ProgressEvent):
            self.state = str(event.data.state)
            if event.data.progress is not None:
                self.epoch = event.data.progress.epoch
        if isinstance(event, StateEvent) and event.data.state.is_terminal:
            self.ended, self.state = True, str(event.data.stop_reason or event.data.state)

    @property
    def history(self) -> History:
        losses = np.array([np.nan if loss is None else loss for loss in self._losses], float)
        none = np.full(len(losses), np.nan)
        epochs = np.array(self._epochs, np.int64)
        return History(epochs, losses, none, none, none, none, total=len(losses))


class Display(Protocol):
    """Where a job is shown."""

    def show(self, watched: Watched) -> None: ...


@contextmanager
def shown(console: Console | None = None) -> Iterator[Display]:
    """Show a job for the length of a block, on the terminal or below a notebook's cell."""
    console = console or Console()
    if console.is_jupyter:
        yield _Notebook()
        return
    with _bar(console) as progress:
        yield _Terminal(progress)


class _Terminal:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, loss="", curve="")

    def show(self, watched: Watched) -> None:
        losses = watched.history.train_loss
        finite = losses[np.isfinite(losses)]
        self._progress.update(
            self._task,
            description=watched.state,
            total=max(watched.epoch, 1) if watched.ended else watched.max_epochs,
            completed=watched.epoch,
            loss=f"loss {number(float(finite[-1]))}" if len(finite) else "",
            curve=sparkline(losses, _CURVE_WIDTH),
        )


class _Notebook:
    """A cell's output that is drawn anew, a few times a second."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._next = 0.0

    def show(self, watched: Watched) -> None:
        from IPython.display import HTML, display

        now = time.monotonic()
        if now < self._next and not watched.ended:
            return
        self._next = now + _NOTEBOOK_SECONDS
        page = HTML(
            progress_html(
                watched.job_id, watched.state, watched.epoch, watched.max_epochs, watched.history
            )
        )
        if self._handle is None:
            self._handle = display(page, display_id=True)
        else:
            self._handle.update(page)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:,.0f} epochs"),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[curve]}", style="cyan"),
        TimeElapsedColumn(),
        console=console,
    )
