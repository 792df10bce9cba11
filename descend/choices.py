"""Fields that take several kinds of values, and what they take in words.

Pydantic tells what each branch of a union would have wanted; a person wants one sentence.
"""

from collections.abc import Sequence
from typing import Any

__all__ = ["of_several", "param_of"]

# Words that pydantic puts into an error's location for a union's branch; they are no field names.
_UNION_TAGS = frozenset(
    {"vector", "matrix", "dataset-id", "inline-xy", "inline-columns", "inline-records"}
)

_TAKES = {
    "learning_rate": "a number above 0 (at most 1e300), or auto",
    "init": "zeros, torch, a job's id (job_…), or an object with coef, a row of numbers per target",
    "schedule": "an object with a type: constant, step, cosine or inverse",
    "target": "a column's name, or a list of names",
    "dataset": "a data set's id (ds_…), an object with X and y or with columns, or a list of"
    " records",
}


def of_several(param: str, messages: Sequence[str]) -> str:
    """Say in one sentence what a field takes, where it takes several kinds of values.

    Args:
        param: the field, dotted: hyperparameters.learning_rate.
        messages: what is wrong with it, an entry for each kind.
    """
    name = param.rpartition(".")[2]
    if name in _TAKES and (len(messages) > 1 or messages[0].startswith("Input tag")):
        return f"{name} is {_TAKES[name]}"
    return " or: ".join(messages).replace(" or: Input should be", " or")


def param_of(location: Sequence[str | int], body: Any, *, missing: bool = False) -> str:
    """Say which field an error is about: what the body does not hold is the tag of a union.

    Args:
        location: where pydantic found it.
        body: what was checked.
        missing: it is about a field that is not there.
    """
    names: list[str] = []
    here = body
    for place, step in enumerate(location):
        if _holds(here, step):
            here = here[step]
        elif not missing or place < len(location) - 1 or step in _UNION_TAGS:
            continue
        names.append(str(step))
    return ".".join(names)


def _holds(value: Any, step: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and 0 <= step < len(value)
    return isinstance(value, dict) and step in value
