"""Jobs as the wire shows them: what is asked (JobSpec), what became of it (Job), and how it moves.

TRANSITIONS is the one table of states: SQL guards, tests and the docs' diagram are held to it.
"""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    field_validator,
    model_validator,
)

from descend.datasets import ColumnName, ColumnNames, InlineColumns, InlineRecords, InlineXY, text
from descend.hyperparameters import (
    DatasetId,
    Hyperparameters,
    InitialWeights,
    Priority,
    TimeoutSeconds,
    refuse_not_built,
)
from descend.limits import (
    MAX_METADATA_PAIRS,
    MAX_NAME_LENGTH,
)
from descend.phases import JobPhase, Progress

if TYPE_CHECKING:
    from rich.console import Group

__all__ = [
    "QUESTIONS",
    "QUEUES",
    "TERMINAL",
    "TRANSITIONS",
    "WAKE_TASK",
    "Hyperparameters",
    "InitialWeights",
    "Job",
    "JobChanges",
    "JobError",
    "JobKind",
    "JobOrder",
    "JobPage",
    "JobPhase",
    "JobSpec",
    "JobState",
    "Metrics",
    "Page",
    "Progress",
    "StopReason",
    "Transition",
    "queue_of",
]

WAKE_TASK = "descend.wake"
QUEUES = ("cpu", "cuda")


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    QUARANTINED = "quarantined"

    @property
    def is_terminal(self) -> bool:
        return not TRANSITIONS[self]


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(
        {
            JobState.QUEUED,  # drained, rebalanced, or its worker was lost
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.CANCELLED,
            JobState.EXPIRED,
            JobState.QUARANTINED,
        }
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
    JobState.QUARANTINED: frozenset(),
}

TERMINAL = frozenset(state for state, onward in TRANSITIONS.items() if not onward)


class JobKind(StrEnum):
    """What a job does with its data; all but `train` answer with a `result` and no model."""

    TRAIN = "train"
    PLAN = "plan"
    GRADIENTS = "gradients"
    DIAGNOSTICS = "diagnostics"


QUESTIONS = frozenset(JobKind) - {JobKind.TRAIN}


class JobOrder(StrEnum):
    """An order of lists of jobs; those by the end hold only jobs that have ended."""

    NEWEST = "-created"
    OLDEST = "created"
    LAST_FINISHED = "-finished"
    FINISHED = "finished"


class StopReason(StrEnum):
    """Why training stopped: the numerical fate, which is no exception."""

    CONVERGED = "converged"
    SETTLED = "settled"
    TARGET_GAP = "target_gap"
    SOLVED = "solved"
    ANSWERED = "answered"
    MAX_EPOCHS = "max_epochs"
    DIVERGED = "diverged"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    ERROR = "error"


# In the contract and on the way, but not built: refused by name rather than accepted and ignored.
_NOT_BUILT = frozenset({"group_by", "search", "webhook"})


def _kind_of_dataset(value: object) -> str:
    if isinstance(value, str):
        return "dataset-id"
    if isinstance(value, InlineColumns) or (isinstance(value, dict) and "columns" in value):
        return "inline-columns"
    if isinstance(value, InlineRecords | list):
        return "inline-records"
    return "inline-xy"


DatasetReference = Annotated[
    Annotated[DatasetId, Tag("dataset-id")]
    | Annotated[InlineXY, Tag("inline-xy")]
    | Annotated[InlineColumns, Tag("inline-columns")]
    | Annotated[InlineRecords, Tag("inline-records")],
    Discriminator(_kind_of_dataset),
]
Metadata = dict[Annotated[str, text(64, min_length=1)], Annotated[str, text(512)]]


class JobSpec(BaseModel):
    """What to train, on what, and how."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "dataset": {"X": [[1.0], [2.0], [3.0]], "y": [2.0, 4.0, 6.0]},
                    "hyperparameters": {
                        "optimizer": "sgd",
                        "learning_rate": 0.01,
                        "max_epochs": 1000,
                        "standardize": False,
                        "tol": 0,
                    },
                }
            ]
        },
    )

    dataset: DatasetReference = Field(description="a dataset's id, or the data itself")
    target: ColumnName | ColumnNames | None = Field(
        None, description="the column or columns to predict; optional for X and y"
    )
    features: ColumnNames | None = Field(None, description="null: all but those that warnings name")
    exclude: list[ColumnName] | None = Field(None, description="columns that are no features")
    weight: ColumnName | None = Field(None, description="the column of sample weights")
    missing: Literal["error", "drop", "mean"] = Field(
        "error",
        description="cells without a value: refuse, leave out their rows, or fill in the column's"
        " mean (of text: the most frequent level); rows without a target are then left out",
    )
    categorical: Literal["one_hot", "error"] = Field(
        "one_hot",
        description="text columns among the features: a column of 0 and 1 for each level but the"
        " first, which is the base; or refuse them",
    )
    hyperparameters: Hyperparameters = Hyperparameters()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    priority: Priority = Field(5, description="9 is served first")
    timeout_seconds: TimeoutSeconds | None = Field(
        None,
        description="working longer than this ends the job as expired; waiting for its"
        " worker's other jobs does not count",
    )
    name: Annotated[str, text(MAX_NAME_LENGTH)] | None = None
    metadata: Annotated[Metadata, Field(max_length=MAX_METADATA_PAIRS)] = {}

    @model_validator(mode="before")
    @classmethod
    def _built(cls, body: Any) -> Any:
        return refuse_not_built(body, _NOT_BUILT)

    @field_validator("target", "features", "exclude")
    @classmethod
    def _named_once(cls, names: str | list[str] | None) -> str | list[str] | None:
        if isinstance(names, list) and len(set(names)) != len(names):
            raise ValueError("a column is named twice")
        return names

    @property
    def targets(self) -> list[str] | None:
        return [self.target] if isinstance(self.target, str) else self.target


class JobChanges(BaseModel):
    """What of a job's spec to change when it is tried again: a merge patch (RFC 7396) of it.

    Objects are merged, at every depth: a member replaces the job's, null takes one away, so that a
    seed of null is drawn anew; anything else, lists too, is replaced whole. What comes out is
    checked as any spec.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        json_schema_extra={"examples": [{"hyperparameters": {"learning_rate": 0.354}}]},
    )

    hyperparameters: dict[str, JsonValue] | None = {}


