"""The OpenAPI 3.1 document: what FastAPI finds, and what it cannot know.

Bodies are read by service.bodies, so their schemas are added here; so are the examples, the links
between operations, and the key.
"""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, RootModel
from pydantic.json_schema import models_json_schema

from descend.datasets import MEDIA_TYPES, UploadFormat
from service.examples import REQUESTS, RESPONSES
from service.problems import MEDIA_TYPE, PLAIN_PREFIX, PlainError, Problem

__all__ = [
    "FILE",
    "METADATA_PARAMETER",
    "allowed_methods",
    "body_of",
    "csv_response",
    "document",
    "file_response",
    "history_response",
    "plain_refusals",
    "query_names",
    "refusals",
    "stream_response",
    "table_response",
]

Json = dict[str, Any]
# Bodies that JSON has no words for, and so no example of.
BINARY = {
    media_type
    for media_type, format_ in MEDIA_TYPES.items()
    if format_ not in {UploadFormat.CSV, UploadFormat.NDJSON, UploadFormat.JSON}
} | {"application/octet-stream"}
ARROW_STREAM = "application/vnd.apache.arrow.stream"
SCHEMAS = "#/components/schemas/"
FILE: Json = {"type": "string", "format": "binary"}

METADATA_PARAMETER: Json = {
    "name": "metadata",
    "in": "query",
    "required": False,
    "style": "deepObject",
    "explode": True,
    "description": "only jobs with these pairs: metadata[key]=value",
    "schema": {
        "type": "object",
        "maxProperties": 16,
        "propertyNames": {"pattern": r"^[^\]\x00]{1,64}$"},
        "additionalProperties": {"type": "string", "maxLength": 512, "pattern": r"^[^\x00]*$"},
    },
}
LINKS: dict[str, list[tuple[str, str, str]]] = {
    # operation: the operations that its answer leads to, their parameter, where its value stands
    "append_rows": [("get_dataset", "dataset_id", "$response.body#/id")],
    "create_dataset": [
        ("get_dataset", "dataset_id", "$response.body#/id"),
        ("preview_dataset", "dataset_id", "$response.body#/id"),
        ("append_rows", "dataset_id", "$response.body#/id"),
        ("delete_dataset", "dataset_id", "$response.body#/id"),
    ],
    "create_job": [
        ("get_job", "job_id", "$response.body#/id"),
        ("cancel_job", "job_id", "$response.body#/id"),
        ("retry_job", "job_id", "$response.body#/id"),
        ("get_job_events", "job_id", "$response.body#/id"),
        ("get_history", "job_id", "$response.body#/id"),
        ("get_job_model", "job_id", "$response.body#/id"),
        ("delete_job", "job_id", "$response.body#/id"),
    ],
    "get_model": [
        ("get_summary", "model_id", "$response.body#/id"),
        ("get_diagnostics", "model_id", "$response.body#/id"),
        ("export_model", "model_id", "$response.body#/id"),
        ("get_model_metadata", "model_id", "$response.body#/id"),
        ("delete_model", "model_id", "$response.body#/id"),
    ],
    "get_model_metadata": [
        ("infer_model", "model_id", "$response.body#/name"),
        ("infer_version", "model_id", "$response.body#/name"),
    ],
    "get_job_model": [
        ("get_model", "model_id", "$response.body#/id"),
        ("get_summary", "model_id", "$response.body#/id"),
        ("get_diagnostics", "model_id", "$response.body#/id"),
        ("predict", "model_id", "$response.body#/id"),
    ],
}

_used: dict[str, type[BaseModel]] = {}
_written: dict[bool, Json] = {}


def body_of(
    operation: str, contents: dict[str, tuple[type[BaseModel], ...]], *, required: bool = True
) -> Json:
    """Describe a body that the handler reads itself: media type -> models; none: text or bytes.

    CSV stands last, for generated clients send every file as the last type that is one.
    """
    described: Json = {}
    for media_type in sorted(contents, key="text/csv".__eq__):
        models = contents[media_type]
        if media_type in BINARY:
            described[media_type] = {"schema": FILE}
            continue
        examples = REQUESTS[f"{operation} {media_type}"]
        described[media_type] = {
            "schema": _schema(models),
            "examples": {name: {"value": value} for name, value in examples.items()},
        }
    return {"requestBody": {"required": required, "content": described}}


def _schema(models: tuple[type[BaseModel], ...]) -> Json:
    """Refer to the objects that a body may be; an array is told of in the operation's words.

    Of a choice with an array in it openapi-python-client 0.29.1 makes a client that fails at every
    call (findings/openapi-python-client-array-body.sh).
    """
    objects = [model for model in models if not issubclass(model, RootModel)]
    _used.update({model.__name__: model for model in objects})
    references = [{"$ref": SCHEMAS + model.__name__} for model in objects]
    if not references:
        return FILE
    return references[0] if len(references) == 1 else {"oneOf": references}


def refusals(*statuses: int) -> dict[int | str, Json]:
    """List the problems that a route answers with."""
    return {status: _refusal(status) for status in statuses}


def plain_refusals(*statuses: int) -> dict[int | str, Json]:
    """List the refusals of a route of the inference protocol, which has its own form of them."""
    return {status: _refusal(status, plain=True) for status in statuses}


