"""Jobs: submit, read, wait, list, cancel, try again, delete."""

import asyncio
import re
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from descend.errors import InvalidInput
from descend.ids import ID_PATTERNS
from descend.jobs import Job, JobChanges, JobKind, JobOrder, JobPage, JobSpec, JobState
from descend.limits import DEFAULT_LIST, MAX_METADATA_PAIRS
from service.answers import answer
from service.bodies import JsonBody, OptionalJsonBody
from service.dependencies import (
    GUARDS,
    Filter,
    IdempotencyKey,
    JobCursor,
    JobId,
    Limit,
    Parts,
    PartsOf,
    Wait,
)
from service.openapi import METADATA_PARAMETER, body_of, refusals
from service.submission import ended, ended_or_made, job_answer, retry, submit

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=GUARDS)

INCLUDED = "^(sparkline|counts|sparkline,counts|counts,sparkline)$"
METADATA_FILTER = re.compile(r"metadata\[([^\]]{1,64})\]")


@router.post(
    "",
    status_code=202,
    response_model=Job,
    responses={
        200: {"model": Job, "description": "The job has ended"},
        **refusals(400, 404, 413, 415, 422, 503, 507),
    },
    openapi_extra=body_of("create_job", {"application/json": (JobSpec,)}),
)
async def create_job(
    request: Request,
    parts: PartsOf,
    raw: JsonBody,
    *,
    idempotency_key: IdempotencyKey = None,
    wait: Wait = 0,
) -> Response:
    """Submit a job: what to train, on what, and how. With `wait`, answer when it has ended."""
    # The loop's own threads: run_in_threadpool's limiter and cancel scope cost 60 us a time.
    loop = asyncio.get_running_loop()
    job = await loop.run_in_executor(None, submit, parts, raw, idempotency_key)
    job, waited = await ended_or_made(request, parts, job=job, seconds=wait)
    return job_answer(job, waited=waited)


@router.get(
    "",
    response_model=JobPage,
    responses=refusals(404, 422, 503),
    openapi_extra={"parameters": [METADATA_PARAMETER]},
)
def list_jobs(  # noqa: PLR0913  a query has this many parts
    request: Request,
    parts: PartsOf,
    *,
    after: JobCursor = None,
    limit: Limit = DEFAULT_LIST,
    state: JobState | None = None,
    kind: JobKind = JobKind.TRAIN,
    dataset: Annotated[str | None, Query(pattern=ID_PATTERNS["ds"])] = None,
    q: Filter = None,
    sort: JobOrder = JobOrder.NEWEST,
    include: Annotated[
        str | None,
        Query(pattern=INCLUDED, description="sparkline, counts, or both with a comma between"),
    ] = None,
) -> Response:
    """List jobs of a kind, newest first; trainings unless another kind is asked for."""
    included = (include or "").split(",")
    with parts.database.read() as tx:
        page = tx.jobs.page(
            after=after,
            limit=limit,
            state=state,
            kind=kind,
            dataset=dataset,
            q=q,
            metadata=_metadata_filter(request),
            sort=sort,
        )
        if "sparkline" in included:
            page = page.model_copy(update={"data": parts.overview.with_curves(tx, page.data)})
        counts = parts.overview.counts(tx, kind) if "counts" in included else None
    return answer(JobPage.model_construct(**dict(page), counts=counts))


def _metadata_filter(request: Request) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if not name.startswith("metadata"):
            continue
        match = METADATA_FILTER.fullmatch(name)
        if match is None or "\0" in name + value:
            raise InvalidInput("write metadata[key]=value", param="metadata")
        wanted[match[1]] = value
    if len(wanted) > MAX_METADATA_PAIRS:
        raise InvalidInput(f"at most {MAX_METADATA_PAIRS} metadata filters", param="metadata")
    return wanted


@router.get("/{job_id}", response_model=Job, responses=refusals(404, 422, 503))
async def get_job(request: Request, parts: PartsOf, job_id: JobId, wait: Wait = 0) -> Response:
    """Read a job. With `wait`, answer when it has ended."""
    job = await run_in_threadpool(_read, parts, job_id)
    return answer(await ended(request, parts, job=job, seconds=wait))


def _read(parts: Parts, job_id: str) -> Job:
    with parts.database.read() as tx:
        return tx.jobs.get(job_id)


@router.post("/{job_id}/cancel", response_model=Job, responses=refusals(404, 422, 503, 507))
def cancel_job(parts: PartsOf, job_id: JobId) -> Response:
    """Ask for a job to stop; may be asked twice, and of a job that has ended."""
    with parts.database.begin() as tx:
        job = tx.jobs.request_cancel(job_id)
    return answer(job)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    response_model=Job,
    responses={
        200: {"model": Job, "description": "The job has ended"},
        **refusals(400, 404, 409, 413, 415, 422, 503, 507),
    },
    openapi_extra=body_of("retry_job", {"application/json": (JobChanges,)}, required=False),
)
async def retry_job(
    request: Request,
    parts: PartsOf,
    job_id: JobId,
    raw: OptionalJsonBody,
    *,
    idempotency_key: IdempotencyKey = None,
    wait: Wait = 0,
) -> Response:
    """Try a job that has ended again, as a new job with `parent_id`; the body says what to change.

    With no body it is the same job once more, with the same seed.
    """
    job = await run_in_threadpool(retry, parts, job_id, raw, idempotency_key)
    job, waited = await ended_or_made(request, parts, job=job, seconds=wait)
    return job_answer(job, waited=waited)


@router.delete("/{job_id}", status_code=204, responses=refusals(404, 409, 422, 503, 507))
def delete_job(parts: PartsOf, job_id: JobId) -> Response:
    """Delete a job that has ended, with its history; its model stays."""
    with parts.database.begin() as tx:
        tx.jobs.delete(job_id)
    return Response(status_code=204)
