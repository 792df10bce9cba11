"""What a server keeps: datasets, jobs, histories, models. Listed, read, deleted.

`Client` is this and what can be asked for besides.
"""

import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, Unpack

import httpx2
import numpy as np
from pydantic import BaseModel
from pydantic_core import to_json

from descend import frames
from descend.datasets import Dataset, Preview
from descend.diagnostics import DEFAULT_POINTS, Diagnostics
from descend.encoding import Unseen
from descend.errors import InvalidInput
from descend.events import JobEvent
from descend.following import follow
from descend.health import Readiness
from descend.history import History
from descend.jobs import Job, JobKind, JobState, Page
from descend.limits import MAX_HISTORY_POINTS, MAX_LIST, MAX_WAIT_SECONDS, Limits
from descend.models import LinearModel
from descend.needed_columns import as_line
from descend.predictions import Predictions
from descend.specs import ReadingOptions
from descend.statistics import Covariance, Summary
from descend.transport import Body, Transport, asked_pause, read

__all__ = ["Catalog", "Data"]

_WAIT_STEP_SECONDS = 20.0
_INGEST_SECONDS = 600.0  # a server answers an upload when it has read the whole of it
_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})

Contract = TypeVar("Contract", bound=BaseModel)
Data = Any  # a path, a data frame, columns by name, an array: what frames.py can send


