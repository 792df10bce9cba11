"""Jobs as the wire shows them: what is asked (JobSpec), what became of it (Job), and how it moves.

TRANSITIONS is the one table of states: SQL guards, tests and the docs' diagram are held to it.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from descend.datasets import (
    ColumnName,
    InlineColumns,
    InlineXY,
    Matrix,
    Number,
    Vector,
    text,
    wrong_field,
)
from descend.ids import ID_PATTERNS
from descend.limits import (
    MAX_COLUMNS,
    MAX_EPOCHS,
    MAX_METADATA_PAIRS,
    MAX_NAME_LENGTH,
    MAX_TIMEOUT_SECONDS,
)

__all__ = [
    "QUEUES",
    "TERMINAL",
    "TRANSITIONS",
    "WAKE_TASK",
    "Hyperparameters",
    "InitialWeights",
    "Job",
    "JobError",
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
            JobState.QUEUED,  # drained, or its worker was lost
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


class StopReason(StrEnum):
    """Why training stopped: the numerical fate, which is no exception."""

    CONVERGED = "converged"
    MAX_EPOCHS = "max_epochs"
    DIVERGED = "diverged"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    ERROR = "error"


class InitialWeights(BaseModel):
    """Weights to start from, in original units."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coef: Matrix = Field(min_length=1, description="n_targets rows of n_features")
    intercept: Vector | None = Field(None, description="n_targets numbers; null for zeros")


