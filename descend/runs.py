"""A submitted job, seen from the client's side."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self, Unpack

from descend.errors import DescendError, JobFailed
from descend.events import JobEvent
from descend.history import History
from descend.jobs import Job, JobState
from descend.models import LinearModel
from descend.statistics import Summary

if TYPE_CHECKING:
    from rich.console import Group

    from descend.client import Client
    from descend.specs import Options

__all__ = ["Run"]

_WAIT_STEP_SECONDS = 20.0
_DRAWN_POINTS = 300


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
        """The job's id."""
        return self.job.id

    @property
    def state(self) -> JobState:
        """The state as last read."""
        return self.job.state

    def refresh(self, *, wait_seconds: float = 0.0) -> Job:
        """Read the job anew; with `wait_seconds`, answer when it ends or that time has passed."""
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
                waited = round(timeout_seconds or 0, 2)
                raise TimeoutError(f"{self.id} is still {self.state} after {waited} s")
            self.refresh(wait_seconds=min(left, _WAIT_STEP_SECONDS))
        if check and self.job.state is not JobState.SUCCEEDED:
            error = self.job.error
            raise JobFailed(error.message if error else f"the job was {self.state}", param=self.id)
        return self

    def watch(self, *, progress: bool = False) -> Iterator[JobEvent]:
        """Iterate over what happens, as it happens, until the job has ended.

        Args:
            progress: show a bar with the curve, on the terminal or below a notebook's cell.
        """
        with ExitStack() as stack:
            watched, display = None, None
            if progress:
                from descend.progress import Watched, shown

                watched, display = Watched(self.job), stack.enter_context(shown())
            for event in self._client.events(self.id):
                if watched and display:
                    watched.learn(event)
                    display.show(watched)
                yield event
        self.refresh()

    def retry(self, **changes: "Unpack[Options]") -> "Run":
        """Try it again with changes, as a new job; it must have ended."""
        return self._client.retry(self.id, **changes)

    def delete(self) -> None:
        """Delete the job, which must have ended; its model stays."""
        self._client.delete_job(self.id)

    def cancel(self) -> Job:
        """Ask for a stop; may be repeated."""
        self.job = self._client.cancel(self.id)
        return self.job

    @property
    def history(self) -> History:
        """The loss of every epoch so far; a request each time it is asked for."""
        return self._client.history(self.id)

    @property
    def model(self) -> LinearModel:
        """The weights by name; a request each time it is asked for."""
        return self._client.model(self._model_id)

    @property
    def summary(self) -> Summary:
        """Standard errors, t, p and intervals; `refused` says why there are none."""
        return self._client.summary(self._model_id)

    @property
    def _model_id(self) -> str:
        if self.job.model_id is None:
            raise JobFailed(f"{self.id} is {self.state}: there is no model", param=self.id)
        return self.job.model_id

    def __rich__(self) -> "Group":
        from rich.console import Group

        curve = self._curve()
        return Group(self.job, curve) if len(curve) else Group(self.job)

    def _repr_html_(self) -> str:
        from descend.views import job_html

        return job_html(self.job, self._curve())

    def _curve(self) -> History:
        """Points enough to draw; none where the server does not answer: a repr never fails."""
        try:
            return self._client.history(self.id, max_points=_DRAWN_POINTS)
        except DescendError:
            return History.empty()
