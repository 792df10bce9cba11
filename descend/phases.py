"""How far a job is, and what is being done about it just now."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["JobPhase", "Progress"]


class JobPhase(StrEnum):
    """What a worker does with a job that it holds; `timeout_seconds` counts but in the first."""

    WAITING = "waiting"
    LOADING = "loading"
    TRAINING = "training"


class Progress(BaseModel):
    model_config = ConfigDict(frozen=True)

    epoch: int = Field(description="epochs done")
    max_epochs: int
    fraction: float = Field(description="epoch / max_epochs, 0 to 1")
    phase: JobPhase | None = Field(
        None,
        description="of a running job: waiting for the jobs that its worker took with it, loading"
        " its data, or training (a solver's or an answer's work, too)",
    )
