"""create_app(settings): builds each part once, starts and stops what runs beside the requests."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Response
from pydantic_core import to_json

from service import errors
from service.changes import ChangeLogs
from service.dependencies import Parts
from service.disk_room import room_of
from service.doorbell import Doorbell
from service.feed import Feed
from service.heads import Heads
from service.hosts import LoopbackHosts
from service.joblog import JobLogs
from service.lingering import Lingering
from service.loaded import LoadedModels
from service.metrics import MetricsPage
from service.openapi import allowed_methods, document, query_names
from service.overview import Overview
from service.reconciler import Reconciler
from service.routes import (
    dashboard,
    datasets,
    diagnostics,
    events,
    exports,
    gradients,
    health,
    history,
    inference,
    jobs,
    models,
    plans,
    predictions,
)
from service.security import ApiKey, Envelope, read_key
from service.settings import ServiceSettings
from service.shares import Shares
from service.streams import Seats
from service.uploads import Uploads
from service.watcher import Watcher
from service.witness import Witness
from storage.artefacts import LocalArtefacts
from storage.database import Database
from storage.ingest_pool import IngestPool

__all__ = ["create_app", "settle_collector"]

# Objects between two looks for cycles; a request makes some hundreds that last, and no cycles.
COLLECT_AFTER = 10_000


# Tried in this order: what is asked for most comes first.
ROUTES = (
    jobs,
    datasets,
    history,
    events,
    plans,
    gradients,
    models,
    predictions,
    exports,
    inference,
    diagnostics,
    health,
    dashboard,
)


def create_app(
    settings: ServiceSettings, *, doorbell: Doorbell | None = None, files: IngestPool | None = None
) -> FastAPI:
    """Build the service. Nothing is connected before the first request.

    Args:
        settings: where everything is.
        doorbell: rings the workers; the broker's by default.
        files: reads what is uploaded; by default a pool as the settings have it.
    """
    parts = _parts(settings, doorbell or Doorbell(settings.broker_url), files or _pool(settings))
    metrics = MetricsPage(parts)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        reconciler = Reconciler(
            parts.database,
            parts.doorbell,
            artefacts=parts.artefacts,
            uploads=parts.uploads,
            seconds=settings.reconcile_seconds,
        )
        yield
        parts.close_waiting()
        reconciler.close()
        parts.files.close()
        parts.doorbell.close()
        metrics.close()
        parts.database.close()

    app = FastAPI(
        title="Descend",
        version=version("descend"),
        lifespan=lifespan,
        openapi_url=None,  # served below, from memory
        docs_url=None,  # FastAPI's loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.parts, app.state.metrics = parts, metrics
    _surround(app, parts, metrics)
    errors.install(app)
    for routes in ROUTES:
        app.include_router(routes.router)
    _describe(app, key_required=parts.key.required)
    return app


def settle_collector() -> None:
    """Have the garbage collector pass over what was built and imported: it is never garbage.

    For a process that serves one app from now on. With the longer threshold it takes a tenth off
    what a submission costs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])


def _pool(settings: ServiceSettings) -> IngestPool:
    return IngestPool(
        processes=settings.ingest_processes,
        memory_bytes=settings.ingest_memory_bytes,
        seconds=settings.ingest_seconds,
    )


def _parts(settings: ServiceSettings, doorbell: Doorbell, files: IngestPool) -> Parts:
    database = Database(settings.url)
    job_logs, change_logs = JobLogs(database), ChangeLogs(database)
    return Parts(
        settings=settings,
        database=database,
        artefacts=LocalArtefacts(settings.artefacts),
        disk=room_of(settings, database),
        uploads=Uploads(settings.data / "uploads"),
        files=files,
        loaded=LoadedModels(database),
        doorbell=doorbell,
        watcher=Watcher(database, most_waiting=settings.most_waiting),
        job_logs=job_logs,
        job_feed=Feed(job_logs),
        change_logs=change_logs,
        feed=Feed(change_logs),
        seats=Seats(settings.most_streams),
        shares=Shares(settings.body_memory_bytes),
        overview=Overview(),
        key=ApiKey(read_key(settings.api_key_file)),
    )


def _surround(app: FastAPI, parts: Parts, metrics: MetricsPage) -> None:
    """Put the middleware around the routes, the innermost first."""
    app.add_middleware(Heads)
    if not parts.key.required:
        app.add_middleware(LoopbackHosts)
    app.add_middleware(Witness, metrics=metrics.http)
    app.add_middleware(Envelope)  # around it: a refusal, too, has an id
    app.add_middleware(Lingering)


def _describe(app: FastAPI, *, key_required: bool) -> None:
    """Write the OpenAPI document once; the query parameters it lists are those let in."""
    described = document(app, key_required=key_required)
    app.state.query_names = query_names(described)
    app.state.allowed_methods = allowed_methods(described)
    text = to_json(described)

    @app.get("/openapi.json", include_in_schema=False)
    async def get_openapi() -> Response:
        return Response(text, media_type="application/json")
