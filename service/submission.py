"""From a body to a job in the queue, and from a job that is no training to its answer."""

import asyncio
import hashlib
import secrets
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_json

from descend.datasets import Dataset, InlineData
from descend.errors import (
    DescendError,
    InvalidInput,
    JobNotFound,
    Unavailable,
    WrongState,
    error_class,
)
from descend.ids import new_id
from descend.jobs import Job, JobChanges, JobKind, JobSpec, JobState, queue_of
from service.admission import admit
from service.answers import answer
from service.bodies import parse
from service.dependencies import Parts
from service.inline_data import looked_at
from service.references import initial_weights, validation_dataset
from service.uploads import Stored, kept_with_row, store
from storage.database import Transaction
from storage.ingest import Ingested, JsonTable

__all__ = ["answered", "asked", "ended", "ended_or_made", "job_answer", "queue", "retry", "submit"]

JOB_SPEC: TypeAdapter[JobSpec] = TypeAdapter(JobSpec)
JOB_CHANGES: TypeAdapter[JobChanges] = TypeAdapter(JobChanges)
MADE_SEEDS = 2**32
FIRST = 9  # the priority of a question: somebody waits for it

Answer = TypeVar("Answer", bound=BaseModel)


def submit(
    parts: Parts, raw: bytes, idempotency_key: str | None, *, kind: JobKind = JobKind.TRAIN
) -> Job:
    """Queue the job that a body describes, or find the one that it made before."""
    spec = parse(raw, JOB_SPEC, within="dataset")
    keys = (idempotency_key, _digest(raw, kind))
    # Also where the dataset was deleted since; and nothing is made only to be thrown away.
    return _earlier(parts, keys) or _submit(parts, spec, keys=keys, kind=kind)


def retry(parts: Parts, job_id: str, raw: bytes, idempotency_key: str | None) -> Job:
    """Queue a job that has ended once more, with changes, or find the one that this made before.

    A seed that was made for it is kept, unless null takes it away: what was not changed stays
    comparable.

    Raises:
        JobNotFound, WrongState: when there is none; when it has not ended.
    """
    changes = parse(raw, JOB_CHANGES) if raw else JobChanges()
    keys = (idempotency_key, hashlib.sha256(f"retry {job_id}\n".encode() + raw).hexdigest())
    if earlier := _earlier(parts, keys):
        return earlier
    parent = _read(parts, job_id)
    if not parent.state.is_terminal:
        raise WrongState(f"job {job_id} is {parent.state}: wait for its end, or cancel it")
    patch = changes.model_dump(mode="json", exclude_unset=True)
    merged = _merged(parent.spec.model_dump(mode="json", exclude_unset=True), patch)
    spec = parse(to_json(merged), JOB_SPEC)
    made = {"hyperparameters": {"seed": parent.seed}}
    seed = _merged(made, patch).get("hyperparameters", {}).get("seed")
    return _submit(parts, spec, keys=keys, kind=parent.kind, parent_id=parent.id, seed=seed)


