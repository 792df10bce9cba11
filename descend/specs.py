"""From the arguments of `Client.train` to a JobSpec: what they hold, and every option there is."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

import numpy as np
from pydantic import BaseModel, ValidationError

from descend import frames
from descend.choices import of_several, param_of
from descend.datasets import Dataset
from descend.errors import InvalidInput
from descend.hyperparameters import Hyperparameters, InitialWeights, Loss, Optimizer, Schedule
from descend.ids import ID_PATTERNS
from descend.jobs import JobSpec
from descend.transport import Body

__all__ = [
    "Given",
    "Options",
    "ReadingOptions",
    "TrainOptions",
    "given",
    "job_spec",
    "parted",
    "spec_changes",
]

# What the values of an option may have for members.
_MEMBERS: dict[str, frozenset[str]] = {
    "init": frozenset(InitialWeights.model_fields),
    "schedule": frozenset(
        name for kind in get_args(get_args(Schedule)[0]) for name in kind.model_fields
    ),
}
DATASET_ID = re.compile(ID_PATTERNS["ds"])


class ReadingOptions(TypedDict, total=False):
    """Everything that can be said about how a table's text is written; see the reference, uploads.

    `delimiter`, `encoding`, `comment`, `skip_rows` and `header` are of a CSV alone.
    """

    delimiter: str | None
    decimal: str | Sequence[str] | None
    encoding: str | None
    null_values: str | None
    comment: str | None
    skip_rows: int | None
    header: Literal["present", "absent"] | None
    text: str | Sequence[str] | None
    thousands: str | Sequence[str] | None
    strip: str | Sequence[str] | None
    dates: str | Sequence[str] | None
    columns: str | Sequence[str] | None


class Options(TypedDict, total=False):
    """Everything that can be said about a job beside its data: JobSpec and Hyperparameters."""

    target: str | list[str] | None
    features: list[str] | None
    exclude: list[str] | None
    weight: str | None
    missing: Literal["error", "drop", "mean"]
    categorical: Literal["one_hot", "error"]
    device: Literal["auto", "cpu", "cuda"]
    priority: int
    timeout_seconds: int | None
    name: str | None
    metadata: Mapping[str, str]
    optimizer: Optimizer
    learning_rate: float | Literal["auto"] | None
    momentum: float | None
    nesterov: bool | None
    betas: list[float] | None
    eps: float | None
    weight_decay: float | None
    history_size: int | None
    schedule: Schedule | dict[str, Any] | None
    max_epochs: int
    batch_size: int | None
    shuffle: bool | None
    loss: Loss
    huber_delta: float | None
    quantile: float | None
    l1: float
    l2: float
    fit_intercept: bool
    standardize: bool
    init: str | InitialWeights | dict[str, Any]
    validation_fraction: float
    validation_dataset: str | None
    tol: float
    patience: int
    target_gap: float | None
    seed: int | None
    dtype: Literal["float64", "float32"]
    deterministic: Literal[True]


class TrainOptions(Options, ReadingOptions, total=False):
    """What can be said about a job, and about the text of the table that it is given."""


def parted(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part options into those of a job and those of reading a table."""
    reading = {name: v for name, v in options.items() if name in ReadingOptions.__annotations__}
    return {name: v for name, v in options.items() if name not in reading}, reading


@dataclass(frozen=True)
class Given:
    """The data of a job: as a JobSpec names it, or a body that is to be uploaded first.

    Attributes:
        options: what columns with names of their own say about target, features and weight.
    """

    reference: str | dict[str, Any] | None
    body: Body | None = None
    options: dict[str, Any] = field(default_factory=dict)


def given(X: Any, y: Any, sample_weight: Any, dataset: Any, *, read: bool = False) -> Given:
    """Find out what `train` was given.

    `read`: there are options of reading it: a table is uploaded with them, whatever its size.

    Raises:
        InvalidInput: where it is nothing, too much, or no data.
    """
    if dataset is not None and (X is not None or y is not None):
        raise InvalidInput("give X and y, or a dataset: not both", param="dataset")
    whole = X if dataset is None else dataset
    if whole is None:
        raise InvalidInput("give X and y, or a dataset", param="X")
    if y is None:
        if sample_weight is not None:
            raise InvalidInput("name the column of weights: weight=", param="sample_weight")
        return _whole(whole, read=read)
    if frames.is_table(X):
        return _named(X, y, sample_weight, read=read)
    arrays = frames.arrays(X, y, sample_weight)
    inline = frames.inline_xy(arrays)
    return Given(inline, None if inline else frames.npz_body(arrays))


