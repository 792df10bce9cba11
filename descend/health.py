"""What a server says of its own health."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Readiness"]


class Readiness(BaseModel):
    """Which part works and, where one does not, why."""

    model_config = ConfigDict(frozen=True)

    status: Literal["ready", "degraded", "not_ready"] = Field(
        description="degraded: jobs are taken, but nobody trains or is woken just now"
    )
    parts: dict[str, str] = Field(description="ok, or the reason")
