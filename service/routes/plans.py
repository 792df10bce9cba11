"""Plans: what training would do, told without training."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from descend.jobs import Job, JobKind, JobSpec
from descend.plans import Plan
from service.bodies import JsonBody
from service.dependencies import GUARDS, AnswerWait, IdempotencyKey, PartsOf
from service.openapi import body_of, refusals
from service.submission import asked, submit

router = APIRouter(prefix="/v1/plans", tags=["plans"], dependencies=GUARDS)


@router.post(
    "",
    response_model=Plan,
    responses={
        202: {"model": Job, "description": "Not yet: the job's `result` will be the plan"},
        **refusals(400, 404, 409, 413, 415, 422, 503, 507),
    },
    openapi_extra=body_of("create_plan", {"application/json": (JobSpec,)}),
)
async def create_plan(
    request: Request,
    parts: PartsOf,
    raw: JsonBody,
    *,
    idempotency_key: IdempotencyKey = None,
    wait: AnswerWait = 10,
) -> Response:
    """Say what training a JobSpec would do, without training: bounds, rates, epochs, warnings."""
    job = await run_in_threadpool(submit, parts, raw, idempotency_key, kind=JobKind.PLAN)
    return await asked(request, parts, job, Plan, seconds=wait)
