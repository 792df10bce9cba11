"""The Open Inference Protocol v2: what Triton's and KServe's clients send and expect."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import to_json

from descend.encoding import CategoricalInput, Input, NumericInput, Unseen
from descend.errors import InvalidInput, MalformedBody
from descend.limits import MAX_PREDICTIONS
from service.bodies import parse
from service.loaded import LoadedModel
from service.tensors import (
    TEXT,
    InputTensor,
    Parameters,
    binary_parts,
    numbers_of,
    texts_of,
)

__all__ = [
    "EXTENSIONS",
    "VERSION",
    "InferRequest",
    "InferResponse",
    "Inference",
    "ModelMetadata",
    "TensorMetadata",
    "infer",
    "metadata_of",
    "read_request",
]

VERSION = "1"
EXTENSIONS = ["binary_tensor_data"]
X_NAME, Y_NAME = "X", "y"
MOST_DESIGN_CELLS = 2**22
Columns = dict[str, NDArray[Any]]


class TensorMetadata(BaseModel):
    """A tensor that a model takes or gives; -1 stands for any number of rows."""

    model_config = ConfigDict(frozen=True)

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    name: str = Field(description="the model's id")
    versions: list[str]
    platform: Literal["descend"] = "descend"
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class RequestedOutput(BaseModel):
    """An output that is asked for."""

    model_config = ConfigDict(frozen=True)

    name: str
    parameters: Parameters = Field({}, description="`binary_data`: behind the JSON, as bytes")


class InferRequest(BaseModel):
    """Rows as tensors: one X of all columns, or one tensor for each column."""

    model_config = ConfigDict(frozen=True)

    id: str | None = None
    inputs: list[InputTensor] = Field(min_length=1)
    outputs: list[RequestedOutput] = []
    parameters: Parameters = Field(
        {},
        description="`binary_data_output`: bytes; `unseen`: `error` or `base`; others are not used",
    )


class OutputTensor(BaseModel):
    """The predictions, row by row: here, or behind the JSON."""

    model_config = ConfigDict(frozen=True)

    name: str
    datatype: Literal["FP64"] = "FP64"
    shape: list[int]
    parameters: dict[str, int] | None = None
    data: list[float] | None = None


class InferResponse(BaseModel):
    """The predictions of a model."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_name: str
    model_version: str = VERSION
    id: str | None = None
    outputs: list[OutputTensor]


REQUEST: TypeAdapter[InferRequest] = TypeAdapter(InferRequest)


@dataclass(frozen=True)
class Inference:
    """An answer as bytes; `header_bytes` of them are JSON where tensors follow."""

    content: bytes
    header_bytes: int | None


def metadata_of(model: LoadedModel) -> ModelMetadata:
    """Describe a model's tensors."""
    output = TensorMetadata(name=Y_NAME, datatype="FP64", shape=[-1, len(model.targets)])
    return ModelMetadata(name=model.id, versions=[VERSION], inputs=_inputs(model), outputs=[output])


def _inputs(model: LoadedModel) -> list[TensorMetadata]:
    if model.is_numeric:
        return [TensorMetadata(name=X_NAME, datatype="FP64", shape=[-1, len(model.features)])]
    return [
        TensorMetadata(
            name=one.name,
            datatype=TEXT if isinstance(one, CategoricalInput) else "FP64",
            shape=[-1, 1],
        )
        for one in model.encoding.inputs
    ]


def read_request(raw: bytes, header_length: str | None) -> tuple[InferRequest, dict[str, bytes]]:
    """Parse a body: JSON, and as many bytes behind it as Inference-Header-Content-Length leaves."""
    length = len(raw)
    if header_length is not None:
        if not header_length.isdecimal() or not 0 < int(header_length[:20]) <= length:
            raise MalformedBody("Inference-Header-Content-Length is not the length of the JSON")
        length = int(header_length)
    asked = parse(raw[:length], REQUEST)
    seen: set[str] = set()
    for tensor in asked.inputs:
        if tensor.name in seen:
            raise tensor.refused("is given twice")
        seen.add(tensor.name)
    return asked, binary_parts(asked.inputs, raw[length:])


def infer(model: LoadedModel, asked: InferRequest, parts: dict[str, bytes]) -> Inference:
    """Predict what a request asks for.

    Raises:
        InvalidInput: names the tensor that does not fit the model.
    """
    binary = _wants_binary(asked)
    columns = _columns(model, asked.inputs, parts)
    y = _predicted(model, columns, unseen=_unseen(asked.parameters))
    output = OutputTensor(
        name=Y_NAME,
        shape=list(y.shape),
        parameters={"binary_data_size": y.nbytes} if binary else None,
        data=None if binary else y.ravel().tolist(),
    )
    answer = InferResponse.model_construct(
        model_name=model.id, model_version=VERSION, id=asked.id, outputs=[output]
    )
    header = to_json(answer, exclude_none=True)
    if not binary:
        return Inference(header, None)
    return Inference(header + y.astype("<f8").tobytes(), len(header))


