"""Open Inference Protocol v2 (KServe, Triton): every model is one of version 1."""

from collections.abc import AsyncIterator
from importlib.metadata import version as version_of
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import BaseModel, ConfigDict

from descend.errors import ModelNotFound, UnsupportedMediaType
from service.answers import answer
from service.bodies import content_encoding, held, limited
from service.compression import accepted, compressed, inflated
from service.dependencies import GUARDS, ModelId, PartsOf
from service.inference import (
    EXTENSIONS,
    VERSION,
    InferRequest,
    InferResponse,
    ModelMetadata,
    infer,
    metadata_of,
    read_request,
)
from service.openapi import FILE, body_of, plain_refusals

router = APIRouter(prefix="/v2", tags=["inference"], dependencies=GUARDS)

HEADER_LENGTH = "Inference-Header-Content-Length"
LEAST_COMPRESSED_BYTES = 1024


class ServerMetadata(BaseModel):
    """What answers here, and which extensions of the protocol it knows."""

    model_config = ConfigDict(frozen=True)

    name: Literal["descend"] = "descend"
    version: str
    extensions: list[str] = EXTENSIONS


class ServerLive(BaseModel):
    """The process answers."""

    model_config = ConfigDict(frozen=True)

    live: Literal[True] = True


class ServerReady(BaseModel):
    """Models can be read."""

    model_config = ConfigDict(frozen=True)

    ready: Literal[True] = True


class ModelReady(BaseModel):
    """The model can be asked."""

    model_config = ConfigDict(frozen=True)

    name: str
    ready: Literal[True] = True


async def _version(version: Annotated[str, Path(json_schema_extra={"enum": [VERSION]})]) -> None:
    if version != VERSION:
        raise ModelNotFound(f"a model has one version, {VERSION}")


async def _body(request: Request) -> AsyncIterator[bytes]:
    """Read the body, its compression taken off; clients name its type as they like, or not."""
    encoding = content_encoding(request)
    limit: int = request.app.state.parts.settings.limits.inline_json_bytes
    chunks = limited(request, limit)
    if encoding in {"gzip", "deflate"}:
        how: Literal["gzip", "deflate"] = "gzip" if encoding == "gzip" else "deflate"
        chunks = inflated(chunks, limit, encoding=how)
    elif encoding != "identity":
        raise UnsupportedMediaType("send the body as it is, or as gzip or deflate")
    async with held(request, chunks) as raw:
        yield raw


Body = Annotated[bytes, Depends(_body, scope="function")]
HeaderLength = Annotated[
    str | None,
    Header(
        alias=HEADER_LENGTH,
        pattern="^[0-9]{1,18}$",
        description="bytes of JSON before the binary tensors; without it all is JSON",
    ),
]
AcceptEncoding = Annotated[str, Header(alias="accept-encoding", include_in_schema=False)]
OfVersion = Depends(_version)
BODY = body_of("infer", {"application/json": (InferRequest,), "application/octet-stream": ()})
ANSWER = {"content": {"application/octet-stream": {"schema": FILE}}}


@router.get("", response_model=ServerMetadata, responses=plain_refusals(400))
async def get_server_metadata() -> Response:
    """Say what answers, and which extensions it knows."""
    return answer(ServerMetadata(version=version_of("descend")))


@router.get("/health/live", response_model=ServerLive, responses=plain_refusals(400))
async def get_server_live() -> Response:
    """Say that the process answers."""
    return answer(ServerLive())


@router.get("/health/ready", response_model=ServerReady, responses=plain_refusals(400, 503))
def get_server_ready(parts: PartsOf) -> Response:
    """Say that models can be read."""
    parts.database.check()
    return answer(ServerReady())


@router.get(
    "/models/{model_id}", response_model=ModelMetadata, responses=plain_refusals(400, 404, 503)
)
def get_model_metadata(parts: PartsOf, model_id: ModelId) -> Response:
    """Read which tensors a model takes and gives."""
    return answer(metadata_of(parts.loaded.get(model_id)))


@router.get(
    "/models/{model_id}/versions/{version}",
    response_model=ModelMetadata,
    responses=plain_refusals(400, 404, 503),
    dependencies=[OfVersion],
)
def get_version_metadata(parts: PartsOf, model_id: ModelId) -> Response:
    """Read which tensors a version of a model takes and gives."""
    return get_model_metadata(parts, model_id)


@router.get(
    "/models/{model_id}/ready", response_model=ModelReady, responses=plain_refusals(400, 404, 503)
)
def get_model_ready(parts: PartsOf, model_id: ModelId) -> Response:
    """Say that a model can be asked."""
    return answer(ModelReady(name=parts.loaded.get(model_id).id))


@router.get(
    "/models/{model_id}/versions/{version}/ready",
    response_model=ModelReady,
    responses=plain_refusals(400, 404, 503),
    dependencies=[OfVersion],
)
def get_version_ready(parts: PartsOf, model_id: ModelId) -> Response:
    """Say that a version of a model can be asked."""
    return get_model_ready(parts, model_id)


@router.post(
    "/models/{model_id}/infer",
    response_model=InferResponse,
    responses={200: ANSWER, **plain_refusals(400, 404, 413, 415, 503)},
    openapi_extra=BODY,
)
def infer_model(
    parts: PartsOf,
    model_id: ModelId,
    raw: Body,
    *,
    header_length: HeaderLength = None,
    accept_encoding: AcceptEncoding = "",
) -> Response:
    """Predict rows that are given as tensors, in JSON or binary."""
    model = parts.loaded.get(model_id)
    answered = infer(model, *read_request(raw, header_length))
    content, headers = answered.content, {"vary": "accept-encoding"}
    if answered.header_bytes is not None:
        headers[HEADER_LENGTH] = str(answered.header_bytes)
    how = accepted(accept_encoding)
    if how is not None and len(content) >= LEAST_COMPRESSED_BYTES:
        content = compressed(content, how)
        headers["content-encoding"] = how
    kind = "application/json" if answered.header_bytes is None else "application/octet-stream"
    return Response(content, 200, headers, kind)


@router.post(
    "/models/{model_id}/versions/{version}/infer",
    response_model=InferResponse,
    responses={200: ANSWER, **plain_refusals(400, 404, 413, 415, 503)},
    openapi_extra=BODY,
    dependencies=[OfVersion],
)
def infer_version(
    parts: PartsOf,
    model_id: ModelId,
    raw: Body,
    *,
    header_length: HeaderLength = None,
    accept_encoding: AcceptEncoding = "",
) -> Response:
    """Predict with a version of a model."""
    return infer_model(
        parts, model_id, raw, header_length=header_length, accept_encoding=accept_encoding
    )
