"""Datasets: upload, read, list, delete."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Discriminator, Tag, TypeAdapter

from descend.datasets import (
    MEDIA_TYPES,
    Dataset,
    InlineColumns,
    InlineData,
    InlineRecords,
    InlineXY,
    Preview,
    UploadFormat,
)
from descend.errors import DatasetNotFound
from descend.jobs import Page
from descend.limits import DEFAULT_LIST, MAX_NAME_LENGTH
from service.answers import answer
from service.arrivals import Upload, UploadOptions, arrived
from service.bodies import parse
from service.dependencies import GUARDS, DatasetCursor, DatasetId, Filter, Limit, Parts, PartsOf
from service.inline_data import written_for
from service.openapi import body_of, refusals
from service.uploads import Stored, kept_with_row, link, store, stored_source
from storage.arrow import open_table
from storage.artefacts import FACTORS
from storage.ingest import Ingested, JsonTable
from storage.ingest_files import Order
from storage.leases import StoredData

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], dependencies=GUARDS)


def _kind_of_data(value: object) -> str:
    if isinstance(value, list):
        return "inline-records"
    return "inline-columns" if isinstance(value, dict) and "columns" in value else "inline-xy"


INLINE_DATA: TypeAdapter[InlineData] = TypeAdapter(
    Annotated[
        Annotated[InlineXY, Tag("inline-xy")]
        | Annotated[InlineColumns, Tag("inline-columns")]
        | Annotated[InlineRecords, Tag("inline-records")],
        Discriminator(_kind_of_data),
    ]
)


async def _received(request: Request, parts: PartsOf) -> AsyncIterator[Upload]:
    with parts.uploads.one():
        parts.disk.check()  # before a body is received for nothing
        async with arrived(request, parts, set(UploadFormat)) as upload:
            yield upload


Name = Annotated[str | None, Query(max_length=MAX_NAME_LENGTH, pattern=r"^[^\x00]*$")]
BODIES: dict[str, tuple[type[BaseModel], ...]] = {
    media_type: (InlineXY, InlineColumns, InlineRecords) if media_type == "application/json" else ()
    for media_type in MEDIA_TYPES
}


@router.post(
    "",
    status_code=201,
    response_model=Dataset,
    responses=refusals(400, 413, 415, 422, 503, 507),
    openapi_extra=body_of("create_dataset", BODIES),
)
def create_dataset(
    parts: PartsOf,
    upload: Annotated[Upload, Depends(_received)],
    options: Annotated[UploadOptions, Depends()],
    name: Name = None,
) -> Response:
    """Upload a table: CSV, Parquet, Arrow, NDJSON, npy, npz, JSON (X and y, columns, records).

    Records are an array of objects: `[{"hours": 1, "price": 2.0}, ...]`.
    """
    stored = store(_ingested(parts, upload, options, name=name), parts.artefacts)
    dataset = _with_row(parts, stored)
    return answer(dataset, 201, location=f"/v1/datasets/{dataset.id}")


def _with_row(parts: Parts, stored: Stored) -> Dataset:
    with (
        kept_with_row(stored, parts.database, parts.artefacts),
        parts.database.begin() as tx,
    ):
        return tx.datasets.add(stored.dataset, inline=stored.inline, artefact=stored.artefact)


def _ingested(
    parts: Parts, upload: Upload, options: UploadOptions, *, name: str | None
) -> Ingested:
    options.refuse_unfit(upload.format)
    order = _order(parts, upload, options, name=name)
    if upload.format is not UploadFormat.JSON:
        return parts.files.ingest(order)
    table = JsonTable.of(parse(upload.json, INLINE_DATA))
    if table.has_text or (options.read_text and not table.is_xy):
        return parts.files.ingest(written_for(order, table))
    return table.ingested(name=name, brief=False)


def _order(parts: Parts, upload: Upload, options: UploadOptions, *, name: str | None) -> Order:
    return upload.order(options, parts.settings.limits, name=name, **options.by_column)


@router.post(
    "/{dataset_id}/rows",
    status_code=201,
    response_model=Dataset,
    responses=refusals(400, 404, 413, 415, 422, 503, 507),
    openapi_extra=body_of("append_rows", BODIES),
)
def append_rows(
    parts: PartsOf,
    dataset_id: DatasetId,
    upload: Annotated[Upload, Depends(_received)],
    options: Annotated[UploadOptions, Depends()],
    *,
    name: Name = None,
) -> Response:
    """Make a new dataset: this one's rows, and below them those of the body."""
    with parts.database.read() as tx:
        parent, stored = tx.datasets.get(dataset_id), tx.datasets.stored(dataset_id)
    order = _order(parts, upload, options, name=name or parent.name).model_copy(
        update={"ignored": tuple(one.name for one in parent.unreadable)}
    )
    appended = _appended(parts, upload, options, order=order, parent=stored)
    whose = {
        "format": upload.format.value,
        "parent_id": parent.id,
        "parent_rows": parent.n_rows,
        "default_target": parent.default_target,
        "default_weight": parent.default_weight,
        "unreadable": parent.unreadable,
    }
    whole = replace(appended, dataset=appended.dataset.model_copy(update=whose))
    dataset = _with_row(parts, store(whole, parts.artefacts))
    return answer(dataset, 201, location=f"/v1/datasets/{dataset.id}")


