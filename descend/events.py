"""What happens to jobs, event by event: one shape in JSON lists and in event streams.

`GET /v1/jobs/{id}/events` is the log of one job. Its events have ids, and an id is a place in the
log: given back (`Last-Event-ID`, or `?last_event_id=`) it leads to exactly what comes after it, at
any API process, also after a restart. Three types have ids:

    state     the job was queued, claimed, given back, or has ended
    warning   a warning was added
    history   the rows [start, stop) of the loss history; the ranges tile it: the next one begins
              where this one stopped. Of more than MAX_POINTS rows, MAX_POINTS that keep the shape

One has none, and is only in streams: `progress`, how far the job is now. It comes again and again,
and whoever reconnects is told the newest. A stream ends after the `state` that ends the job.

`GET /v1/events` is the log of all jobs: its events are of type `state`, and its ids are its own.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from descend.jobs import JobError, JobKind, JobState, Metrics, Progress, StopReason

__all__ = [
    "MAX_POINTS",
    "SPAN_ROWS",
    "Event",
    "EventPage",
    "EventType",
    "HistoryEvent",
    "HistoryPoints",
    "JobEvent",
    "ProgressEvent",
    "Standing",
    "StateChange",
    "StateEvent",
    "WarningEvent",
    "WarningText",
]

MAX_POINTS = 200
SPAN_ROWS = 65_536  # rows that one history event covers at most

Numbers = list[float | None]


class EventType(StrEnum):
    """As `type` in JSON, and as `event:` in a stream."""

    STATE = "state"
    WARNING = "warning"
    HISTORY = "history"
    PROGRESS = "progress"


class StateChange(BaseModel):
    """A job's new state. From `stop_reason` on all is null until the job has ended."""

    model_config = ConfigDict(frozen=True)

    state: JobState
    previous: JobState | None = Field(None, description="null: the job was submitted")
    reason: str = Field(description="as in the job's transitions")
    attempt: int = Field(description="times a worker had taken the job by then")
    kind: JobKind = JobKind.TRAIN
    name: str | None = None
    stop_reason: StopReason | None = None
    progress: Progress | None = None
    metrics: Metrics | None = None
    error: JobError | None = None
    model_id: str | None = None


class HistoryPoints(BaseModel):
    """Rows [start, stop) of a history, or points chosen from them: lists of equal length.

    A column in which no row has a number is null; so is a single value that is not finite.
    """

    model_config = ConfigDict(frozen=True)

    start: int = Field(description="row of the history, counted from 0")
    stop: int = Field(description="the next event's start")
    total: int = Field(description="rows stored when this was read, stop or more")
    epoch: list[int]
    train_loss: Numbers | None = None
    eval_loss: Numbers | None = None
    learning_rate: Numbers | None = None
    grad_norm: Numbers | None = None
    gap: Numbers | None = None


class WarningText(BaseModel):
    model_config = ConfigDict(frozen=True)

    message: str


class Standing(BaseModel):
    """How far a job is now: the part of it that moves without a change of state."""

    model_config = ConfigDict(frozen=True)

    state: JobState
    intent: Literal["cancel"] | None = Field(None, description="a wish not yet carried out")
    attempt: int
    progress: Progress
    history_rows: int = Field(description="rows of the history stored")
    queue_position: int | None = Field(None, description="jobs to be served before, plus one")
    estimated_finish: datetime | None = None


class Event(BaseModel):
    """What all events have.

    `at` is the time of the change; of history and warnings, that of the last report when they were
    read.
    """

    model_config = ConfigDict(frozen=True)

    id: str | None = Field(description="a place in the log, opaque; null: of the moment only")
    job_id: str
    at: datetime


class StateEvent(Event):
    type: Literal[EventType.STATE] = EventType.STATE
    data: StateChange


class WarningEvent(Event):
    type: Literal[EventType.WARNING] = EventType.WARNING
    data: WarningText


class HistoryEvent(Event):
    type: Literal[EventType.HISTORY] = EventType.HISTORY
    data: HistoryPoints


class ProgressEvent(Event):
    type: Literal[EventType.PROGRESS] = EventType.PROGRESS
    data: Standing


JobEvent = Annotated[
    StateEvent | WarningEvent | HistoryEvent | ProgressEvent, Field(discriminator="type")
]


class EventPage(BaseModel):
    """A part of a log, oldest first; give `last_id` as `last_event_id` for what comes after it."""

    model_config = ConfigDict(frozen=True)

    object: Literal["list"] = "list"
    data: list[JobEvent]
    has_more: bool = Field(description="more can be had at once")
    last_id: str | None = Field(None, description="the place after these events, also after none")
    ended: bool = Field(False, description="the job has ended and nothing will follow")
