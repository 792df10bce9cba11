"""The client: submit, wait, read back. Synchronous, over httpx2.

    client = descend.Client("http://127.0.0.1:8000")
    run = client.train(X, y, learning_rate=0.01, max_epochs=1000).wait()
    run.history.train_loss
    run.model.predict([[4.0]])

Every submission carries an Idempotency-Key, so a request whose answer was lost is sent again
without making a second job.
"""

import uuid
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from numpy.typing import ArrayLike
from pydantic import BaseModel
from pydantic_core import to_json

from descend.catalog import Catalog, Data
from descend.datasets import ARRAYS, MEDIA_TYPES
from descend.errors import NOTHING_MADE, DescendError, InvalidInput
from descend.gradients import Gradients
from descend.jobs import Job, JobSpec
from descend.limits import MAX_WAIT_SECONDS
from descend.needed_columns import needed_columns
from descend.plans import Plan
from descend.runs import Run
from descend.settings import ClientSettings
from descend.specs import (
    Given,
    Options,
    TrainOptions,
    given,
    job_spec,
    parted,
    spec_changes,
)
from descend.transport import Body, Transport, read

__all__ = ["Client", "Run"]

_NOT_YET = f"ds_{0:032}"  # stands for the dataset until it is uploaded

_STOP_SECONDS = 5.0

Contract = TypeVar("Contract", bound=BaseModel)