def _appended(
    parts: Parts, upload: Upload, options: UploadOptions, *, order: Order, parent: StoredData
) -> Ingested:
    """Read the rows and put them below the parent's; JSON becomes a canonical file first."""
    folder = upload.path.parent
    try:
        below = link(stored_source(parent, parts.artefacts), folder / "parent.arrow")
    except FileNotFoundError:
        raise DatasetNotFound from None
    update: dict[str, object] = {"parent": below}
    options.refuse_unfit(upload.format)
    if upload.format is UploadFormat.JSON:
        order = written_for(order, JsonTable.of(parse(upload.json, INLINE_DATA)))
    return parts.files.ingest(order.model_copy(update=update))


@router.get("/{dataset_id}/preview", response_model=Preview, responses=refusals(404, 422, 500, 503))
def preview_dataset(
    parts: PartsOf,
    dataset_id: DatasetId,
    rows: Annotated[int, Query(ge=1, le=100, description="how many rows")] = 10,
) -> Response:
    """Read the first rows of a dataset."""
    with parts.database.read() as tx:
        stored = tx.datasets.stored(dataset_id)
    try:
        table = open_table(stored_source(stored, parts.artefacts))
    except FileNotFoundError:
        raise DatasetNotFound from None
    columns = [table.batches[0].first(name, rows) for name in table.names]
    cells = [list(row) for row in zip(*columns, strict=True)]
    return answer(Preview(columns=list(table.names), rows=cells))


@router.get("", response_model=Page[Dataset], responses=refusals(422, 503))
def list_datasets(
    parts: PartsOf, after: DatasetCursor = None, limit: Limit = DEFAULT_LIST, q: Filter = None
) -> Response:
    """List datasets, newest first."""
    with parts.database.read() as tx:
        page = tx.datasets.page(after=after, limit=limit, q=q)
    return answer(page)


@router.get("/{dataset_id}", response_model=Dataset, responses=refusals(404, 422, 503))
def get_dataset(parts: PartsOf, dataset_id: DatasetId) -> Response:
    """Read a dataset's profile."""
    with parts.database.read() as tx:
        dataset = tx.datasets.get(dataset_id)
    return answer(dataset)


@router.delete("/{dataset_id}", status_code=204, responses=refusals(404, 409, 422, 503, 507))
def delete_dataset(parts: PartsOf, dataset_id: DatasetId) -> Response:
    """Delete a dataset; refused while a job that uses it has not ended."""
    with parts.database.begin() as tx:
        artefact = tx.datasets.delete(dataset_id)
    if artefact is not None:
        parts.artefacts.delete(artefact)
        parts.artefacts.delete_below(f"{FACTORS}/{dataset_id}")
    return Response(status_code=204)
