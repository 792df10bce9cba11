"""Jobs: submit, read, wait, list, cancel, delete."""

import asyncio
import hashlib
import re
import secrets
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter

from descend.errors import InvalidInput
from descend.ids import ID_PATTERNS, new_id
from descend.jobs import Job, JobSpec, JobState, Page, queue_of
from descend.limits import DEFAULT_LIST, MAX_METADATA_PAIRS
from service.admission import admit
from service.answers import answer
from service.bodies import JsonBody, parse
from service.dependencies import (
    GUARDS,
    Cursor,
    Filter,
    IdempotencyKey,
    JobId,
    Limit,
    Parts,
    PartsOf,
    Wait,
)
from service.openapi import METADATA_PARAMETER, body_of, refusals
from service.references import initial_weights, validation_dataset
from service.uploads import store
from storage.database import Transaction
from storage.ingest import ingest_json

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=GUARDS)

JOB_SPEC: TypeAdapter[JobSpec] = TypeAdapter(JobSpec)
METADATA_FILTER = re.compile(r"metadata\[([^\]]{1,64})\]")
MADE_SEEDS = 2**32


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
    job = await loop.run_in_executor(None, _submit, parts, raw, idempotency_key)
    if wait and not job.state.is_terminal:
        job = await _ended(request, parts, job_id=job.id, seconds=wait)
    status = 200 if job.state.is_terminal else 202
    return answer(job, status, location=f"/v1/jobs/{job.id}")


def _submit(parts: Parts, raw: bytes, idempotency_key: str | None) -> Job:
    spec = parse(raw, JOB_SPEC)
    request_sha256 = hashlib.sha256(raw).hexdigest()
    if idempotency_key is not None:
        with parts.database.read() as tx:
            # Also where the dataset was deleted since; and nothing is made only to be thrown away.
            if earlier := tx.jobs.earlier(idempotency_key, request_sha256):
                return earlier
    inline = None if isinstance(spec.dataset, str) else ingest_json(spec.dataset, name=spec.name)
    stored = inline and store(inline, parts.artefacts)

    def add(tx: Transaction) -> tuple[Job, bool]:
        dataset = stored.dataset if stored else tx.datasets.get(str(spec.dataset))
        columns = admit(spec, dataset)
        validation_dataset(spec, columns, tx)
        job, created = tx.jobs.add(
            spec,
            dataset,
            job_id=new_id("job"),
            targets=columns.targets,
            features=columns.features,
            weight=columns.weight,
            seed=_seed(spec),
            init=initial_weights(spec, columns, tx),
            idempotency_key=idempotency_key,
            request_sha256=request_sha256,
            max_queued=parts.settings.limits.queued_jobs,
        )
        if stored and created:
            tx.datasets.add(dataset, inline=stored.inline, artefact=stored.artefact)
        return job, created

    job, created = parts.database.together(add)
    if created:
        parts.doorbell.ring(queue_of(spec))
    return job


def _seed(spec: JobSpec) -> int:
    given = spec.hyperparameters.seed
    return secrets.randbelow(MADE_SEEDS) if given is None else given


@router.get(
    "",
    response_model=Page[Job],
    responses=refusals(422, 503),
    openapi_extra={"parameters": [METADATA_PARAMETER]},
)
def list_jobs(
    request: Request,
    parts: PartsOf,
    *,
    after: Cursor = None,
    limit: Limit = DEFAULT_LIST,
    state: JobState | None = None,
    dataset: Annotated[str | None, Query(pattern=ID_PATTERNS["ds"])] = None,
    q: Filter = None,
) -> Response:
    """List jobs, newest first."""
    with parts.database.read() as tx:
        page = tx.jobs.page(
            after=after,
            limit=limit,
            state=state,
            dataset=dataset,
            q=q,
            metadata=_metadata_filter(request),
        )
    return answer(page)


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
    if wait and not job.state.is_terminal:
        job = await _ended(request, parts, job_id=job_id, seconds=wait)
    return answer(job)


def _read(parts: Parts, job_id: str) -> Job:
    with parts.database.read() as tx:
        return tx.jobs.get(job_id)


async def _ended(request: Request, parts: Parts, *, job_id: str, seconds: float) -> Job:
    """Wait for the job's end, the time, or the caller's leaving; no thread is held meanwhile."""
    end = asyncio.create_task(parts.watcher.ended(job_id, seconds=seconds))
    gone = asyncio.create_task(_caller_gone(request))
    try:
        await asyncio.wait({end, gone}, return_when=asyncio.FIRST_COMPLETED)
        if end.done():
            end.result()
    finally:
        end.cancel()
        gone.cancel()
    return await run_in_threadpool(_read, parts, job_id)


async def _caller_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@router.post("/{job_id}/cancel", response_model=Job, responses=refusals(404, 422, 503))
def cancel_job(parts: PartsOf, job_id: JobId) -> Response:
    """Ask for a job to stop; may be asked twice, and of a job that has ended."""
    with parts.database.begin() as tx:
        job = tx.jobs.request_cancel(job_id)
    return answer(job)


@router.delete("/{job_id}", status_code=204, responses=refusals(404, 409, 422, 503))
def delete_job(parts: PartsOf, job_id: JobId) -> Response:
    """Delete a job that has ended, with its history; its model stays."""
    with parts.database.begin() as tx:
        tx.jobs.delete(job_id)
    return Response(status_code=204)
