"""The worker's settings: environment variables DESCEND_…, read once by workers.app."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from descend.jobs import QUEUES
from descend.pulse import DEAF_SECONDS
from storage.settings import StorageSettings

__all__ = ["WorkerSettings"]


class WorkerSettings(StorageSettings):
    """What one worker process needs to know."""

    broker_url: str = Field(
        "redis://127.0.0.1:6379/0", min_length=1, description="the doorbell's Redis"
    )
    queues: Annotated[tuple[str, ...], NoDecode] = Field(
        QUEUES, min_length=1, description="queues to serve, separated by commas"
    )
    slots: int = Field(1, ge=1, le=64, description="runners: batches trained at the same time")
    lease_seconds: float = Field(
        30.0, ge=0.5, description="a job whose worker is silent this long is given to another"
    )
    beat_seconds: float = Field(
        1.0, gt=0, description="between two renewals of the leases, which bring cancels back"
    )
    poll_seconds: float = Field(
        1.0, gt=0, description="between two looks at the queue when no bell rings"
    )
    rescue_seconds: float = Field(
        5.0, gt=0, description="between two searches for lost leases, give or take half"
    )
    hang_seconds: float = Field(
        60.0, gt=0, description="a runner silent this long, or 20 of its steps, is killed"
    )
    deaf_seconds: float = Field(
        DEAF_SECONDS, gt=0, description="a worker whose supervisor hangs this long ends itself"
    )
    pulse_fd: int | None = Field(
        None, ge=0, description="a pipe to whoever started this worker, touched as a sign of life"
    )
    checkpoint_seconds: float = Field(
        10.0, gt=0, description="work between two checkpoints of a running job"
    )
    jobs_per_runner: int = Field(
        10_000, ge=1, description="jobs that a training process serves before it is replaced"
    )

    @property
    def spool(self) -> Path:
        """The folder of all workers' folders."""
        return self.data.resolve() / "spool"

    @field_validator("queues", mode="before")
    @classmethod
    def _separated_by_commas(cls, queues: object) -> object:
        if isinstance(queues, str):
            return tuple(name.strip() for name in queues.split(",") if name.strip())
        return queues

    @field_validator("queues")
    @classmethod
    def _known(cls, queues: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(queues) - set(QUEUES))
        if unknown:
            raise ValueError(f"unknown queues {unknown}; there are {list(QUEUES)}")
        return queues