def _refusal(status: int, *, plain: bool = False) -> Json:
    media_type, model = ("application/json", PlainError) if plain else (MEDIA_TYPE, Problem)
    described: Json = {
        "description": HTTPStatus(status).phrase,
        "content": {media_type: {"schema": {"$ref": SCHEMAS + model.__name__}}},
    }
    if status == 503:
        described["headers"] = {
            "Retry-After": {"description": "seconds", "schema": {"type": "string"}}
        }
    return described


def csv_response() -> Json:
    """Say that a JSON answer may also be had as CSV."""
    return {"content": {"text/csv": {"schema": {"type": "string"}}}}


def file_response(*media_types: str) -> Json:
    """Say that the answer is a file of one of these types, bytes before JSON.

    Generated clients take the first that they know, and bytes hold JSON, too.
    """
    binary: Json = {"schema": FILE}
    kinds = {media_type: binary for media_type in media_types if media_type != "application/json"}
    if "application/json" in media_types:
        kinds["application/json"] = {"schema": {"$ref": f"{SCHEMAS}LinearModel"}}
    return {"description": "The file", "content": kinds}


def history_response() -> Json:
    """Say that a JSON answer may also be had as CSV or as an Arrow stream, and how long it is."""
    stored = {"description": "epochs stored for the job", "schema": {"type": "integer"}}
    return {**table_response(), "headers": {"x-total": stored}}


def table_response() -> Json:
    """Say that a JSON answer may also be had as CSV or as an Arrow stream."""
    return {"content": csv_response()["content"] | {ARROW_STREAM: {"schema": FILE}}}


def stream_response() -> Json:
    """Say that a JSON answer may also be had as an event stream."""
    return {"content": {"text/event-stream": {"schema": {"type": "string"}}}}


def document(app: FastAPI, *, key_required: bool) -> Json:
    """Write the whole document; once for each process, for the routes are the modules'."""
    if key_required not in _written:
        _written[key_required] = _write(app, key_required=key_required)
    return _written[key_required]


def _write(app: FastAPI, *, key_required: bool) -> Json:
    found = get_openapi(
        title="Descend",
        version=app.version,
        summary="Linear regressions over HTTP, one or a million.",
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    schemas = found["components"]["schemas"]
    models: list[type[BaseModel]] = [Problem, PlainError, *_used.values()]
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=SCHEMAS + "{model}"
    )
    for name, schema in definitions["$defs"].items():
        schemas.setdefault(name, schema)
    _state_choices(schemas)
    for path, operation in _operations(found):
        if path.startswith(PLAIN_PREFIX):
            operation["responses"].pop("422", None)  # FastAPI's guess: they are refused with 400
        _add_examples(operation)
        _add_links(operation)
        if key_required and path.startswith(("/v1/", PLAIN_PREFIX)):
            operation["security"] = [{"bearer": []}]
            operation["responses"]["401"] = _refusal(401, plain=path.startswith(PLAIN_PREFIX))
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    if key_required:
        scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "dsc_<id>_<secret>"}
        found["components"]["securitySchemes"] = {"bearer": scheme}
    return found


def _state_choices(place: Any) -> None:
    """Write a single word among alternatives as an enum.

    Generated clients take a const there for the only choice, and refuse a number beside "auto".
    """
    for inner in place.values() if isinstance(place, dict) else place:
        if isinstance(inner, dict | list):
            _state_choices(inner)
    if isinstance(place, dict) and "anyOf" in place and place.get("default") == {}:
        del place["default"]  # generators take none but null there, and leave the schema out
    for choice in place.get("anyOf", []) if isinstance(place, dict) else []:
        if isinstance(choice, dict) and "const" in choice:
            choice["enum"] = [choice.pop("const")]


def query_names(found: Json) -> dict[str, dict[str, bool]]:
    """Map each operation to the query parameters that the document lists: may they be repeated."""
    return {
        operation["operationId"]: {
            f"{parameter['name']}[]"
            if parameter.get("style") == "deepObject"
            else parameter["name"]: _is_list(parameter["schema"])
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "query"
        }
        for _, operation in _operations(found)
    }


def _is_list(schema: Json) -> bool:
    return "array" in {schema.get("type"), *(one.get("type") for one in schema.get("anyOf", []))}


def allowed_methods(found: Json) -> list[tuple[re.Pattern[str], str]]:
    """List each path with the methods it has: FastAPI knows only one route at a time."""
    return [
        (re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path))), ", ".join(_allowed(methods)))
        for path, methods in found["paths"].items()
    ]


def _allowed(methods: Json) -> list[str]:
    """HEAD goes where GET does, see service.heads; the document has no word for that."""
    return [method.upper() for method in (*methods, *(["head"] if "get" in methods else []))]


def _operations(found: Json) -> Iterator[tuple[str, Json]]:
    for path, methods in found["paths"].items():
        for operation in methods.values():
            yield path, operation


def _add_examples(operation: Json) -> None:
    for response in operation["responses"].values():
        for media_type, content in response.get("content", {}).items():
            schema = content.get("schema", {}).get("$ref", "").removeprefix(SCHEMAS)
            example = RESPONSES.get(schema) or RESPONSES.get(media_type)
            if example is not None:
                content["example"] = example


def _add_links(operation: Json) -> None:
    for target, parameter, place in LINKS.get(operation["operationId"], []):
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                response.setdefault("links", {})[target] = {
                    "operationId": target,
                    "parameters": {parameter: place},
                }
