"""A job followed until it ends: a bar with the loss's sparkline on a terminal, else plain lines."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

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

from descend.commands.charts import number, sparkline
from descend.history import History
from descend.jobs import Job, JobState

if TYPE_CHECKING:
    from descend.client import Client
    from descend.commands.sessions import Session

__all__ = ["follow"]

POINTS = 24
_LOOK_SECONDS = 0.5
_LINE_SECONDS = 2.0


def follow(session: "Session", job: Job) -> Job:
    """Show a job's progress until it has ended, and return it as it ended."""
    with _shown(session) as shown:
        for seen, history in _looks(session.client, job):
            shown.update(seen, history)
    return seen


def _looks(client: "Client", job: Job) -> Iterator[tuple[Job, History]]:
    while True:
        history = client.history(job.id, max_points=POINTS) if job.attempt else History.empty()
        yield job, history
        if job.state.is_terminal:
            return
        job = client.job(job.id, wait_seconds=_LOOK_SECONDS)


class Shown(Protocol):
    """Where progress is shown."""

    def update(self, job: Job, history: History) -> None: ...


@contextmanager
def _shown(session: "Session") -> Iterator[Shown]:
    if session.err.is_terminal and not session.err.is_dumb_terminal:
        with _bar(session.err) as bar:
            yield Bar(bar, unicode=session.err.encoding.startswith("utf"))
    else:
        yield Nothing() if session.as_json else Lines(session.err)


class Nothing:
    """With --json and no terminal, nobody looks."""

    def update(self, job: Job, history: History) -> None:
        pass


class Lines:
    """A line when the state changes, and every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._state: JobState | None = None
        self._next = 0.0

    def update(self, job: Job, history: History) -> None:
        now = time.monotonic()
        if job.state is self._state and (now < self._next or job.state is JobState.QUEUED):
            return
        self._state, self._next = job.state, now + _LINE_SECONDS
        words = f"{job.id} {_standing(job)}"
        if job.progress.epoch:
            words += f": epoch {job.progress.epoch} of {job.progress.max_epochs}"
        if (loss := _last(history)) is not None:
            words += f", loss {number(loss)}"
        self._console.print(Text(words), soft_wrap=True)


class Bar:
    """One line that is drawn anew: state, bar, epochs, loss and how it fell, time left."""

    def __init__(self, progress: Progress, *, unicode: bool) -> None:
        self._progress, self._unicode = progress, unicode
        self._task: TaskID = progress.add_task("", total=None, loss="", curve="", epochs="")

    def update(self, job: Job, history: History) -> None:
        loss = _last(history)
        self._progress.update(
            self._task,
            description=_standing(job),
            total=job.progress.max_epochs,
            completed=job.progress.max_epochs if job.state.is_terminal else job.progress.epoch,
            epochs=f"{job.progress.epoch}/{job.progress.max_epochs}",
            loss="" if loss is None else f"loss {number(loss)}",
            curve=sparkline(history.train_loss, POINTS, unicode=self._unicode),
        )
        self._progress.refresh()


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


def _standing(job: Job) -> str:
    if job.state is JobState.QUEUED and job.queue_position:
        return f"queued, number {job.queue_position} in line"
    return f"{job.state}, {job.intent} asked for" if job.intent else str(job.state)


def _last(history: History) -> float | None:
    finite = history.train_loss[np.isfinite(history.train_loss)]
    return float(finite[-1]) if len(finite) else None
