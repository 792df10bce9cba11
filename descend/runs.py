"""A submitted job, seen from the client's side."""

import time
from typing import TYPE_CHECKING, Self

from descend.errors import JobFailed
from descend.history import History
from descend.jobs import Job, JobState
from descend.models import LinearModel

if TYPE_CHECKING:
    from descend.client import Client

__all__ = ["Run"]

_WAIT_STEP_SECONDS = 20.0


class Run:
    """A submitted job, seen from here: its latest known state and what came of it."""

    def __init__(self, client: "Client", job: Job) -> None:
        self._client = client
        self.job = job

    def __repr__(self) -> str:
        done, most = self.job.progress.epoch, self.job.progress.max_epochs
        return f"<Run {self.job.id} {self.job.state} {done}/{most} epochs>"

    @property
    def id(self) -> str:
        return self.job.id

    @property
    def state(self) -> JobState:
        return self.job.state

    def refresh(self, *, wait_seconds: float = 0) -> Job:
        self.job = self._client.job(self.id, wait_seconds=wait_seconds)
        return self.job

    def wait(self, *, timeout_seconds: float | None = None, check: bool = True) -> Self:
        """Wait until the job has ended.

        Raises:
            TimeoutError: when it has not ended within `timeout_seconds`.
            JobFailed: when it ended without a model and `check` is true.
        """
        end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while not self.job.state.is_terminal:
            left = _WAIT_STEP_SECONDS if end is None else end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.id} is still {self.state} after {timeout_seconds} s")
            self.refresh(wait_seconds=min(left, _WAIT_STEP_SECONDS))
        if check and self.job.state is not JobState.SUCCEEDED:
            error = self.job.error
            raise JobFailed(error.message if error else f"the job was {self.state}", param=self.id)
        return self

    def cancel(self) -> Job:
        self.job = self._client.cancel(self.id)
        return self.job

    @property
    def history(self) -> History:
        return self._client.history(self.id)

    @property
    def model(self) -> LinearModel:
        if self.job.model_id is None:
            raise JobFailed(f"{self.id} is {self.state}: there is no model", param=self.id)
        return self._client.model(self.job.model_id)
