"""Models: read, list, predict."""

from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Response
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter
from pydantic_core import to_json

from descend.datasets import Cell, Matrix
from descend.encoding import Unseen
from descend.errors import InvalidInput, WrongState
from descend.jobs import Page
from descend.limits import DEFAULT_LIST
from descend.models import LinearModel
from service.answers import answer
from service.bodies import JsonBody, parse
from service.dependencies import GUARDS, Cursor, JobId, Limit, ModelId, PartsOf
from service.openapi import body_of, refusals

router = APIRouter(prefix="/v1", tags=["models"], dependencies=GUARDS)


class PredictX(BaseModel):
    """Rows as numbers, in the order of the model's features."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    X: Matrix = Field(min_length=1, description="n_samples rows of n_features numbers")


class PredictRows(BaseModel):
    """Raw records: a value for every column that the model was trained on, nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: Annotated[list[dict[str, Cell]], Field(min_length=1, fail_fast=True)]
    unseen: Unseen = Field(
        "error", description="a level that was not in the training data: refused, or the base level"
    )


class Predictions(BaseModel):
    """What the model says: one row for each row, one number for each target."""

    model_config = ConfigDict(frozen=True)

    object: Literal["predictions"] = "predictions"
    model_id: str
    targets: list[str]
    y: list[list[float]]


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
def list_models(parts: PartsOf, after: Cursor = None, limit: Limit = DEFAULT_LIST) -> Response:
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
    responses=refusals(400, 404, 413, 415, 422, 503),
    openapi_extra=body_of("predict", {"application/json": (PredictX, PredictRows)}),
)
def predict(parts: PartsOf, model_id: ModelId, raw: JsonBody) -> Response:
    """Predict the targets of rows given by name or as numbers."""
    body = parse(raw, PREDICT)
    with parts.database.read() as tx:
        model = tx.models.get(model_id)
    X = body.X if isinstance(body, PredictX) else model.encode(body.rows, unseen=body.unseen)
    predicted = Predictions.model_construct(
        object="predictions", model_id=model_id, targets=model.targets, y=_finite(model, X)
    )
    return Response(to_json(predicted), media_type="application/json")


def _finite(model: LinearModel, X: ArrayLike) -> list[list[float]]:
    with np.errstate(over="ignore", invalid="ignore"):
        y: NDArray[np.float64] = model.predict(X)
    if not np.isfinite(y).all():
        row = int(np.flatnonzero(~np.isfinite(y).all(axis=1))[0])
        raise InvalidInput(f"row {row} predicts a number too large to write", param="X")
    result: list[list[float]] = y.tolist()
    return result
