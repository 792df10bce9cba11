"""Predictions: of rows in JSON, by name or as numbers, and of the rows of a file."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Discriminator, Field, RootModel, Tag, TypeAdapter

from descend.datasets import MEDIA_TYPES, Cell, Matrix, TableCell, UploadFormat
from descend.encoding import Unseen
from descend.errors import InvalidInput
from descend.models import LinearModel
from descend.predictions import Predictions
from service.arrivals import CsvOptions, Upload, arrived
from service.bodies import content_type, held_json, parse, read_piece
from service.dependencies import GUARDS, ModelId, Parts, PartsOf
from service.long_arrays import records
from service.openapi import body_of, refusals, table_response
from service.pieces import LongArray
from service.prediction_formats import prediction_response
from service.predictions import (
    AskedInterval,
    columns_of,
    design_of,
    design_of_records,
    predicted_of,
    refuse_too_many,
)

Floats = NDArray[np.float64]
router = APIRouter(prefix="/v1", tags=["models"], dependencies=GUARDS)

# Arrays have no names: their columns are taken by place, as X in JSON.
FORMATS = set(UploadFormat) - {UploadFormat.NPY, UploadFormat.NPZ}
TYPES = [media_type for media_type, format_ in MEDIA_TYPES.items() if format_ in FORMATS]


class PredictX(BaseModel):
    """Rows as numbers, in the order of the model's features."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    X: Matrix = Field(description="n_samples rows of n_features numbers; none is no error")
    interval: AskedInterval | None = None


class PredictRows(BaseModel):
    """Raw records: a value for every column that the model was trained on, nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: Annotated[list[dict[str, Cell]], Field(fail_fast=True)]
    unseen: Unseen = Field(
        "error", description="a level that was not in the training data: refused, or the base level"
    )
    interval: AskedInterval | None = None


class PredictTable(RootModel[list[dict[str, TableCell]]]):
    """A table of records: the model's columns are found by name, the others left alone."""

    model_config = ConfigDict(frozen=True)

    root: Annotated[list[dict[str, TableCell]], Field(min_length=1, fail_fast=True)]


def _kind_of_rows(value: object) -> str:
    if isinstance(value, list):
        return "by-name-alone"
    return "by-name" if isinstance(value, dict) and "rows" in value else "by-place"


PREDICT: TypeAdapter[PredictX | PredictRows | PredictTable] = TypeAdapter(
    Annotated[
        Annotated[PredictX, Tag("by-place")]
        | Annotated[PredictRows, Tag("by-name")]
        | Annotated[PredictTable, Tag("by-name-alone")],
        Discriminator(_kind_of_rows),
    ]
)


@dataclass(frozen=True)
class Asked:
    """What is asked of a file's rows; JSON has fields for it."""

    unseen: Annotated[
        Unseen | None,
        Query(description="for files: a level that was not in the training data, as in JSON"),
    ] = None
    level: Annotated[
        float | None,
        Query(
            gt=0,
            lt=1,
            allow_inf_nan=False,
            description="for files: give intervals, of which this share holds",
        ),
    ] = None
    kind: Annotated[
        Literal["prediction", "mean"] | None,
        Query(description="for files: intervals of what, as in JSON"),
    ] = None

    @property
    def interval(self) -> AskedInterval | None:
        given = {"level": self.level, "kind": self.kind}
        chosen = {name: value for name, value in given.items() if value is not None}
        return AskedInterval.model_validate(chosen) if chosen else None

    def refuse_all(self) -> None:
        for name, field in (("unseen", "unseen"), ("level", "interval"), ("kind", "interval")):
            if getattr(self, name) is not None:
                raise InvalidInput(
                    f"{name} is for bodies that are files: JSON says it in {field}", param=name
                )


@dataclass(frozen=True)
class PredictRecords:
    """A table of records, and what is asked of them."""

    records: list[dict[str, TableCell]]
    unseen: Unseen
    interval: AskedInterval | None


@dataclass(frozen=True)
class PredictFile:
    """Rows in a file, and what is asked of them."""

    upload: Upload
    options: CsvOptions
    unseen: Unseen
    interval: AskedInterval | None


Body = PredictX | PredictRows | PredictRecords | PredictFile


async def _received(request: Request, parts: PartsOf) -> AsyncIterator[bytes | Upload]:
    if content_type(request) == "application/json":
        async with held_json(request) as raw:
            yield raw
        return
    async with arrived(request, parts, FORMATS) as upload:
        yield upload


# The file goes when the handler has ended, not when the last byte of the answer has been taken.
Received = Annotated[bytes | Upload, Depends(_received, scope="function")]


@router.post(
    "/models/{model_id}/predict",
    response_model=Predictions,
    responses={200: table_response(), **refusals(400, 404, 409, 413, 415, 422, 503, 507)},
    openapi_extra=body_of(
        "predict",
        {
            kind: (PredictX, PredictRows, PredictTable) if kind == "application/json" else ()
            for kind in TYPES
        },
    ),
)
def predict(
    parts: PartsOf,
    model_id: ModelId,
    received: Received,
    *,
    options: Annotated[CsvOptions, Depends()],
    asked: Annotated[Asked, Depends()],
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """Predict the targets of rows: by name or as numbers in JSON, or in a file, by its columns.

    JSON may also be an array of records alone, `[{"hours": 1}, ...]`.
    """
    body = _body(received, options, asked)
    with parts.database.read() as tx:
        model = tx.models.get(model_id)
        known = tx.models.statistics(model_id) if body.interval else None
    X = _design(parts, model, body)
    first_row = 1 if isinstance(body, PredictFile | PredictRecords) else 0
    predicted = predicted_of(model, X, known, body.interval, first_row=first_row)
    return prediction_response(predicted, accept)


def _body(received: bytes | Upload, options: CsvOptions, asked: Asked) -> Body:
    options.refuse_unfit(received.format if isinstance(received, Upload) else UploadFormat.JSON)
    if isinstance(received, Upload):
        return PredictFile(received, options, asked.unseen or "error", asked.interval)
    body = parse(received, PREDICT)
    if isinstance(body, PredictTable):
        return PredictRecords(body.root, asked.unseen or "error", asked.interval)
    asked.refuse_all()
    return body


def _design(parts: Parts, model: LinearModel, body: Body) -> ArrayLike:
    if isinstance(body, PredictFile):
        limits = parts.settings.limits
        order = body.upload.order(body.options, limits, columns=columns_of(model))
        return design_of(model, parts.files.read(order), unseen=body.unseen)
    if isinstance(body, PredictX):
        refuse_too_many(model, len(body.X), "X")
        return body.X
    if isinstance(body, PredictRecords):
        return design_of_records(model, body.records, unseen=body.unseen)
    if isinstance(body.rows, LongArray):
        return np.concatenate(list(_encoded(model, body.rows, body.unseen)))
    refuse_too_many(model, len(body.rows), "rows")
    return model.encode(body.rows, unseen=body.unseen)


def _encoded(model: LinearModel, rows: LongArray, unseen: Unseen) -> Iterator[Floats]:
    for first, found in records(rows, read_piece):
        refuse_too_many(model, first + len(found), "rows")
        yield model.encode(found, unseen=unseen, first_row=first)