def _wants_binary(asked: InferRequest) -> bool:
    wanted = asked.parameters.get("binary_data_output", False)
    for output in asked.outputs:
        if output.name != Y_NAME:
            raise InvalidInput(f"there is no output {output.name[:200]!r}: the model gives 'y'")
        if {"classification", "shared_memory_region"} & output.parameters.keys():
            raise InvalidInput("output 'y' is given as data, not as classes or in shared memory")
        wanted = output.parameters.get("binary_data", wanted)
    if not isinstance(wanted, bool):
        raise InvalidInput("output 'y': binary_data is true or false")
    return wanted


def _unseen(parameters: Parameters) -> Unseen:
    unseen = parameters.get("unseen", "error")
    if unseen == "error":
        return "error"
    if unseen == "base":
        return "base"
    raise InvalidInput("the parameter unseen is 'error' or 'base'")


def _columns(
    model: LoadedModel, tensors: Sequence[InputTensor], parts: dict[str, bytes]
) -> Columns:
    """Read every column of the model, all of them equally long."""
    if model.is_numeric and [tensor.name for tensor in tensors] == [X_NAME]:
        X = _table(model, tensors[0], parts.get(X_NAME))
        return {one.name: X[:, place] for place, one in enumerate(model.encoding.inputs)}
    given = {tensor.name: tensor for tensor in tensors}
    known = {one.name for one in model.encoding.inputs}
    for tensor in tensors:
        if tensor.name not in known:
            raise tensor.refused(f"is not an input of this model: {_named(model)}")
    columns: Columns = {}
    for one in model.encoding.inputs:
        if one.name not in given:
            raise InvalidInput(f"tensor {one.name!r} is missing: {_named(model)}")
        columns[one.name] = _column(one, given[one.name], parts.get(one.name))
    _check_lengths(given, columns)
    return columns


def _named(model: LoadedModel) -> str:
    names = [one.name for one in _inputs(model)]
    shown = ", ".join(names[:10])
    return f"it takes {shown}" if len(names) <= 10 else f"it takes {shown}, …"


def _table(model: LoadedModel, tensor: InputTensor, part: bytes | None) -> NDArray[np.float64]:
    wanted = len(model.features)
    if len(tensor.shape) != 2 or tensor.shape[1] != wanted or tensor.shape[0] < 1:
        raise tensor.refused(f"has shape {tensor.shape}; this model needs [n_rows, {wanted}]")
    return numbers_of(tensor, part)


def _column(one: Input, tensor: InputTensor, part: bytes | None) -> NDArray[Any]:
    if tensor.shape[:1] < [1] or tensor.shape[1:] not in ([], [1]):
        raise tensor.refused(f"has shape {tensor.shape}; a column is [n_rows, 1]")
    if isinstance(one, NumericInput):
        return numbers_of(tensor, part).ravel()
    texts = texts_of(tensor, part).ravel()
    if "" not in one.levels:  # the binary form has no null
        texts[texts == ""] = None
    return texts


def _check_lengths(given: dict[str, InputTensor], columns: Columns) -> None:
    first, n_rows = next((name, len(column)) for name, column in columns.items())
    for name, column in columns.items():
        if len(column) != n_rows:
            raise given[name].refused(f"has {len(column)} rows, {first!r} has {n_rows}")


def _predicted(model: LoadedModel, columns: Columns, *, unseen: Unseen) -> NDArray[np.float64]:
    n_rows = len(next(iter(columns.values())))
    if n_rows * len(model.targets) > MAX_PREDICTIONS:
        raise InvalidInput(
            f"{n_rows} rows give more than {MAX_PREDICTIONS} predictions: send fewer"
        )
    y = np.empty((n_rows, len(model.targets)))
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in _blocks(n_rows, len(model.features)):
            block = {name: column[rows] for name, column in columns.items()}
            X = model.encoding.encode_columns(block, unseen=unseen, first_row=rows.start)
            y[rows] = model.predict(X)
    if not np.isfinite(y).all():
        row = int(np.flatnonzero(~np.isfinite(y).all(axis=1))[0])
        raise InvalidInput(f"row {row} predicts a number too large to write")
    return y


def _blocks(n_rows: int, n_features: int) -> Iterator[slice]:
    """Cut the rows so that no design matrix is large: a text of one byte may be 1000 columns."""
    step = max(1, MOST_DESIGN_CELLS // n_features)
    return (slice(start, start + step) for start in range(0, n_rows, step))