class Catalog:
    """What one server keeps."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def limits(self) -> Limits:
        """Read the limits in force."""
        return self._get("/v1/limits", Limits)

    def ready(self) -> Readiness:
        """Ask which parts of the server work: also one that takes no jobs just now answers."""
        return read(Readiness, self._transport.look("/readyz"))

    # -- datasets ---------------------------------------------------------------------------

    def upload(
        self, source: Data, *, name: str | None = None, **csv_options: Unpack[ReadingOptions]
    ) -> Dataset:
        """Upload a table; its rows are profiled and kept until deleted.

        Args:
            source: a file, which is not read into memory (CSV, Parquet, Arrow, NDJSON, JSON, npy
                or npz, by its suffix, each also with .gz); a pandas or polars frame; a dictionary
                of columns; an array.
            name: by default the file's.
            csv_options: of a CSV `delimiter`, `encoding`, `comment`, `skip_rows`, `header`; of any
                table with text `text`, `null_values`; and `decimal`, `thousands`, `strip`, `dates`:
                a value for all columns, `"COLUMN:value"` for one, or a list of these.

        Raises:
            InvalidInput: when the table cannot be used; `param` names the column.
        """
        return self._upload(_body_of(source), name=name, csv_options=csv_options)

    def dataset(self, dataset_id: str) -> Dataset:
        """Read a dataset's profile."""
        return self._get(f"/v1/datasets/{dataset_id}", Dataset)

    def datasets(self, *, q: str | None = None) -> Iterator[Dataset]:
        """Iterate over all datasets, newest first, page by page; `q` is a part of the name."""
        return self._pages("/v1/datasets", Dataset, q=q)

    def preview(self, dataset_id: str, *, rows: int = 10) -> Preview:
        """Read the first rows of a dataset."""
        return self._get(f"/v1/datasets/{dataset_id}/preview", Preview, rows=rows)

    def append(
        self,
        dataset_id: str,
        source: Data,
        *,
        name: str | None = None,
        **csv_options: Unpack[ReadingOptions],
    ) -> Dataset:
        """Make a new dataset: that one's rows, and below them those of `source`."""
        path = f"/v1/datasets/{dataset_id}/rows"
        return self._upload(_body_of(source), path, name=name, csv_options=csv_options)

    def delete_dataset(self, dataset_id: str) -> None:
        """Delete a dataset; refused with DatasetInUse while jobs that use it have not ended."""
        self._transport.send("DELETE", f"/v1/datasets/{dataset_id}")

    # -- jobs -------------------------------------------------------------------------------

    def job(self, job_id: str, *, wait_seconds: float = 0.0) -> Job:
        """Read a job; with `wait_seconds`, answer when it ends or that time has passed."""
        wait = min(wait_seconds, MAX_WAIT_SECONDS)
        answer = self._transport.send(
            "GET", f"/v1/jobs/{job_id}", params={"wait": wait or None}, wait_seconds=wait
        )
        return read(Job, answer)

    def jobs(
        self,
        *,
        state: JobState | str | None = None,
        kind: JobKind | str | None = None,
        dataset: str | None = None,
        q: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Iterator[Job]:
        """Iterate over all jobs, newest first, page by page; trainings unless `kind` is given."""
        about = {f"metadata[{key}]": value for key, value in (metadata or {}).items()}
        return self._pages("/v1/jobs", Job, state=state, kind=kind, dataset=dataset, q=q, **about)

    def delete_job(self, job_id: str) -> None:
        """Delete a job that has ended, with its history; its model stays."""
        self._transport.send("DELETE", f"/v1/jobs/{job_id}")

    def history(
        self, job_id: str, *, start: int = 0, stop: int | None = None, max_points: int | None = None
    ) -> History:
        """Read the losses of epochs start to stop, or `max_points` of them that keep the shape."""
        path = f"/v1/jobs/{job_id}/history"
        if max_points is not None:
            asked = {"start": start, "stop": stop, "max_points": max_points}
            return History.from_json(self._transport.send("GET", path, params=asked).json())
        parts = []
        while True:
            end = (
                start + MAX_HISTORY_POINTS
                if stop is None
                else min(stop, start + MAX_HISTORY_POINTS)
            )
            asked = {"start": start, "stop": end}
            part = History.from_json(self._transport.send("GET", path, params=asked).json())
            parts.append(part)
            start = end
            if start >= part.total or start == stop or not len(part):
                return History.joined(parts)

    def events(self, job_id: str, *, last_event_id: str | None = None) -> Iterator[JobEvent]:
        """Iterate over what happens to a job as it happens, until it has ended.

        Where the connection is lost it is taken up again behind the last event, so that none is
        missing and none comes twice.

        Raises:
            Unreachable: when no server has answered a few times in a row.
        """
        path = f"/v1/jobs/{job_id}/events"
        return follow(self._transport, path, last_event_id=last_event_id)

    # -- models -----------------------------------------------------------------------------

    def model(self, model_id: str) -> LinearModel:
        """Read a model: weights by name, in original units; it predicts without the server."""
        return self._get(f"/v1/models/{model_id}", LinearModel)

    def models(self) -> Iterator[LinearModel]:
        """Iterate over all models, newest first, page by page."""
        return self._pages("/v1/models", LinearModel)

    def summary(
        self, model_id: str, *, level: float = 0.95, covariance: Covariance | None = None
    ) -> Summary:
        """Read standard errors, t, p and intervals; `refused` says why there are none.

        Without `covariance` they are those that belong to the fit's loss; `definition` says which.
        """
        path = f"/v1/models/{model_id}/summary"
        asked = {} if covariance is None else {"covariance": covariance}
        return self._get(path, Summary, level=level, **asked)

    def diagnostics(
        self, model_id: str, *, max_points: int = DEFAULT_POINTS, wait_seconds: float = 60.0
    ) -> Diagnostics:
        """Read what a model's residuals say; the first time a worker computes it.

        Raises:
            TimeoutError: when no worker has answered in that time.
        """
        answer = self._until_answered(
            "GET",
            f"/v1/models/{model_id}/diagnostics",
            params={"max_points": max_points},
            seconds=wait_seconds,
        )
        return read(Diagnostics, answer)

    def predict(
        self,
        model_id: str,
        X: Data,
        *,
        interval: float | None = None,
        unseen: Unseen = "error",
        **csv_options: Unpack[ReadingOptions],
    ) -> Predictions:
        """Let the server predict; with `interval`, between what ends a new observation lies.

        Args:
            model_id: the model.
            X: rows of numbers in the order of the model's features; a data frame, records or a
                dictionary of columns, of which the model's are taken by name; or a file with them
                (CSV, Parquet, Arrow, NDJSON), which the server reads as it reads an upload.
            interval: its level, such as 0.95.
            unseen: a level that was not in the training data: refused, or the base level.
            csv_options: of a file or a table, as of an upload, but `text`: the model knows its
                columns.

        Raises:
            InvalidInput: when X does not fit the model.
            WrongState: when the model has no statistics from which an interval could be made.
        """
        path = f"/v1/models/{model_id}/predict"
        is_file = isinstance(X, str | Path)
        if is_file or (csv_options and frames.is_table(X)):
            query = {"unseen": unseen, "level": interval, **csv_options}
            body = _body_of(X)
            answer = self._transport.send(
                "POST", path, body=body, params=query, wait_seconds=_INGEST_SECONDS
            )
            return read(Predictions, answer)
        for name in csv_options:
            raise InvalidInput(f"{name} says how text is written: X has none", param=name)
        asked, query = frames.rows_of(X), {}
        if isinstance(asked, list):
            query = {"unseen": unseen, "level": interval}
        elif interval is not None:
            asked["interval"] = {"level": interval}
        body = Body("application/json", to_json(asked, inf_nan_mode="constants"))
        answer = self._transport.send("POST", path, body=body, params=query)
        return read(Predictions, answer)

    def export(
        self,
        model_id: str,
        file: Path | str,
        *,
        format: Literal["json", "safetensors", "onnx", "npz"] | None = None,  # noqa: A002
        dtype: Literal["float64", "float32"] = "float64",
        unseen: Unseen = "error",
    ) -> Path:
        """Write a model to a file that other tools load: json, safetensors, onnx, npz.

        Args:
            model_id: the model.
            file: where to; its suffix says the format, unless `format` does.
            format: of the file.
            dtype: of the file's numbers; JSON has but one kind.
            unseen: what onnx, the one that encodes, makes of a level that was not in the
                training data: NaN, or the base level.

        Raises:
            InvalidInput: when an option does not fit the format, or a weight the dtype.
        """
        path = Path(file)
        chosen = format or path.suffix.removeprefix(".").lower()
        asked = {"format": chosen, "dtype": dtype, "unseen": unseen}
        answer = self._transport.send("GET", f"/v1/models/{model_id}/export", params=asked)
        path.write_bytes(answer.content)
        return path

    def delete_model(self, model_id: str) -> None:
        """Delete a model with its statistics; the job that made it stays."""
        self._transport.send("DELETE", f"/v1/models/{model_id}")

    # -- one request ------------------------------------------------------------------------

    def _get(self, path: str, contract: type[Contract], **params: Any) -> Contract:
        return read(contract, self._transport.send("GET", path, params=params))

    def _pages(self, path: str, contract: type[Contract], **query: Any) -> Iterator[Contract]:
        while True:
            answer = self._transport.send("GET", path, params={"limit": MAX_LIST, **query})
            page = read(Page[contract], answer)  # type: ignore[valid-type]
            yield from page.data
            if not page.has_more:
                return
            query["after"] = page.last_id

    def _upload(
        self,
        body: Body,
        path: str = "/v1/datasets",
        *,
        name: str | None = None,
        csv_options: Mapping[str, Any] = _NO_OPTIONS,
    ) -> Dataset:
        if name is None and isinstance(body.content, Path):
            name = body.content.name
        if body.text:
            own = csv_options.get("text") or []
            lines = [own] if isinstance(own, str) else own
            csv_options = {**csv_options, "text": [*lines, *map(as_line, body.text)]}
        answer = self._transport.send(
            "POST",
            path,
            body=body,
            params={"name": name, **csv_options},
            wait_seconds=_INGEST_SECONDS,
        )
        return read(Dataset, answer)

    def _until_answered(
        self, method: str, path: str, *, seconds: float, **request: Any
    ) -> httpx2.Response:
        """Ask again, under the same key, until the answer is there."""
        end = time.monotonic() + seconds
        params = request.pop("params", {})
        while True:
            wait = max(0.0, min(end - time.monotonic(), _WAIT_STEP_SECONDS))
            answer = self._transport.send(
                method, path, params={**params, "wait": wait}, wait_seconds=wait, **request
            )
            if answer.status_code != HTTPStatus.ACCEPTED:
                return answer
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no answer from {path} after {seconds} s")
            # Where the server had no room for one more that waits, it names a pause.
            time.sleep(min(asked_pause(answer, otherwise=0.0), left))


def _body_of(source: Data) -> Body:
    if isinstance(source, str | Path):
        return frames.file_body(Path(source))
    if frames.is_table(source):
        return frames.columns_body(frames.columns_of(source))
    return frames.npy_body(np.asarray(source))
