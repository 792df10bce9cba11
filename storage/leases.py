"""What a worker is given with a job, and what it gives back."""

from dataclasses import dataclass
from datetime import datetime

from descend.history import History
from descend.jobs import (
    Hyperparameters,
    JobError,
    JobKind,
    JobSpec,
    JobState,
    Metrics,
    StopReason,
)
from descend.models import LinearModel
from descend.phases import JobPhase
from descend.statistics import Statistics

__all__ = [
    "DRAINED",
    "REBALANCED",
    "Beat",
    "Claim",
    "Expired",
    "Outcome",
    "Parent",
    "Report",
    "StoredData",
    "Turn",
]

DRAINED = "drained"  # the reason of a release by a worker that ends in good order
REBALANCED = "rebalanced"  # of one that had not begun, while another worker was idle


@dataclass(frozen=True, kw_only=True)
class StoredData:
    """Where a dataset's canonical Arrow file is: in the row, or under an artefact key."""

    dataset_id: str
    sha256: str
    inline: bytes | None
    artefact: str | None
    parent: "Parent | None" = None


@dataclass(frozen=True)
class Parent:
    """The dataset that a dataset was made from by appending: its first n_rows are the parent's."""

    dataset_id: str
    n_rows: int


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A job that is now this worker's, for as long as it keeps the lease.

    Attributes:
        hyperparameters: as resolved at submission; a rate of "auto" remains "auto".
        validation: the dataset that is held out, where one was named.
        checkpoint: where to go on from; None means from the beginning.
        epochs_done: epochs that the checkpoint holds.
        work: what it costs at most, for the sharing of jobs; see storage.claim_statements.
    """

    job_id: str
    fence: int
    attempt: int
    crashes: int
    spec: JobSpec
    hyperparameters: Hyperparameters
    dataset: StoredData
    validation: StoredData | None
    targets: tuple[str, ...]
    features: tuple[str, ...]
    weight: str | None
    checkpoint: bytes | None
    epochs_done: int
    started_at: datetime
    timeout_seconds: int | None
    kind: JobKind = JobKind.TRAIN
    queue: str = ""
    warnings: tuple[str, ...] = ()  # of the submission, and of earlier attempts
    work: int = 0


@dataclass(frozen=True, kw_only=True)
class Report:
    """How far a running job is.

    Attributes:
        history: the rows since the last report; its `total` counts all rows of the job so far,
            which is how a report written twice lands in the same place.
        checkpoint: the state after exactly these epochs and rows.
        warnings: all so far; empty leaves the row's.
        worked_seconds: since the work on it began, by the worker's clock; None: it did not.
    """

    job_id: str
    fence: int
    epochs_done: int
    history: History | None = None
    checkpoint: bytes | None = None
    resolved: Hyperparameters | None = None
    engine: str | None = None
    device: str | None = None
    warnings: tuple[str, ...] = ()
    worked_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a running job ended.

    Attributes:
        result: of a job that is not a training: its answer, JSON that has been checked.
        statistics: of the model, where there are any.
        covariance: what intervals about predictions need: mean and scale of the features, then
            the square root of all weights, float64, one after the other; see storage.models.Spread.
        worked_seconds: as in Report.
    """

    job_id: str
    fence: int
    state: JobState
    stop_reason: StopReason
    epochs_done: int
    history: History | None = None
    model: LinearModel | None = None
    metrics: Metrics | None = None
    error: JobError | None = None
    resolved: Hyperparameters | None = None
    engine: str | None = None
    device: str | None = None
    warnings: tuple[str, ...] = ()
    result: str | None = None
    statistics: Statistics | None = None
    covariance: bytes | None = None
    worked_seconds: float | None = None


@dataclass(frozen=True)
class Turn:
    """A runner turned to a job, or away from it: what its holder knows of it now.

    Attributes:
        worked_seconds: since the work on it began, by the holder's clock; None: it waits.
    """

    job_id: str
    fence: int
    phase: JobPhase
    worked_seconds: float | None


@dataclass(frozen=True)
class Beat:
    """What a heartbeat brings back, as job ids.

    Attributes:
        lost: no longer this worker's; stop them and discard what they made.
        cancel: to be stopped and finished as cancelled.
        expired: past their timeout; to be stopped and finished as expired.
    """

    lost: frozenset[str]
    cancel: frozenset[str]
    expired: frozenset[str]


@dataclass(frozen=True)
class Expired:
    """Leases that have run out, by length in microseconds, when the database's clock showed this.

    Whoever renews after that is not meant: a rescue looks at the clock of its judgement.
    """

    clock: int
    leases: frozenset[int]