def _merged(target: Any, patch: Any) -> Any:
    """Apply a merge patch to a document, as the pseudocode in RFC 7396, section 2, does."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def _earlier(parts: Parts, keys: tuple[str | None, str]) -> Job | None:
    if keys[0] is None:
        return None
    with parts.database.read() as tx:
        return tx.jobs.earlier(*keys)


def _submit(
    parts: Parts,
    spec: JobSpec,
    *,
    keys: tuple[str | None, str],
    kind: JobKind,
    parent_id: str | None = None,
    seed: int | None = None,
) -> Job:
    if kind is not JobKind.TRAIN and "priority" not in spec.model_fields_set:
        spec = spec.model_copy(update={"priority": FIRST})
    parts.disk.check()
    if kind is JobKind.TRAIN:
        parts.disk.check_history(spec.hyperparameters)
    stored = None if isinstance(spec.dataset, str) else _stored(parts, spec, spec.dataset)

    def add(tx: Transaction) -> tuple[Job, bool]:
        dataset = stored.dataset if stored else tx.datasets.get(str(spec.dataset))
        job, created = _add(
            tx, spec, dataset, keys=keys, kind=kind, parts=parts, parent_id=parent_id, seed=seed
        )
        if stored and created:
            tx.datasets.add(dataset, inline=stored.inline, artefact=stored.artefact)
        return job, created

    with kept_with_row(stored, parts.database, parts.artefacts):
        job, created = parts.database.together(add)
    if created:
        parts.doorbell.ring(queue_of(spec))
    return job


def _stored(parts: Parts, spec: JobSpec, data: InlineData) -> Stored:
    """Make the data of a request safe; what is to be a file is not written to be refused."""
    table = JsonTable.of(data)
    if not table.may_be_meant:
        return _kept(parts, spec, table.ingested(name=spec.name))
    with parts.uploads.workspace() as folder:
        return _kept(parts, spec, looked_at(parts, spec, table, folder))


def _kept(parts: Parts, spec: JobSpec, inline: Ingested) -> Stored:
    if inline.is_large:
        columns = admit(spec, inline.dataset)
        with parts.database.read() as tx:
            validation_dataset(spec, inline.dataset, columns, tx)
            tx.jobs.find_room(spec, max_queued=parts.settings.limits.queued_jobs)
    return store(inline, parts.artefacts)


def queue(
    parts: Parts, tx: Transaction, spec: JobSpec, *, kind: JobKind, key: str
) -> tuple[Job, bool]:
    """Queue a job that the service itself asks for, found again by its key."""
    parts.disk.check()
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
    parent_id: str | None = None,
    seed: int | None = None,
) -> tuple[Job, bool]:
    """Admit a job and queue it.

    `keys`: its idempotency key and the request's hash; `seed`: where the spec has none, instead of
    one that is drawn.
    """
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
        seed=_seed(spec, seed),
        init=initial_weights(spec, columns, tx),
        idempotency_key=idempotency_key,
        request_sha256=request_sha256,
        max_queued=parts.settings.limits.queued_jobs,
        kind=kind,
        parent_id=parent_id,
        warnings=columns.warnings,
    )


async def ended(request: Request, parts: Parts, *, job: Job, seconds: float) -> Job:
    """Wait for the job's end, the time, or the caller's leaving; no thread is held meanwhile.

    Raises:
        Unavailable: when too many requests wait already.
    """
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


async def ended_or_made(
    request: Request, parts: Parts, *, job: Job, seconds: float
) -> tuple[Job, bool]:
    """Wait as `ended` does for a job that is made; where that cannot be, return it at once.

    A refusal would say that nothing was done: the caller would send again, and make a second job.

    Returns:
        The job, and whether it could be waited for.
    """
    with suppress(Unavailable, JobNotFound):
        return await ended(request, parts, job=job, seconds=seconds), True
    return job, False


def job_answer(job: Job, *, waited: bool) -> Response:
    """Answer with a job that is made: 200 if it has ended, else 202."""
    status = 200 if job.state.is_terminal else 202
    return answer(job, status, location=f"/v1/jobs/{job.id}", ask_again=not waited)


async def asked(
    request: Request, parts: Parts, job: Job, contract: type[Answer], *, seconds: float
) -> Response:
    """Answer with the job's result, or after `seconds` with the job, which is to hold it."""
    job, waited = await ended_or_made(request, parts, job=job, seconds=seconds)
    if not job.state.is_terminal:
        return job_answer(job, waited=waited)
    return answer(answered(job, contract), location=f"/v1/jobs/{job.id}")


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


def _seed(spec: JobSpec, otherwise: int | None) -> int:
    if (given := spec.hyperparameters.seed) is not None:
        return given
    return secrets.randbelow(MADE_SEEDS) if otherwise is None else otherwise


def _read(parts: Parts, job_id: str) -> Job:
    with parts.database.read() as tx:
        return tx.jobs.get(job_id)


async def _caller_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
