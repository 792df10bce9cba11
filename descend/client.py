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
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx2
import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel

from descend.datasets import Dataset, InlineXY
from descend.diagnostics import DEFAULT_POINTS, Diagnostics
from descend.errors import DescendError, Unreachable, error_class
from descend.gradients import Gradients
from descend.history import History
from descend.jobs import Hyperparameters, Job, JobSpec, JobState
from descend.limits import MAX_WAIT_SECONDS
from descend.models import LinearModel
from descend.plans import Plan
from descend.runs import Run
from descend.statistics import Covariance, Summary

__all__ = ["Client", "Run"]

_WAIT_STEP_SECONDS = 20.0

Answer = TypeVar("Answer", bound=BaseModel)


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
        spec = _spec(
            X,
            y,
            sample_weight=sample_weight,
            dataset=dataset,
            target=target,
            features=features,
            device=device,
            name=name,
            metadata=metadata,
            **hyperparameters,
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

    # -- questions --------------------------------------------------------------------------

    def plan(
        self,
        X: ArrayLike | None = None,
        y: ArrayLike | None = None,
        *,
        timeout_seconds: float = 60.0,
        **spec: Any,
    ) -> Plan:
        """Say what `train` with the same arguments would do, without training.

        Raises:
            InvalidInput: when the server refuses a value, or the data cannot be trained on.
            TimeoutError: when no worker has answered in that time.
        """
        return self._ask("/v1/plans", _spec(X, y, **spec), Plan, seconds=timeout_seconds)

    def gradients(
        self,
        X: ArrayLike | None = None,
        y: ArrayLike | None = None,
        *,
        timeout_seconds: float = 60.0,
        **spec: Any,
    ) -> Gradients:
        """Compute the gradient at the weights of `init` (zeros, torch, a job's id, weights).

        Raises:
            InvalidInput: when the server refuses a value.
            TimeoutError: when no worker has answered in that time.
        """
        return self._ask("/v1/gradients", _spec(X, y, **spec), Gradients, seconds=timeout_seconds)

    # -- models -----------------------------------------------------------------------------

    def model(self, model_id: str) -> LinearModel:
        return LinearModel.model_validate_json(self._send("GET", f"/v1/models/{model_id}").content)

    def summary(
        self, model_id: str, *, level: float = 0.95, covariance: Covariance = "classical"
    ) -> Summary:
        """Read standard errors, t, p and intervals; `refused` says why there are none."""
        answer = self._send(
            "GET",
            f"/v1/models/{model_id}/summary",
            params={"level": level, "covariance": covariance},
        )
        return Summary.model_validate_json(answer.content)

    def diagnostics(
        self, model_id: str, *, max_points: int = DEFAULT_POINTS, timeout_seconds: float = 60.0
    ) -> Diagnostics:
        """Read what a model's residuals say; the first time a worker computes it.

        Raises:
            TimeoutError: when no worker has answered in that time.
        """
        answer = self._until_answered(
            "GET",
            f"/v1/models/{model_id}/diagnostics",
            params={"max_points": max_points},
            seconds=timeout_seconds,
        )
        return Diagnostics.model_validate_json(answer.content)

    # -- one request ------------------------------------------------------------------------

    def _ask(self, path: str, spec: JobSpec, contract: type[Answer], *, seconds: float) -> Answer:
        answer = self._until_answered(
            "POST",
            path,
            content=spec.model_dump_json(exclude_unset=True).encode(),
            headers={"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex},
            seconds=seconds,
        )
        return contract.model_validate_json(answer.content)

    def _until_answered(
        self, method: str, path: str, *, seconds: float, **request: Any
    ) -> httpx2.Response:
        """Ask again, under the same key, until the answer is there."""
        end = time.monotonic() + seconds
        params = request.pop("params", {})
        while True:
            wait = max(0.0, min(end - time.monotonic(), _WAIT_STEP_SECONDS))
            answer = self._send(
                method,
                path,
                params={**params, "wait": wait},
                timeout=self._timeout_seconds + wait,
                **request,
            )
            if answer.status_code != HTTPStatus.ACCEPTED:
                return answer
            if time.monotonic() >= end:
                raise TimeoutError(f"no answer from {path} after {seconds} s")

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


def _spec(  # noqa: PLR0913  keyword-only, one word per field of JobSpec
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
) -> JobSpec:
    return JobSpec(
        dataset=_reference(X, y, sample_weight, dataset),
        target=target,
        features=features,
        device=device,
        name=name,
        metadata=dict(metadata or {}),
        hyperparameters=Hyperparameters(**hyperparameters),
    )


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
