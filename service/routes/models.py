"""Models: read, list, summarise, predict, delete."""

from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Response
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter
from pydantic_core import to_json

from descend.datasets import Cell, Matrix, Number
from descend.encoding import Unseen
from descend.errors import InvalidInput, WrongState
from descend.jobs import Page
from descend.limits import DEFAULT_LIST, MAX_ENCODED_CELLS, MAX_PREDICTIONS
from descend.models import LinearModel
from descend.predictions import Interval, Predictions
from descend.statistics import Covariance, Summary
from service.answers import answer
from service.bodies import JsonBody, parse
from service.dependencies import GUARDS, JobId, Limit, ModelCursor, ModelId, PartsOf
from service.openapi import body_of, refusals
from service.summaries import interval_reach, summary
from storage.models import KnownStatistics

router = APIRouter(prefix="/v1", tags=["models"], dependencies=GUARDS)


Level = Annotated[
    float, Query(gt=0, lt=1, allow_inf_nan=False, description="share of intervals that hold")
]


class AskedInterval(BaseModel):
    """Which interval to give about each prediction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Annotated[Number, Field(gt=0, lt=1)] = 0.95
    kind: Literal["prediction", "mean"] = Field(
        "prediction", description="of a new observation of weight 1, or of the mean"
    )


class PredictX(BaseModel):
    """Rows as numbers, in the order of the model's features."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    X: Matrix = Field(min_length=1, description="n_samples rows of n_features numbers")
    interval: AskedInterval | None = None


class PredictRows(BaseModel):
    """Raw records: a value for every column that the model was trained on, nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: Annotated[list[dict[str, Cell]], Field(min_length=1, fail_fast=True)]
    unseen: Unseen = Field(
        "error", description="a level that was not in the training data: refused, or the base level"
    )
    interval: AskedInterval | None = None


def _kind_of_rows(value: object) -> str:
    return "by-name" if isinstance(value, dict) and "rows" in value else "by-place"


PREDICT: TypeAdapter[PredictX | PredictRows] = TypeAdapter(
    Annotated[
        Annotated[PredictX, Tag("by-place")] | Annotated[PredictRows, Tag("by-name")],
        Discriminator(_kind_of_rows),
    ]
)


@router.get(
    "/jobs/{job_id}/model", response_model=LinearModel, responses=refusals(404, 409, 422, 503)
)
def get_job_model(parts: PartsOf, job_id: JobId) -> Response:
    """Read the weights that a job trained, by name, in original units."""
    with parts.database.read() as tx:
        job = tx.jobs.get(job_id)
        if job.model_id is None:
            raise WrongState(f"job {job_id} is {job.state}: it has no model")
        model = tx.models.of_job(job_id)
    return answer(model)


@router.get("/models", response_model=Page[LinearModel], responses=refusals(422, 503))
def list_models(parts: PartsOf, after: ModelCursor = None, limit: Limit = DEFAULT_LIST) -> Response:
    """List models, newest first."""
    with parts.database.read() as tx:
        page = tx.models.page(after=after, limit=limit)
    return answer(page)


@router.get("/models/{model_id}", response_model=LinearModel, responses=refusals(404, 422, 503))
def get_model(parts: PartsOf, model_id: ModelId) -> Response:
    """Read a model: weights by name, in original units."""
    with parts.database.read() as tx:
        model = tx.models.get(model_id)
    return answer(model)


@router.post(
    "/models/{model_id}/predict",
    response_model=Predictions,
    responses=refusals(400, 404, 409, 413, 415, 422, 503),
    openapi_extra=body_of("predict", {"application/json": (PredictX, PredictRows)}),
)
def predict(parts: PartsOf, model_id: ModelId, raw: JsonBody) -> Response:
    """Predict the targets of rows given by name or as numbers."""
    body = parse(raw, PREDICT)
    with parts.database.read() as tx:
        model = tx.models.get(model_id)
        known = tx.models.statistics(model_id) if body.interval else None
    _refuse_too_many(model, body)
    X = body.X if isinstance(body, PredictX) else model.encode(body.rows, unseen=body.unseen)
    y = _finite(model, X)
    predicted = Predictions.model_construct(
        object="predictions",
        model_id=model_id,
        targets=model.targets,
        y=y,
        interval=_interval(body.interval, known, X, y) if body.interval else None,
    )
    return Response(to_json(predicted, exclude_none=True), media_type="application/json")


@router.get("/models/{model_id}/summary", response_model=Summary, responses=refusals(404, 422, 503))
def get_summary(
    parts: PartsOf, model_id: ModelId, level: Level = 0.95, covariance: Covariance = "classical"
) -> Response:
    """Read standard errors, t, p and intervals of the weights, or why there are none."""
    with parts.database.read() as tx:
        model = tx.models.get(model_id)
        known = tx.models.statistics(model_id)
    return answer(summary(model, known, level=level, covariance=covariance))


@router.delete("/models/{model_id}", status_code=204, responses=refusals(404, 422, 503))
def delete_model(parts: PartsOf, model_id: ModelId) -> Response:
    """Delete a model with its statistics; the job that made it stays, without a model."""
    with parts.database.begin() as tx:
        tx.models.delete(model_id)
    return Response(status_code=204)


def _refuse_too_many(model: LinearModel, body: PredictX | PredictRows) -> None:
    """A row may be two bytes, and what becomes of it thousands of numbers."""
    rows, name = (body.X, "X") if isinstance(body, PredictX) else (body.rows, "rows")
    n_rows, n_features, n_targets = len(rows), len(model.features), len(model.targets)
    if n_rows * n_features > MAX_ENCODED_CELLS or n_rows * n_targets > MAX_PREDICTIONS:
        raise InvalidInput(
            f"{n_rows} rows of {n_features} features and {n_targets} targets are too many for one"
            " request: send fewer at a time",
            param=name,
        )


def _interval(
    asked: AskedInterval,
    known: KnownStatistics | None,
    X: ArrayLike,
    y: list[list[float]],
) -> Interval:
    at, middle = np.asarray(X, dtype=np.float64), np.asarray(y)
    with np.errstate(over="ignore", invalid="ignore"):
        reach = interval_reach(known, at, level=asked.level, of_mean=asked.kind == "mean")
        low, high = middle - reach, middle + reach
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise InvalidInput("an interval has an end too large to write", param="X")
    return Interval(level=asked.level, kind=asked.kind, low=low.tolist(), high=high.tolist())


def _finite(model: LinearModel, X: ArrayLike) -> list[list[float]]:
    with np.errstate(over="ignore", invalid="ignore"):
        y: NDArray[np.float64] = model.predict(X)
    if not np.isfinite(y).all():
        row = int(np.flatnonzero(~np.isfinite(y).all(axis=1))[0])
        raise InvalidInput(f"row {row} predicts a number too large to write", param="X")
    result: list[list[float]] = y.tolist()
    return result