class Transition(BaseModel):
    model_config = ConfigDict(frozen=True)

    state: JobState
    at: datetime
    reason: str


class JobError(BaseModel):
    """Why a job failed.

    For `diverged`, `detail` holds the bound, the columns, the remedies and, in `changes`, the
    hyperparameters that each of these sets.
    """

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    param: str | None = None
    detail: dict[str, JsonValue] = {}


class Metrics(BaseModel):
    """What training reached. Losses are the data term, in the units that the loss gives.

    Squared loss: the targets' units squared; absolute and quantile: their units; huber: between.
    """

    model_config = ConfigDict(frozen=True)

    n_samples: int
    n_eval_samples: int = 0
    epochs: int = Field(description="steps taken")
    initial_loss: float | None = None
    train_loss: float | None = Field(None, description="after the last step")
    eval_loss: float | None = None
    objective: float | None = Field(None, description="train_loss with its penalties")
    best_loss: float | None = Field(None, description="lowest eval_loss, else lowest train_loss")
    best_epoch: int | None = None
    min_loss: float | None = Field(None, description="train_loss at the certified optimum")
    min_objective: float | None = Field(None, description="the lowest objective there is")
    gap: float | None = Field(None, description="objective - min_objective, >= 0")
    relative_gap: float | None = Field(
        None,
        description="gap / min_objective; null where that is rounding, as of a perfect fit: gap,"
        " min_objective and initial_loss then say how far it is",
    )
    duality_gap: float | None = Field(
        None, description="bounds min_objective's error: a part of J(0), or of the best constant's"
    )
    rank: int | None = Field(None, description="columns of the design that are independent")
    condition_number: float | None = Field(
        None, description="of the design trained on, its columns scaled to equal length"
    )
    r2: float | None = Field(
        None,
        description="1 - mean squared residual / variance of y (without a constant, mean square)",
    )
    converged: bool | None = Field(
        None,
        description="true: the gap is at most 1e-6 of min_objective (of a perfect fit: 1e-9 of the"
        " variance of y; under another loss than squared 1e-15 of the best constant's loss); false:"
        " it is more, or the loss diverged; null: no minimum is known to compare with, or a perfect"
        " fit's rounding is more than that",
    )
    train_seconds: float | None = None


class Job(BaseModel):
    """A job as it stands."""

    model_config = ConfigDict(frozen=True)

    id: str
    object: Literal["job"] = "job"
    kind: JobKind = JobKind.TRAIN
    name: str | None = None
    state: JobState
    intent: Literal["cancel"] | None = Field(None, description="a wish not yet carried out")
    stop_reason: StopReason | None = None
    created_at: datetime
    started_at: datetime | None = None
    work_started_at: datetime | None = Field(
        None, description="when its worker's process turned to it, in this attempt"
    )
    finished_at: datetime | None = None
    estimated_finish: datetime | None = None
    progress: Progress
    queue_position: int | None = Field(None, description="jobs to be served before, plus one")
    spec: JobSpec
    resolved_hyperparameters: Hyperparameters = Field(
        description="what every default and 'auto' became"
    )
    engine: str | None = None
    device: str | None = None
    attempt: int = Field(description="times a worker has taken the job")
    seed: int
    warnings: list[str] = []
    error: JobError | None = None
    transitions: list[Transition] = []
    metrics: Metrics | None = None
    result: JsonValue = Field(None, description="the answer of a job that is not a training")
    model_id: str | None = None
    parent_id: str | None = Field(None, description="the job that this one tries again")
    dataset_id: str
    dataset_sha256: str
    metadata: dict[str, str] = {}
    sparkline: list[float | None] | None = Field(
        None, description="in lists, where included: at most 32 train losses, in order"
    )
    urls: dict[str, str] = {}

    def __rich__(self) -> "Group":
        from descend.commands.job_pages import job_page

        return job_page(self)

    def _repr_html_(self) -> str:
        from descend.views import job_html

        return job_html(self)


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """One page of a list, newest first; give `last_id` as `after` for the next."""

    model_config = ConfigDict(frozen=True)

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool
    last_id: str | None = None


class JobPage(Page[Job]):
    """One page of jobs."""

    counts: dict[JobState, int] | None = Field(
        None, description="where included: jobs of the kind in each state, whatever else is asked"
    )


def queue_of(spec: JobSpec) -> str:
    """Name the queue whose workers may serve this job."""
    return "cuda" if spec.device == "cuda" else "cpu"
