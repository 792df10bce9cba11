"""A job followed until it ends: a bar with the loss's sparkline on a terminal, else plain lines."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

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
from descend.jobs import Job, JobState

if TYPE_CHECKING:
    from descend.commands.sessions import Session

__all__ = ["follow"]

CURVE_WIDTH = 24
_LINE_SECONDS = 2.0


@dataclass
class Seen:
    """What is known of a job so far, by its events."""

    job_id: str
    state: JobState
    epoch: int
    max_epochs: int
    since: datetime  # of `state`
    intent: str | None = None
    queue_position: int | None = None
    losses: list[float] = field(default_factory=list)

    def take(self, event: JobEvent) -> None:
        if isinstance(event, StateEvent):
            if event.at <= self.since:
                return  # the log is told from its beginning
            self.state = event.data.state
            if event.data.progress is not None:
                self.epoch = event.data.progress.epoch
        elif isinstance(event, ProgressEvent):
            self.state, self.intent = event.data.state, event.data.intent
            self.epoch, self.queue_position = event.data.progress.epoch, event.data.queue_position
        elif isinstance(event, HistoryEvent):
            losses = event.data.train_loss or []
            self.losses += [one for one in losses if one is not None and math.isfinite(one)]

    @property
    def standing(self) -> str:
        if self.state is JobState.QUEUED and self.queue_position:
            return f"queued, number {self.queue_position} in line"
        return f"{self.state}, {self.intent} asked for" if self.intent else str(self.state)

    @property
    def loss(self) -> str:
        return f"loss {number(self.losses[-1])}" if self.losses else ""


def follow(session: "Session", job: Job) -> Job:
    """Show a job's progress until it has ended, and return it as it ended."""
    if job.state.is_terminal:
        return job
    since = job.transitions[-1].at if job.transitions else job.created_at
    seen = Seen(job.id, job.state, job.progress.epoch, job.progress.max_epochs, since)
    with _shown(session) as shown:
        shown.update(seen)
        for event in session.client.events(job.id):
            seen.take(event)
            shown.update(seen)
    return session.client.job(job.id)


class Shown(Protocol):
    """Where progress is shown."""

    def update(self, seen: Seen) -> None: ...


@contextmanager
def _shown(session: "Session") -> Iterator[Shown]:
    if session.err.is_terminal and not session.err.is_dumb_terminal:
        with _bar(session.err) as bar:
            yield Bar(bar, unicode=session.err.encoding.startswith("utf"))
    else:
        yield Nothing() if session.as_json else Lines(session.err)


class Nothing:
    """With --json and no terminal, nobody looks."""

    def update(self, seen: Seen) -> None:
        pass


class Lines:
    """A line when the state changes, and every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._state: JobState | None = None
        self._next = 0.0

    def update(self, seen: Seen) -> None:
        now = time.monotonic()
        if seen.state is self._state and (now < self._next or seen.state is JobState.QUEUED):
            return
        self._state, self._next = seen.state, now + _LINE_SECONDS
        words = f"{seen.job_id} {seen.standing}"
        if seen.epoch:
            words += f": epoch {seen.epoch} of {seen.max_epochs}"
        self._console.print(Text(", ".join([words, *([seen.loss] if seen.losses else [])])))


class Bar:
    """One line that is drawn anew: state, bar, epochs, loss and how it fell, time left."""

    def __init__(self, progress: Progress, *, unicode: bool) -> None:
        self._progress, self._unicode = progress, unicode
        self._task: TaskID = progress.add_task("", total=None, loss="", curve="", epochs="")

    def update(self, seen: Seen) -> None:
        ended = seen.state.is_terminal
        self._progress.update(
            self._task,
            description=seen.standing,
            total=seen.max_epochs,
            completed=seen.max_epochs if ended else seen.epoch,
            epochs=f"{seen.epoch}/{seen.max_epochs}",
            loss=seen.loss,
            curve=sparkline(seen.losses, CURVE_WIDTH, unicode=self._unicode),
        )
        if ended:
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
