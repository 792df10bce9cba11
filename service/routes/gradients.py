"""Gradients: one step of descent, looked at from all sides."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from descend.gradients import Gradients
from descend.jobs import Job, JobKind, JobSpec
from service.bodies import JsonBody
from service.dependencies import GUARDS, AnswerWait, IdempotencyKey, PartsOf
from service.openapi import body_of, refusals
from service.submission import asked, submit

router = APIRouter(prefix="/v1/gradients", tags=["gradients"], dependencies=GUARDS)


@router.post(
    "",
    response_model=Gradients,
    responses={
        202: {"model": Job, "description": "Not yet: the job's `result` will be the gradients"},
        **refusals(400, 404, 409, 413, 415, 422, 503, 507),
    },
    openapi_extra=body_of("create_gradients", {"application/json": (JobSpec,)}),
)
async def create_gradients(
    request: Request,
    parts: PartsOf,
    raw: JsonBody,
    *,
    idempotency_key: IdempotencyKey = None,
    wait: AnswerWait = 10,
) -> Response:
    """Compute the gradient at the weights of `init` by autograd, by hand and by differences."""
    job = await run_in_threadpool(submit, parts, raw, idempotency_key, kind=JobKind.GRADIENTS)
    return await asked(request, parts, job, Gradients, seconds=wait)
