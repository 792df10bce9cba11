"""A stored model as a file that other tools load: numpy alone; onnx lives in service.onnx_graph.

None of the formats can run code when it is read.
"""

import io
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from descend.encoding import Unseen
from descend.errors import InvalidInput
from descend.models import LinearModel
from service.onnx_graph import onnx_model

__all__ = ["MEDIA_TYPES", "ExportDtype", "ExportFormat", "Exported", "export"]

Array = NDArray[Any]
ExportDtype = Literal["float64", "float32"]


class ExportFormat(StrEnum):
    """What a model can be written as."""

    JSON = "json"
    SAFETENSORS = "safetensors"
    ONNX = "onnx"
    NPZ = "npz"


MEDIA_TYPES = {
    ExportFormat.JSON: "application/json",
    ExportFormat.SAFETENSORS: "application/octet-stream",
    ExportFormat.ONNX: "application/octet-stream",
    ExportFormat.NPZ: "application/x-npz",
}


@dataclass(frozen=True)
class Exported:
    """A file: its bytes, what they are and what to call them."""

    content: bytes
    media_type: str
    name: str


def export(
    model: LinearModel,
    format_: ExportFormat,
    *,
    dtype: ExportDtype = "float64",
    unseen: Unseen = "error",
) -> Exported:
    """Write a model as a file.

    Args:
        model: as it is stored, in original units.
        format_: of the file.
        dtype: of its numbers; JSON has but one kind.
        unseen: what an ONNX graph makes of a level that was not in the training data: NaN, or
            the base level.

    Raises:
        InvalidInput: where a weight is too large for float32, or an option does not fit `format_`.
    """
    if unseen != "error" and format_ is not ExportFormat.ONNX:
        raise InvalidInput("only an onnx file encodes, and so has unseen levels", param="unseen")
    if dtype != "float64" and format_ is ExportFormat.JSON:
        raise InvalidInput("JSON has one kind of numbers: leave dtype out", param="dtype")
    content = _written(model, format_, dtype=dtype, unseen=unseen)
    return Exported(content, MEDIA_TYPES[format_], f"{model.id or 'model'}.{format_.value}")


def _written(
    model: LinearModel, format_: ExportFormat, *, dtype: ExportDtype, unseen: Unseen
) -> bytes:
    if format_ is ExportFormat.JSON:
        return model.model_dump_json().encode()
    coef, intercept = _array(model.coef, dtype), _array(model.intercept, dtype)
    texts = _texts(model)
    if format_ is ExportFormat.ONNX:
        return onnx_model(model, coef, intercept, unseen=unseen, metadata=texts)
    if format_ is ExportFormat.NPZ:
        return _npz(model, coef, intercept, texts["encoding"])
    return bytes(save({"weight": coef, "bias": intercept}, metadata={"format": "pt"} | texts))


def _array(numbers: list[list[float]] | list[float], dtype: ExportDtype) -> Array:
    with np.errstate(over="ignore"):
        array = np.asarray(numbers, dtype=np.float64).astype(dtype)
    if not np.isfinite(array).all():
        raise InvalidInput("a weight is too large for float32: take float64", param="dtype")
    return array


def _texts(model: LinearModel) -> dict[str, str]:
    """What stands beside the numbers, as JSON: names may hold any character."""
    return {
        "model_id": model.id or "",
        "features": json.dumps(model.features),
        "targets": json.dumps(model.targets),
        "encoding": model.encoding.model_dump_json() if model.encoding else "null",
    }


def _npz(model: LinearModel, coef: Array, intercept: Array, encoding: str) -> bytes:
    file = io.BytesIO()
    np.savez(
        file,
        coef=coef,
        intercept=intercept,
        features=np.asarray(model.features),
        targets=np.asarray(model.targets),
        encoding=np.asarray(encoding),
        model_id=np.asarray(model.id or ""),
    )
    return file.getvalue()
