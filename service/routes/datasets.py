"""Datasets: upload, read, list, delete."""

from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Discriminator, Tag, TypeAdapter

from descend.datasets import Dataset, InlineColumns, InlineXY
from descend.errors import InvalidInput, MalformedBody, UnsupportedMediaType
from descend.jobs import Page
from descend.limits import DEFAULT_LIST, MAX_NAME_LENGTH
from service.answers import answer
from service.bodies import limited, media_type, parse, read_json_body
from service.dependencies import GUARDS, Cursor, DatasetId, Filter, Limit, PartsOf
from service.openapi import body_of, refusals
from service.uploads import receive, store
from storage.ingest import Ingested, ingest_csv, ingest_json

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], dependencies=GUARDS)


def _kind_of_data(value: object) -> str:
    return "inline-columns" if isinstance(value, dict) and "columns" in value else "inline-xy"


INLINE_DATA: TypeAdapter[InlineXY | InlineColumns] = TypeAdapter(
    Annotated[
        Annotated[InlineXY, Tag("inline-xy")] | Annotated[InlineColumns, Tag("inline-columns")],
        Discriminator(_kind_of_data),
    ]
)


@dataclass(frozen=True)
class CsvOptions:
    """How a CSV is written."""

    delimiter: Annotated[
        str | None, Query(pattern=r"^[\x09,;|]$", description="between cells; a comma by default")
    ] = None
    decimal: Annotated[
        Literal[".", ","] | None, Query(description="decimal sign; a point by default")
    ] = None
    encoding: Annotated[
        Literal["utf-8", "latin-1"] | None, Query(description="of the text; UTF-8 by default")
    ] = None
    null_values: Annotated[
        str | None,
        Query(
            max_length=1000,
            pattern=r"^[^\x00]*$",
            description="words for a missing cell, separated by commas; an empty cell is missing",
        ),
    ] = None

    def ingest(self, path: Path, *, name: str | None) -> Ingested:
        return ingest_csv(
            path,
            name=name,
            delimiter=self.delimiter or ",",
            decimal=self.decimal or ".",
            encoding=self.encoding or "utf-8",
            null_values=tuple(self.null_values.split(",")) if self.null_values else (),
            target=path.with_suffix(".arrow"),
        )

    def refuse_all(self) -> None:
        for option in ("delimiter", "decimal", "encoding", "null_values"):
            if getattr(self, option) is not None:
                raise InvalidInput(f"{option} is for text/csv bodies: leave it out", param=option)


@dataclass(frozen=True)
class Upload:
    """A body that has arrived: JSON in memory, or CSV in a temporary file."""

    json: bytes | None
    csv: Path | None


async def _received(request: Request, parts: PartsOf) -> AsyncIterator[Upload]:
    kind = media_type(request)
    if kind == "application/json":
        yield Upload(await read_json_body(request), None)
    elif kind == "text/csv":
        with parts.uploads.workspace() as folder:
            path = folder / "upload.csv"
            chunks = limited(request, parts.settings.limits.upload_bytes)
            _check_digest(request, await receive(chunks, path))
            yield Upload(None, path)
    else:
        raise UnsupportedMediaType("send text/csv or application/json")


def _check_digest(request: Request, sha256: bytes) -> None:
    """Where the caller says what it sent (RFC 9530), nothing else is taken for it."""
    claimed = request.headers.get("content-digest", "")
    if claimed.startswith("sha-256=") and claimed != f"sha-256=:{b64encode(sha256).decode()}:":
        raise MalformedBody("the body that arrived does not have the Content-Digest it came with")


@router.post(
    "",
    status_code=201,
    response_model=Dataset,
    responses=refusals(400, 413, 415, 422, 503, 507),
    openapi_extra=body_of(
        "create_dataset", {"application/json": (InlineXY, InlineColumns), "text/csv": ()}
    ),
)
def create_dataset(
    parts: PartsOf,
    upload: Annotated[Upload, Depends(_received)],
    options: Annotated[CsvOptions, Depends()],
    name: Annotated[str | None, Query(max_length=MAX_NAME_LENGTH, pattern=r"^[^\x00]*$")] = None,
) -> Response:
    """Upload a table: CSV, or JSON with `X` and `y` or with columns."""
    if upload.csv is not None:
        ingested = options.ingest(upload.csv, name=name)
    else:
        options.refuse_all()
        ingested = ingest_json(parse(upload.json or b"", INLINE_DATA), name=name)
    stored = store(ingested, parts.artefacts)
    with parts.database.begin() as tx:
        dataset = tx.datasets.add(stored.dataset, inline=stored.inline, artefact=stored.artefact)
    return answer(dataset, 201, location=f"/v1/datasets/{dataset.id}")


@router.get("", response_model=Page[Dataset], responses=refusals(422, 503))
def list_datasets(
    parts: PartsOf, after: Cursor = None, limit: Limit = DEFAULT_LIST, q: Filter = None
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


@router.delete("/{dataset_id}", status_code=204, responses=refusals(404, 409, 422, 503))
def delete_dataset(parts: PartsOf, dataset_id: DatasetId) -> Response:
    """Delete a dataset; refused while a job that uses it has not ended."""
    with parts.database.begin() as tx:
        artefact = tx.datasets.delete(dataset_id)
    if artefact is not None:
        parts.artefacts.delete(artefact)
    return Response(status_code=204)
