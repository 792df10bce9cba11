"""Is it alive, is it ready, what does it accept."""

from typing import Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict

from descend.errors import DescendError
from descend.health import Readiness
from descend.limits import Limits
from service.answers import answer
from service.dependencies import GUARDS, Parts, PartsOf, UnguardedParts, known_query
from service.metrics import MEDIA_TYPE, MetricsPage

router = APIRouter(tags=["health"], dependencies=[Depends(known_query)])

OK = "ok"
METRICS = """\
# HELP descend_queue_oldest_seconds For how long the oldest queued job could have been claimed
# TYPE descend_queue_oldest_seconds gauge
descend_queue_oldest_seconds{queue="cpu"} 0.4
"""
WORKER_SILENT_SECONDS = 15.0


class Liveness(BaseModel):
    """The process answers."""

    model_config = ConfigDict(frozen=True)

    status: Literal["ok"] = "ok"


@router.get("/healthz", response_model=Liveness)
async def get_liveness() -> Response:
    """Say that the process answers."""
    return answer(Liveness())


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "A part that is needed does not work"}},
)
def get_readiness(parts: UnguardedParts) -> Response:
    """Say which part works: 503 without database or storage, for nothing can be kept."""
    database, storage = _database(parts), _storage(parts)
    found = {
        "database": database,
        "broker": parts.doorbell.check() or OK,
        "workers": _workers(parts, storage) if database == OK else "unknown without the database",
        "storage": storage,
    }
    if found["database"] != OK or found["storage"] != OK:
        return answer(Readiness(status="not_ready", parts=found), 503)
    ready = all(state == OK for state in found.values())
    return answer(Readiness(status="ready" if ready else "degraded", parts=found))


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": METRICS}}}},
)
def get_metrics(request: Request) -> Response:
    """Measure the fleet and this process, for Prometheus."""
    page: MetricsPage = request.app.state.metrics
    return Response(page.text(), media_type=MEDIA_TYPE)


@router.get("/v1/limits", response_model=Limits, dependencies=GUARDS)
async def get_limits(parts: PartsOf) -> Response:
    """Read the limits in force."""
    return answer(parts.settings.limits)


def _database(parts: Parts) -> str:
    try:
        parts.database.check()
    except DescendError as error:
        return error.message
    return OK


def _workers(parts: Parts, storage: str) -> str:
    """Say why nothing trains, if nothing does."""
    try:
        with parts.database.read() as tx:
            live = tx.workers.stats(WORKER_SILENT_SECONDS)
    except DescendError as error:
        return error.message
    if live and all(worker.get("no_room") for worker in live):
        return "no worker has room to write down an order: its disk is full"
    if live:
        return OK
    unseen = f"no worker was seen in the last {WORKER_SILENT_SECONDS:.0f} seconds"
    return unseen if storage == OK else f"{unseen}: without room none can write that it lives"


def _storage(parts: Parts) -> str:
    try:
        return parts.disk.lack() or OK
    except OSError as error:
        return f"the artefact store cannot be read: {type(error).__name__}"