def _whole(table: Any, *, read: bool) -> Given:
    """A table in which target names a column."""
    if isinstance(table, Dataset):
        return Given(table.id)
    if isinstance(table, str) and DATASET_ID.match(table):
        return Given(table)
    if isinstance(table, str | Path):
        return Given(None, frames.file_body(Path(table)))
    if frames.is_table(table):
        return _columns(frames.columns_of(table), {}, read=read)
    raise InvalidInput(
        "without y, X must be a table with names: a file, a data frame, a dictionary of columns,"
        " or a dataset",
        param="y",
    )


def _named(X: Any, y: Any, sample_weight: Any, *, read: bool) -> Given:
    """Columns with names, and targets beside them."""
    features, targets = frames.columns_of(X), _targets(y)
    weights = {} if sample_weight is None else {"sample_weight": _column(sample_weight)}
    table = {**features, **targets, **weights}
    if len(table) < len(features) + len(targets) + len(weights):
        twice = sorted(features.keys() & (targets.keys() | weights.keys()))
        raise InvalidInput(f"X has a column of the same name: {', '.join(twice)}", param="X")
    options: dict[str, Any] = {"target": list(targets), "features": list(features)}
    weight = {"weight": "sample_weight"} if weights else {}
    return _columns(table, options | weight, read=read)


def _columns(table: frames.Columns, options: dict[str, Any], *, read: bool) -> Given:
    if not table or len({len(values) for values in table.values()}) > 1:
        lengths = {name: len(values) for name, values in table.items()}
        raise InvalidInput(f"columns must be equally long, not {lengths}", param="X")
    inline = None if read else frames.inline_columns(table)
    return Given(inline, None if inline else frames.columns_body(table), options)


def _targets(y: Any) -> frames.Columns:
    if frames.is_table(y):
        return frames.columns_of(y)
    if getattr(y, "name", None) is not None:
        return {str(y.name): y}
    array = _column(y)
    if array.ndim == 1:
        return {"y": array}
    return {f"y{j}": column for j, column in enumerate(array.T)}


def _column(values: Any) -> Any:
    return values if hasattr(values, "name") else np.asarray(values)


def job_spec(dataset: Any, options: Mapping[str, Any]) -> JobSpec:
    """Make a JobSpec; each option goes where it belongs.

    Raises:
        InvalidInput: where a value cannot be used, or there is no such option; `param` names it.
    """
    about_job = {name: value for name, value in options.items() if name in JobSpec.model_fields}
    about_training = {name: v for name, v in options.items() if name not in about_job}
    about_job.setdefault("missing", "drop")  # as the page does; the answer counts the rows
    try:
        return JobSpec(
            dataset=dataset,
            hyperparameters=Hyperparameters(**about_training),
            **about_job,
        )
    except ValidationError as error:
        raise _refusal(error, {**about_training, **about_job, "dataset": dataset}) from error


def spec_changes(options: Mapping[str, Any]) -> dict[str, Any]:
    """Write options as changes to a JobSpec: each where it belongs, nothing else.

    A merge patch would mix a schedule or weights with those that the job had: their members go.
    """
    about_job = {name: value for name, value in options.items() if name in JobSpec.model_fields}
    about_training = {
        name: dict.fromkeys(_MEMBERS[name]) | dict(value)
        if name in _MEMBERS and isinstance(value, Mapping | BaseModel)
        else value
        for name, value in options.items()
        if name not in about_job
    }
    return about_job | ({"hyperparameters": about_training} if about_training else {})


def _refusal(error: ValidationError, asked: Mapping[str, Any]) -> InvalidInput:
    """Say it in the argument's name; pydantic names the branches of a union, too."""
    found = error.errors(include_url=False, include_input=False)
    named = found[0].get("ctx", {}).get("field")
    param = param_of(found[0]["loc"], asked) or (str(named) if named else None)
    if found[0]["type"] == "extra_forbidden":
        return InvalidInput(f"there is no option {param!r}", param=param)
    same = [item for item in found if item["loc"][:1] == found[0]["loc"][:1]]
    words = [item["msg"].removeprefix("Value error, ") for item in same]
    message = of_several(param or "", list(dict.fromkeys(words)))
    return InvalidInput(f"{param}: {message}" if param else message, param=param)
