"""The client: submit, wait, read back. Synchronous, over httpx2.

    client = descend.Client("http://127.0.0.1:8000")
    job = client.train(X, y, learning_rate=0.01, max_epochs=1000).wait()
    job.history.train_loss
    job.model.predict([[4.0]])

Every submission carries an Idempotency-Key, so a request whose answer was lost is sent again
without making a second job.
"""

import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx2
import numpy as np
from numpy.typing import ArrayLike

from descend.datasets import Dataset, InlineXY
from descend.errors import DescendError, JobFailed, Unreachable, error_class
from descend.history import History
from descend.jobs import Hyperparameters, Job, JobSpec, JobState
from descend.limits import MAX_WAIT_SECONDS
from descend.models import LinearModel

__all__ = ["Client", "Run"]

_WAIT_STEP_SECONDS = 20.0


class Client:
    """A connection to one Descend server.

    Args:
        url: where the server listens.
        api_key: `dsc_<id>_<secret>`, where the server asks for one.
        timeout_seconds: for one request, beyond any time it was asked to wait.
        retries: how often a request that got no answer, or 503, is sent again.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout_seconds: float = 30.0,
        retries: int = 3,
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._retries = retries

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # -- datasets ---------------------------------------------------------------------------

    def upload(
        self, source: Path | str, *, name: str | None = None, delimiter: str = ","
    ) -> Dataset:
        """Upload a CSV file; its rows are profiled and kept until deleted."""
        path = Path(source)
        answer = self._send(
            "POST",
            "/v1/datasets",
            content=path.read_bytes(),
            params={"name": name or path.name, "delimiter": delimiter},
            headers={"Content-Type": "text/csv"},
        )
        return Dataset.model_validate_json(answer.content)

    def dataset(self, dataset_id: str) -> Dataset:
        return Dataset.model_validate_json(self._send("GET", f"/v1/datasets/{dataset_id}").content)

    # -- jobs -------------------------------------------------------------------------------

    def train(  # noqa: PLR0913  keyword-only, one word per field of JobSpec
        self,
        X: ArrayLike | None = None,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        dataset: Dataset | str | None = None,
        target: str | list[str] | None = None,
        features: list[str] | None = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        name: str | None = None,
        metadata: Mapping[str, str] | None = None,
        **hyperparameters: Any,
    ) -> "Run":
        """Submit a job on arrays, or on a dataset's columns; the rest are Hyperparameters.

        Raises:
            InvalidInput: when the server refuses a value; `param` names it.
            Unreachable: when no server answers.
        """
        spec = JobSpec(
            dataset=_reference(X, y, sample_weight, dataset),
            target=target,
            features=features,
            device=device,
            name=name,
            metadata=dict(metadata or {}),
            hyperparameters=Hyperparameters(**hyperparameters),
        )
        return self.submit(spec)

    def submit(self, spec: JobSpec, *, idempotency_key: str | None = None) -> "Run":
        answer = self._send(
            "POST",
            "/v1/jobs",
            content=spec.model_dump_json(exclude_unset=True).encode(),
            headers={
                "Content-Type": "application/json",
                "Idempotency-Key": idempotency_key or uuid.uuid4().hex,
            },
        )
        return Run(self, Job.model_validate_json(answer.content))

    def job(self, job_id: str, *, wait_seconds: float = 0) -> Job:
        """Read a job; with `wait_seconds`, answer when it ends or that time has passed."""
        wait = min(wait_seconds, MAX_WAIT_SECONDS)
        answer = self._send(
            "GET",
            f"/v1/jobs/{job_id}",
            params={"wait": wait} if wait else {},
            timeout=self._timeout_seconds + wait,
        )
        return Job.model_validate_json(answer.content)

    def run(self, job_id: str) -> "Run":
        return Run(self, self.job(job_id))

    def jobs(self, *, state: JobState | None = None) -> Iterator[Job]:
        """Iterate over all jobs, newest first, page by page."""
        query: dict[str, str] = {"state": state} if state else {}
        while True:
            page = self._send("GET", "/v1/jobs", params=query).json()
            yield from (Job.model_validate(item, strict=False) for item in page["data"])
            if not page["has_more"]:
                return
            query["after"] = page["last_id"]

    def cancel(self, job_id: str) -> Job:
        answer = self._send("POST", f"/v1/jobs/{job_id}/cancel")
        return Job.model_validate_json(answer.content)

    def history(
        self, job_id: str, *, start: int = 0, stop: int | None = None, max_points: int | None = None
    ) -> History:
        wanted = {"start": start, "stop": stop, "max_points": max_points}
        query = {key: value for key, value in wanted.items() if value is not None}
        return History.from_json(
            self._send("GET", f"/v1/jobs/{job_id}/history", params=query).json()
        )

    # -- models -----------------------------------------------------------------------------

    def model(self, model_id: str) -> LinearModel:
        return LinearModel.model_validate_json(self._send("GET", f"/v1/models/{model_id}").content)

    # -- one request ------------------------------------------------------------------------

    def _send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> httpx2.Response:
        attempt = 0
        while True:
            pause = min(0.2 * 2**attempt, 5.0)
            try:
                answer = self._http.request(
                    method,
                    path,
                    content=content,
                    params=params,
                    headers=headers,
                    timeout=timeout or self._timeout_seconds,
                )
            except httpx2.TransportError as error:
                again = _may_be_sent_again(method, path, headers or {}, error)
                if attempt >= self._retries or not again:
                    raise Unreachable(
                        f"no Descend server answers at {self._http.base_url}: {error}"
                    ) from error
            else:
                if answer.status_code != 503 or attempt >= self._retries:
                    return _accepted(answer)
                pause = float(answer.headers.get("Retry-After", pause))
            attempt += 1
            time.sleep(pause)


class Run:
    """A submitted job, seen from here: its latest known state and what came of it."""

    def __init__(self, client: Client, job: Job) -> None:
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


def _reference(
    X: ArrayLike | None,
    y: ArrayLike | None,
    sample_weight: ArrayLike | None,
    dataset: Dataset | str | None,
) -> str | InlineXY:
    if dataset is not None:
        if X is not None or y is not None:
            raise ValueError("give X and y, or a dataset: not both")
        return dataset.id if isinstance(dataset, Dataset) else dataset
    if X is None or y is None:
        raise ValueError("give X and y, or a dataset")
    weights = None if sample_weight is None else np.asarray(sample_weight, float).tolist()
    return InlineXY(
        X=np.asarray(X, float).tolist(), y=np.asarray(y, float).tolist(), sample_weight=weights
    )


def _may_be_sent_again(
    method: str, path: str, headers: Mapping[str, str], error: httpx2.TransportError
) -> bool:
    repeatable = method == "GET" or path.endswith("/cancel") or "Idempotency-Key" in headers
    return repeatable or isinstance(error, httpx2.ConnectError)


def _accepted(answer: httpx2.Response) -> httpx2.Response:
    if answer.is_success:
        return answer
    try:
        problem = answer.json()
    except ValueError:
        raise DescendError(f"the server answered {answer.status_code} without a reason") from None
    kind = error_class(str(problem.get("code")))
    message = problem.get("detail") or problem.get("title")
    raise kind(str(message), param=problem.get("param"))
