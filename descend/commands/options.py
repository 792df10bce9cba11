"""The options of a JobSpec, made from the contract's own fields, so that none is ever missing.

Every field is an option of its name, `--learning-rate`; `--learning_rate` is the same option, for
`descend.cli` reads "_" as "-". Values are checked by the contract and nowhere else.
"""

import csv
import inspect
import json
import shlex
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from descend.choices import of_several
from descend.errors import InvalidInput
from descend.hyperparameters import Hyperparameters, Loss, Optimizer
from descend.jobs import JobSpec

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = [
    "OPTIONS",
    "SPEC",
    "command_line",
    "dashed",
    "options_of",
    "pairs_of",
    "quoted",
    "spec_of",
]

ALIASES = {
    "learning_rate": "--lr",
    "max_epochs": "--epochs",
    "validation_fraction": "--validation",
    "timeout_seconds": "--timeout",
}
# Of JobSpec: the data is the command's argument, the hyperparameters are options themselves.
_NOT_OPTIONS = ("dataset", "hyperparameters")
# Fields that hold text whatever it looks like: a column may be named 7.
_TEXTS = frozenset(
    {"target", "features", "exclude", "weight", "name", "metadata", "validation_dataset"}
)
_LISTS = frozenset({"target", "features", "exclude"})
_PANELS = {
    "Data": ("target", "features", "exclude", "weight", "missing", "categorical", "standardize"),
    "Objective": ("loss", "huber_delta", "quantile", "l1", "l2", "fit_intercept"),
    "When to stop": ("max_epochs", "tol", "patience", "target_gap", "timeout_seconds"),
    "Validation": ("validation_fraction", "validation_dataset"),
    "Job": ("name", "metadata", "priority", "device"),
}
# Names that stay as they are at the beginning of a sentence.
_NAMES = {*get_args(Optimizer), *get_args(Loss), "torch"}
# For fields whose name says it all in JSON, but not in a list of options.
_WORDS = {
    "device": "where to train",
    "name": "for the list of jobs",
    "metadata": "a pair to keep with the job; may be repeated",
    "max_epochs": "steps to take at most",
    "patience": "epochs in a row that tol asks for",
    "loss": "what is made small",
    "dtype": "in which numbers",
    "fit_intercept": "with an intercept, or through the origin",
}
_FIELDS: dict[str, FieldInfo] = {
    name: info
    for model in (JobSpec, Hyperparameters)
    for name, info in model.model_fields.items()
    if name not in _NOT_OPTIONS
}


OPTIONS = frozenset(_FIELDS)
MISSING = "drop"  # where nothing is said, as the page does; the answer counts the rows


def dashed(name: str) -> str:
    """Write the option of a field."""
    return f"--{name.replace('_', '-')}"


def spec_of(dataset: str, given: Mapping[str, Any]) -> JobSpec:
    """Make a JobSpec of what was given; what was not keeps the server's default.

    Raises:
        InvalidInput: when a value is not one the field takes; `param` names it.
    """
    values = {"missing": MISSING} | options_of(given)
    hyperparameters = {
        name: values.pop(name) for name in list(values) if name in Hyperparameters.model_fields
    }
    if hyperparameters:
        values["hyperparameters"] = hyperparameters
    try:
        return JobSpec(dataset=dataset, **values)
    except ValidationError as error:
        raise _refusal(error) from None


def options_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read the words of the options that were given as values of their fields."""
    return {name: _value(name, raw) for name, raw in given.items() if raw not in (None, [])}


def _refusal(error: ValidationError) -> InvalidInput:
    """Tell the first field at fault, with everything it would take where that is several things."""
    found = [(_field(one), str(one["msg"]).removeprefix("Value error, ")) for one in error.errors()]
    param = found[0][0]
    words = list(dict.fromkeys(message for field, message in found if field == param))
    return InvalidInput(of_several(param or "", words), param=param)


def _field(error: "ErrorDetails") -> str | None:
    named = (error.get("ctx") or {}).get("field")
    return next((str(part) for part in (*error["loc"], named) if part in _FIELDS), None)


def pairs_of(words: list[str]) -> dict[str, str]:
    """Read key=value, each."""
    return dict(_pair(one) for one in words)


def command_line(spec: JobSpec, *, verb: str = "train", changes: Mapping[str, object]) -> str:
    """Write the command that asks for a spec with some fields changed; None leaves one out."""
    asked = spec.model_dump(mode="json", exclude_defaults=True, exclude={"dataset"})
    if asked.get("missing") == MISSING:
        del asked["missing"]
    asked |= asked.pop("hyperparameters", {}) | dict(changes)
    words = ["descend", verb, str(spec.dataset)]
    for name, value in asked.items():
        if value not in (None, {}, []):
            words += _words(name, value)
    return shlex.join(words)


def _words(name: str, value: object) -> Iterator[str]:
    if isinstance(value, bool):
        yield f"--{'' if value else 'no-'}{name.replace('_', '-')}"
    elif isinstance(value, list) and name in _LISTS:
        for one in value:
            yield from (dashed(name), quoted(one))
    elif isinstance(value, dict) and name == "metadata":
        for key, one in value.items():
            yield from (dashed(name), f"{key}={one}")
    elif isinstance(value, str):
        yield from (dashed(name), quoted(value) if name in _LISTS else value)
    else:
        yield from (dashed(name), json.dumps(value))


def quoted(column: str) -> str:
    """Write a column's name as one cell of a line of CSV."""
    return column if not set(',"') & set(column) else '"' + column.replace('"', '""') + '"'


