"""From a body to a job in the queue, and from a job that is no training to its answer."""

import asyncio
import hashlib
import secrets
from typing import TypeVar

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, TypeAdapter

from descend.datasets import Dataset
from descend.errors import DescendError, InvalidInput, WrongState, error_class
from descend.ids import new_id
from descend.jobs import Job, JobKind, JobSpec, JobState, queue_of
from service.admission import admit
from service.answers import answer
from service.bodies import parse
from service.dependencies import Parts
from service.references import initial_weights, validation_dataset
from service.uploads import store
from storage.database import Transaction
from storage.ingest import ingest_json

__all__ = ["answered", "asked", "ended", "queue", "submit"]

JOB_SPEC: TypeAdapter[JobSpec] = TypeAdapter(JobSpec)
MADE_SEEDS = 2**32
FIRST = 9  # the priority of a question: somebody waits for it

Answer = TypeVar("Answer", bound=BaseModel)


def submit(
    parts: Parts, raw: bytes, idempotency_key: str | None, *, kind: JobKind = JobKind.TRAIN
) -> Job:
    """Queue the job that a body describes, or find the one that it made before."""
    spec = parse(raw, JOB_SPEC)
    request_sha256 = _digest(raw, kind)
    if idempotency_key is not None:
        with parts.database.read() as tx:
            # Also where the dataset was deleted since; and nothing is made only to be thrown away.
            if earlier := tx.jobs.earlier(idempotency_key, request_sha256):
                return earlier
    if kind is not JobKind.TRAIN and "priority" not in spec.model_fields_set:
        spec = spec.model_copy(update={"priority": FIRST})
    inline = None if isinstance(spec.dataset, str) else ingest_json(spec.dataset, name=spec.name)
    stored = inline and store(inline, parts.artefacts)

    def add(tx: Transaction) -> tuple[Job, bool]:
        dataset = stored.dataset if stored else tx.datasets.get(str(spec.dataset))
        keys = (idempotency_key, request_sha256)
        job, created = _add(tx, spec, dataset, keys=keys, kind=kind, parts=parts)
        if stored and created:
            tx.datasets.add(dataset, inline=stored.inline, artefact=stored.artefact)
        return job, created

    job, created = parts.database.together(add)
    if created:
        parts.doorbell.ring(queue_of(spec))
    return job


def queue(
    parts: Parts, tx: Transaction, spec: JobSpec, *, kind: JobKind, key: str
) -> tuple[Job, bool]:
    """Queue a job that the service itself asks for, found again by its key."""
    dataset = tx.datasets.get(str(spec.dataset))
    return _add(tx, spec, dataset, keys=(key, key), kind=kind, parts=parts)


def _add(
    tx: Transaction,
    spec: JobSpec,
    dataset: Dataset,
    *,
    keys: tuple[str | None, str],
    kind: JobKind,
    parts: Parts,
) -> tuple[Job, bool]:
    """Admit a job and queue it; `keys`: its idempotency key and the request's hash."""
    columns = admit(spec, dataset)
    validation_dataset(spec, dataset, columns, tx)
    idempotency_key, request_sha256 = keys
    return tx.jobs.add(
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
        kind=kind,
    )


async def ended(request: Request, parts: Parts, *, job: Job, seconds: float) -> Job:
    """Wait for the job's end, the time, or the caller's leaving; no thread is held meanwhile."""
    if not seconds or job.state.is_terminal:
        return job
    end = asyncio.create_task(parts.watcher.ended(job.id, seconds=seconds))
    gone = asyncio.create_task(_caller_gone(request))
    try:
        await asyncio.wait({end, gone}, return_when=asyncio.FIRST_COMPLETED)
        if end.done():
            end.result()
    finally:
        end.cancel()
        gone.cancel()
    return await run_in_threadpool(_read, parts, job.id)


async def asked(
    request: Request, parts: Parts, job: Job, contract: type[Answer], *, seconds: float
) -> Response:
    """Answer with the job's result, or after `seconds` with the job, which is to hold it."""
    job = await ended(request, parts, job=job, seconds=seconds)
    where = f"/v1/jobs/{job.id}"
    if not job.state.is_terminal:
        return answer(job, 202, location=where)
    return answer(answered(job, contract), location=where)


def answered(job: Job, contract: type[Answer]) -> Answer:
    """Read the result of a job that has ended.

    Raises:
        DescendError: what the job's error says; WrongState where it was cancelled or lost.
    """
    if job.state is JobState.SUCCEEDED:
        return contract.model_validate(job.result)
    if job.error is None:
        raise WrongState(f"job {job.id} was {job.state}: ask again")
    kind = error_class(job.error.code)
    if kind is DescendError and job.error.code != DescendError.code:
        kind = InvalidInput  # a code of the workers' own: the device, the process
    raise kind(job.error.message, param=job.error.param)


def _digest(raw: bytes, kind: JobKind) -> str:
    """Hash a request: the same body asks two things of two routes."""
    about = b"" if kind is JobKind.TRAIN else kind.value.encode() + b"\n"
    return hashlib.sha256(about + raw).hexdigest()


def _seed(spec: JobSpec) -> int:
    given = spec.hyperparameters.seed
    return secrets.randbelow(MADE_SEEDS) if given is None else given


def _read(parts: Parts, job_id: str) -> Job:
    with parts.database.read() as tx:
        return tx.jobs.get(job_id)


async def _caller_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