class Client(Catalog):
    """A connection to one Descend server.

    Args:
        url: where the server listens; by default DESCEND_URL, else http://127.0.0.1:8000.
        api_key: `dsc_<id>_<secret>`, where the server asks for one; by default DESCEND_API_KEY.
        timeout_seconds: for one request, beyond any time it was asked to wait.
        retries: how often a request that got no answer, 429 or 503 is sent again.

    Example:
        with Client() as client:
            run = client.train("cars.csv", target="mpg").wait()
            print(run.model.coef)
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 30.0,
        retries: int = 3,
    ) -> None:
        settings = ClientSettings.from_environment()
        super().__init__(
            Transport(
                url or settings.url,
                api_key=api_key or settings.api_key,
                timeout_seconds=timeout_seconds,
                retries=retries,
            )
        )

    def __repr__(self) -> str:
        return f"<Client {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._transport.url

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._transport.close()

    # -- jobs -------------------------------------------------------------------------------

    def train(
        self,
        X: Data = None,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        dataset: Data = None,
        wait_seconds: float = 0.0,
        **options: Unpack[TrainOptions],
    ) -> Run:
        """Submit a job and return at once with what it has become so far.

        Args:
            X: rows and columns of numbers, with `y` beside them; or a whole table (a file, a
                frame, a dictionary of columns), of which `target` names a column.
            y: the targets of X, one column or several.
            sample_weight: a weight >= 0 for each row of X.
            dataset: a Dataset or its id, instead of X.
            wait_seconds: answer when the job has ended, or that time has passed.
            options: target, features, … and every hyperparameter (see Options); of a table with
                text also how it is written (see `upload`).

        Raises:
            InvalidInput: when a value cannot be used; `param` names it.
            Unreachable: when no server answers.
        """
        data = given(X, y, sample_weight, dataset, read=bool(parted(options)[1]))
        spec = self._spec(data, options)
        try:
            return self.submit(spec, wait_seconds=wait_seconds)
        except NOTHING_MADE:
            self._forget(spec, data)
            raise

    def submit(
        self, spec: JobSpec, *, idempotency_key: str | None = None, wait_seconds: float = 0.0
    ) -> Run:
        """Submit what a JobSpec says; the same key with the same spec is the same job."""
        wait = min(wait_seconds, MAX_WAIT_SECONDS)
        answer = self._transport.send(
            "POST",
            "/v1/jobs",
            body=_json(spec),
            params={"wait": wait or None},
            headers={"Idempotency-Key": idempotency_key or uuid.uuid4().hex},
            wait_seconds=wait,
        )
        return Run(self, read(Job, answer))

    def run(self, job_id: str) -> Run:
        """Take up a job that was submitted earlier, or elsewhere."""
        return Run(self, self.job(job_id))

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop; may be repeated, and asked of a job that has ended."""
        return read(Job, self._transport.send("POST", f"/v1/jobs/{job_id}/cancel"))

    def retry(self, job_id: str, **changes: Unpack[Options]) -> Run:
        """Try a job that has ended again, with changes: a new job with `parent_id`.

        Its seed is kept, but for `seed=None`; pairs of `metadata` join those that it had.
        """
        body = Body("application/json", to_json(spec_changes(changes))) if changes else None
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        path = f"/v1/jobs/{job_id}/retry"
        return Run(self, read(Job, self._transport.send("POST", path, body=body, headers=headers)))

    # -- questions --------------------------------------------------------------------------

    def plan(
        self,
        X: Data = None,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        dataset: Data = None,
        wait_seconds: float = 60.0,
        **options: Unpack[TrainOptions],
    ) -> Plan:
        """Say what `train` with the same arguments would do, without training.

        Raises:
            InvalidInput: when a value cannot be used, or the data cannot be trained on.
            TimeoutError: when no worker has answered in that time; its job is cancelled.
        """
        data = given(X, y, sample_weight, dataset, read=bool(parted(options)[1]))
        return self._ask("/v1/plans", data, options, Plan, seconds=wait_seconds)

    def gradients(
        self,
        X: Data = None,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        dataset: Data = None,
        wait_seconds: float = 60.0,
        **options: Unpack[TrainOptions],
    ) -> Gradients:
        """Compute the gradient at the weights of `init` (zeros, torch, a job's id, weights).

        Raises:
            InvalidInput: when a value cannot be used.
            TimeoutError: when no worker has answered in that time; its job is cancelled.
        """
        data = given(X, y, sample_weight, dataset, read=bool(parted(options)[1]))
        return self._ask("/v1/gradients", data, options, Gradients, seconds=wait_seconds)

    # -- one request ------------------------------------------------------------------------

    def _ask(
        self,
        path: str,
        data: Given,
        options: Mapping[str, Any],
        contract: type[Contract],
        *,
        seconds: float,
    ) -> Contract:
        spec = self._spec(data, options)
        asked = {"body": _json(spec), "headers": {"Idempotency-Key": uuid.uuid4().hex}}
        try:
            answer = self._until_answered("POST", path, seconds=seconds, **asked)
        except (TimeoutError, KeyboardInterrupt):
            self._withdraw(path, asked)
            raise
        finally:
            self._forget(spec, data)
        return read(contract, answer)

    def _withdraw(self, path: str, asked: Mapping[str, Any]) -> None:
        """Cancel what nobody waits for any more; the same key names its job."""
        with suppress(DescendError):
            answer = self._transport.send("POST", path, **asked)
            if answer.status_code == HTTPStatus.ACCEPTED:
                job = self.cancel(read(Job, answer).id)
                self.job(job.id, wait_seconds=_STOP_SECONDS)  # its data is in use until then

    def _spec(self, data: Given, options: Mapping[str, Any]) -> JobSpec:
        """Make the JobSpec; what cannot be used is refused before anything is uploaded."""
        about_job, reading = parted(options)
        if reading and data.body is None:
            name = next(iter(reading))
            raise InvalidInput(
                f"{name} says how text is read: the data is none that is uploaded", param=name
            )
        spec = job_spec(data.reference or _NOT_YET, {**data.options, **about_job})
        if data.body is None:
            return spec
        if MEDIA_TYPES.get(data.body.media_type) not in ARRAYS:
            reading = needed_columns({**data.options, **about_job}) | reading
        dataset = self._upload(data.body, name=spec.name, csv_options=reading)
        return spec.model_copy(update={"dataset": dataset.id})

    def _forget(self, spec: JobSpec, data: Given) -> None:
        """Delete what was uploaded for this request alone, unless a job is using it."""
        if data.body is not None:
            with suppress(DescendError):
                self.delete_dataset(str(spec.dataset))


def _json(spec: JobSpec) -> Body:
    return Body("application/json", spec.model_dump_json(exclude_unset=True).encode())
