"""Models: read, list, summarise, delete."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from descend.errors import WrongState
from descend.jobs import Page
from descend.limits import DEFAULT_LIST
from descend.models import LinearModel
from descend.statistics import Covariance, Summary
from service.answers import answer
from service.dependencies import GUARDS, JobId, Limit, ModelCursor, ModelId, PartsOf
from service.openapi import refusals
from service.summaries import summary

router = APIRouter(prefix="/v1", tags=["models"], dependencies=GUARDS)


Level = Annotated[
    float, Query(gt=0, lt=1, allow_inf_nan=False, description="share of intervals that hold")
]
AskedCovariance = Annotated[
    Covariance | None,
    Query(
        description="whose standard errors; by default those that belong to the fit's loss:"
        " classical (squared), kernel (absolute, quantile), sandwich (huber)"
    ),
]


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


@router.get("/models/{model_id}/summary", response_model=Summary, responses=refusals(404, 422, 503))
def get_summary(
    parts: PartsOf, model_id: ModelId, level: Level = 0.95, covariance: AskedCovariance = None
) -> Response:
    """Read standard errors, t, p and intervals of the weights, or why there are none."""
    with parts.database.read() as tx:
        model = tx.models.get(model_id)
        known = tx.models.statistics(model_id)
    return answer(summary(model, known, level=level, covariance=covariance))


@router.delete("/models/{model_id}", status_code=204, responses=refusals(404, 422, 503, 507))
def delete_model(parts: PartsOf, model_id: ModelId) -> Response:
    """Delete a model with its statistics; the job that made it stays, without a model."""
    with parts.database.begin() as tx:
        tx.models.delete(model_id)
    return Response(status_code=204)