Optimizer = Literal["sgd", "adam", "adamw"]
Betas = Annotated[list[Annotated[Number, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]

# What only some optimizers read, with the value that null stands for.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.0, "nesterov": False},
    "adam": {"betas": [0.9, 0.999], "eps": 1e-8},
    "adamw": {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01},
}

# In the contract and on the way, but not built: refused by name rather than accepted and ignored.
_NOT_BUILT = frozenset({"group_by", "search", "webhook"})
_NOT_BUILT_HYPERPARAMETERS = frozenset(
    {"schedule", "shuffle", "huber_delta", "quantile", "validation_dataset", "target_gap"}
)


def _refuse_not_built(body: Any, names: frozenset[str]) -> Any:
    if isinstance(body, dict):
        for name in sorted(names & body.keys()):
            if body[name] is not None:
                raise wrong_field(name, f"{name} is not available yet: leave it out")
    return {k: v for k, v in body.items() if k not in names} if isinstance(body, dict) else body


class Hyperparameters(BaseModel):
    """How to train. The defaults give a first job that converges."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"optimizer": "sgd", "learning_rate": 0.01, "max_epochs": 1000}]
        },
    )

    optimizer: Optimizer = "sgd"
    learning_rate: Literal["auto"] | Annotated[Number, Field(gt=0, le=1e12)] = Field(
        "auto", description="step size; auto takes it from the spectrum of the Hessian"
    )
    momentum: Annotated[Number, Field(ge=0, lt=1)] | None = Field(None, description="sgd: 0")
    nesterov: Annotated[bool, Field(strict=True)] | None = Field(None, description="sgd: false")
    betas: Betas | None = Field(
        None, description="adam, adamw: decay of the moments, 0.9 and 0.999"
    )
    eps: Annotated[Number, Field(gt=0, le=1)] | None = Field(None, description="adam, adamw: 1e-8")
    weight_decay: Annotated[Number, Field(ge=0, le=1e6)] | None = Field(
        None,
        description="adamw: 0.01; decoupled decay of the coefficients, no part of the objective",
    )
    max_epochs: Annotated[int, Field(strict=True, ge=1, le=MAX_EPOCHS)] = 1000
    batch_size: None = Field(None, description="null: every epoch is one step on all rows")
    loss: Literal["squared"] = "squared"
    l1: Annotated[Number, Field(ge=0, le=1e100)] = Field(0.0, description="weight of sum |W|")
    l2: Annotated[Number, Field(ge=0, le=1e100)] = Field(0.0, description="weight of sum W^2")
    fit_intercept: Annotated[bool, Field(strict=True)] = True
    standardize: Annotated[bool, Field(strict=True)] = Field(
        True, description="train on columns of mean 0 and standard deviation 1"
    )
    init: Literal["zeros", "torch"] | InitialWeights = Field(
        "zeros", description="torch draws as nn.Linear does after torch.manual_seed(seed)"
    )
    validation_fraction: Annotated[Number, Field(ge=0, le=0.9)] = Field(
        0.0, description="part of the rows held out, drawn by the seed, for eval_loss"
    )
    tol: Annotated[Number, Field(ge=0, lt=1)] = Field(
        1e-9,
        description="stop when the objective's relative change stays within tol for `patience`"
        " epochs; 0 never stops early",
    )
    patience: Annotated[int, Field(strict=True, ge=1, le=MAX_EPOCHS)] = 10
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**53)] | None = Field(
        None, description="null: one is drawn and returned"
    )
    dtype: Literal["float64", "float32"] = "float64"
    deterministic: Literal[True] = True

    @model_validator(mode="before")
    @classmethod
    def _built(cls, body: Any) -> Any:
        return _refuse_not_built(body, _NOT_BUILT_HYPERPARAMETERS)

    @model_validator(mode="after")
    def _used_by_the_optimizer(self) -> Self:
        used = _DEFAULTS[self.optimizer]
        for name in {name for names in _DEFAULTS.values() for name in names} - used.keys():
            if getattr(self, name) is not None:
                raise wrong_field(name, f"{name} is not used by {self.optimizer}: leave it out")
        if self.nesterov and not self.momentum:
            raise wrong_field("nesterov", "nesterov needs a momentum above 0")
        return self

    def resolved(self, seed: int) -> "Hyperparameters":
        """Fill in what null stood for; a rate of "auto" is resolved when the data is seen."""
        filled = {
            name: default
            for name, default in _DEFAULTS[self.optimizer].items()
            if getattr(self, name) is None
        }
        return self.model_copy(update={**filled, "seed": seed if self.seed is None else self.seed})


def _kind_of_dataset(value: object) -> str:
    if isinstance(value, str):
        return "dataset-id"
    if isinstance(value, InlineColumns) or (isinstance(value, dict) and "columns" in value):
        return "inline-columns"
    return "inline-xy"


DatasetId = Annotated[str, StringConstraints(strict=True, pattern=ID_PATTERNS["ds"])]
DatasetReference = Annotated[
    Annotated[DatasetId, Tag("dataset-id")]
    | Annotated[InlineXY, Tag("inline-xy")]
    | Annotated[InlineColumns, Tag("inline-columns")],
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
    target: (
        ColumnName | Annotated[list[ColumnName], Field(min_length=1, max_length=MAX_COLUMNS)] | None
    ) = Field(None, description="the column or columns to predict; optional for X and y")
    features: Annotated[list[ColumnName], Field(min_length=1, max_length=MAX_COLUMNS)] | None = (
        Field(None, description="null: all columns but the targets and the weight")
    )
    weight: ColumnName | None = Field(None, description="the column of sample weights")
    missing: Literal["error"] = "error"
    categorical: Literal["error"] = "error"
    hyperparameters: Hyperparameters = Hyperparameters()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    priority: Annotated[int, Field(strict=True, ge=0, le=9)] = Field(
        5, description="9 is served first"
    )
    timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=MAX_TIMEOUT_SECONDS)] | None = (
        Field(None, description="running longer than this ends the job as expired")
    )
    name: Annotated[str, text(MAX_NAME_LENGTH)] | None = None
    metadata: Annotated[Metadata, Field(max_length=MAX_METADATA_PAIRS)] = {}

    @model_validator(mode="before")
    @classmethod
    def _built(cls, body: Any) -> Any:
        return _refuse_not_built(body, _NOT_BUILT)

    @field_validator("target", "features")
    @classmethod
    def _named_once(cls, names: str | list[str] | None) -> str | list[str] | None:
        if isinstance(names, list) and len(set(names)) != len(names):
            raise ValueError("a column is named twice")
        return names

    @property
    def targets(self) -> list[str] | None:
        return [self.target] if isinstance(self.target, str) else self.target


class Progress(BaseModel):
    model_config = ConfigDict(frozen=True)

    epoch: int = Field(description="epochs done")
    max_epochs: int
    fraction: float = Field(description="epoch / max_epochs, 0 to 1")


class Transition(BaseModel):
    model_config = ConfigDict(frozen=True)

    state: JobState
    at: datetime
    reason: str


class JobError(BaseModel):
    """Why a job failed. For `diverged`, `detail` holds the bound, the columns and the remedies."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    param: str | None = None
    detail: dict[str, JsonValue] = {}


class Metrics(BaseModel):
    """What training reached. Losses are the data term, in squared units of the targets."""

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
    r2: float | None = Field(None, description="1 - train_loss / variance of y")
    converged: bool = False
    train_seconds: float | None = None


class Job(BaseModel):
    """A job as it stands."""

    model_config = ConfigDict(frozen=True)

    id: str
    object: Literal["job"] = "job"
    kind: Literal["train"] = "train"
    name: str | None = None
    state: JobState
    intent: Literal["cancel"] | None = Field(None, description="a wish not yet carried out")
    stop_reason: StopReason | None = None
    created_at: datetime
    started_at: datetime | None = None
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
    model_id: str | None = None
    dataset_id: str
    dataset_sha256: str
    metadata: dict[str, str] = {}
    urls: dict[str, str] = {}


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """One page of a list, newest first; give `last_id` as `after` for the next."""

    model_config = ConfigDict(frozen=True)

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool
    last_id: str | None = None


def queue_of(spec: JobSpec) -> str:
    """Name the queue whose workers may serve this job."""
    return "cuda" if spec.device == "cuda" else "cpu"
