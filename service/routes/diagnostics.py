"""Diagnostics of a model, computed by a job of its own the first time they are asked for."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from descend.datasets import Dataset
from descend.diagnostics import DEFAULT_POINTS, MAX_POINTS, Diagnostics
from descend.errors import Conflict, DatasetNotFound, JobNotFound
from descend.jobs import Hyperparameters, InitialWeights, Job, JobKind, JobSpec, queue_of
from descend.models import LinearModel, Provenance
from service.answers import answer
from service.dependencies import GUARDS, AnswerWait, ModelId, Parts, PartsOf
from service.openapi import refusals
from service.submission import FIRST, answered, ended_or_made, job_answer, queue
from storage.database import Transaction

router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=GUARDS)

REBUILT = "rebuilt"
UNKNOWN = (
    "the job that trained this model was deleted, and the model does not say which rows were held"
    " out or how they were weighted: all rows count as trained on, and alike"
)

Points = Annotated[
    int, Query(ge=1, le=MAX_POINTS, description="rows of each target, at most; drawn by a seed")
]


@router.get(
    "/{model_id}/diagnostics",
    response_model=Diagnostics,
    responses={
        202: {"model": Job, "description": "Not yet: ask again, or read the job"},
        **refusals(404, 409, 422, 503, 507),
    },
)
async def get_diagnostics(
    request: Request,
    parts: PartsOf,
    model_id: ModelId,
    *,
    max_points: Points = DEFAULT_POINTS,
    wait: AnswerWait = 10,
) -> Response:
    """Read what a model's residuals say: a sample of rows, exact quantiles, tests by name."""
    job = await run_in_threadpool(_asked_once, parts, model_id)
    job, waited = await ended_or_made(request, parts, job=job, seconds=wait)
    if not job.state.is_terminal:
        return job_answer(job, waited=waited)
    told = answered(job, Diagnostics).thinned(model_id, max_points)
    notes = [*told.warnings, *(text for key, text in job.metadata.items() if key == REBUILT)]
    return answer(told.model_copy(update={"warnings": notes}), location=f"/v1/jobs/{job.id}")


def _asked_once(parts: Parts, model_id: str) -> Job:
    """Find the job that answers this, or queue it; one that failed is asked again."""
    # With spaces: no client's Idempotency-Key is that. From 1: earlier answers counted rows from 0.
    key = f"diagnostics {model_id} from 1"
    with parts.database.read() as tx:
        model = tx.models.get(model_id)
        earlier = tx.jobs.earlier(key, key)
    if earlier is not None and _answers(earlier):
        return earlier
    with parts.database.begin() as tx:
        # Others that ask saw the same job: one of them may have queued the next by now.
        earlier = tx.jobs.earlier(key, key)
        if earlier is not None and _answers(earlier):
            return earlier
        if earlier is not None:
            with suppress(JobNotFound):  # PostgreSQL: another transaction was faster
                tx.jobs.delete(earlier.id)
        job, created = queue(parts, tx, _spec(tx, model), kind=JobKind.DIAGNOSTICS, key=key)
    if created:
        parts.doorbell.ring(queue_of(job.spec))
    return job


def _answers(job: Job) -> bool:
    """Say whether a job has the answer, or may yet have it."""
    return not job.state.is_terminal or job.result is not None


def _spec(tx: Transaction, model: LinearModel) -> JobSpec:
    """Ask for a pass over the rows that the model was trained on, with the model's weights."""
    if model.provenance is None:
        raise Conflict("this model does not know its data set")
    try:
        dataset = tx.datasets.get(model.provenance.dataset_id)
    except DatasetNotFound:
        raise Conflict(
            f"the data set {model.provenance.dataset_id} of this model was deleted: its rows"
            " cannot be read again"
        ) from None
    try:
        return _of_job(tx.jobs.get(model.provenance.job_id), model, dataset)
    except JobNotFound:
        return _of_model(model, model.provenance, dataset)


def _of_job(job: Job, model: LinearModel, dataset: Dataset) -> JobSpec:
    trained = job.resolved_hyperparameters
    asked = job.spec
    return JobSpec(
        dataset=dataset.id,
        target=asked.target,
        features=asked.features,
        weight=asked.weight,
        missing=asked.missing,
        categorical=asked.categorical,
        priority=FIRST,
        hyperparameters=Hyperparameters(
            init=_weights(model, fit_intercept=trained.fit_intercept),
            fit_intercept=trained.fit_intercept,
            validation_fraction=trained.validation_fraction,
            seed=job.seed,
        ),
    )


def _of_model(model: LinearModel, of: Provenance, dataset: Dataset) -> JobSpec:
    inputs = model.encoding.inputs if model.encoding else []
    fills = any(one.fill is not None for one in inputs)
    fit_intercept = any(model.intercept)
    known = of.validation_fraction is not None
    return JobSpec(
        dataset=dataset.id,
        target=model.targets,
        features=[one.name for one in inputs] or model.features,
        weight=of.weight,
        missing=of.missing or ("mean" if fills else "drop"),
        priority=FIRST,
        hyperparameters=Hyperparameters(
            init=_weights(model, fit_intercept=fit_intercept),
            fit_intercept=fit_intercept,
            validation_fraction=of.validation_fraction or 0,
            seed=of.seed,
        ),
        metadata={} if known else {REBUILT: UNKNOWN},
    )


def _weights(model: LinearModel, *, fit_intercept: bool) -> InitialWeights:
    return InitialWeights(
        coef=model.coef,
        intercept=model.intercept if fit_intercept else None,
        features=model.features,
    )