# --- from words to values ----------------------------------------------------------------------


def _value(name: str, raw: Any) -> Any:
    if isinstance(raw, bool):
        return raw
    if name in _LISTS:
        columns = [column for line in raw for column in next(csv.reader([line]), [])]
        return columns[0] if name == "target" and len(columns) == 1 else columns
    if name == "metadata":
        return pairs_of(raw)
    return raw if name in _TEXTS else _number_or_word(name, raw)


def _pair(words: str) -> tuple[str, str]:
    key, equals, value = words.partition("=")
    if not equals:
        raise InvalidInput(f"write key=value instead of {words!r}", param="metadata")
    return key, value


def _number_or_word(name: str, raw: str) -> Any:
    try:
        value = json.loads(f"[{raw}]" if name == "betas" and not raw.startswith("[") else raw)
    except ValueError:
        return {"type": raw} if name == "schedule" else raw
    if isinstance(value, float) and value.is_integer() and int in _types(_FIELDS[name]):
        return int(value)  # 1e6 epochs
    return value


def _types(info: FieldInfo) -> set[Any]:
    """Find the plain types, words and models that a field takes."""
    found: set[Any] = set()
    left: list[Any] = [info.annotation]
    while left:
        kind = left.pop()
        if get_origin(kind) is Literal:
            found |= set(get_args(kind))
        elif get_origin(kind) is Annotated:
            left.append(get_args(kind)[0])
        elif get_args(kind):
            left += get_args(kind)
        elif kind is not NoneType:
            found.add(kind)
    return found


# --- the options of train and plan -------------------------------------------------------------


def _parameter(name: str, info: FieldInfo) -> inspect.Parameter:
    types = _types(info)
    is_flag = bool in types
    names = [f"{dashed(name)}/--no-{name.replace('_', '-')}" if is_flag else dashed(name)]
    option = typer.Option(
        *names,
        *([ALIASES[name]] if name in ALIASES else []),
        help=_help(name, info),
        metavar=None if is_flag else _metavar(name, types),
        rich_help_panel=next((p for p, names in _PANELS.items() if name in names), "Optimizer"),
        show_default=_default(info),
    )
    kind: Any = bool if is_flag else list[str] if name in _LISTS | {"metadata"} else str
    annotation: Any = Annotated[kind | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=None
    )


def _help(name: str, info: FieldInfo) -> str:
    told = (info.description or _WORDS[name]).replace("null: ", "by default ")
    first = told.partition(" ")[0].rstrip(":,")
    return told if first in _NAMES else told[0].upper() + told[1:]


def _default(info: FieldInfo) -> str | bool:
    """Say what holds when the option is not given; what the description tells is not repeated."""
    default = info.get_default(call_default_factory=True)
    if default in (None, {}):
        return False
    return default if isinstance(default, str) else json.dumps(default)


def _metavar(name: str, types: set[Any]) -> str:
    if name in _LISTS | {"weight"}:
        return "COLUMN"
    if name == "metadata":
        return "KEY=VALUE"
    words = sorted(one for one in types if isinstance(one, str))
    if any(isinstance(one, type) and issubclass(one, BaseModel) for one in types):
        words.append("JSON")
    if str in types:
        words.append("job_…" if name == "init" else "ds_…" if name in _TEXTS - {"name"} else "TEXT")
    if {int, float} & types and name != "init":
        words.append("INTEGER" if float not in types else "NUMBER")
    return "|".join(words) or "TEXT"


# `deterministic` can only be true: an option with one value is none.
SPEC = tuple(_parameter(name, info) for name, info in _FIELDS.items() if name != "deterministic")
