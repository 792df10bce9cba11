"""Columns whose squares no float holds, refused by name before anything is computed from them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from descend.errors import InvalidInput
from workers.training.problem import Problem
from workers.training.scaling import Scaling

__all__ = ["check_magnitudes"]

# Squares of what is beyond leave the range of the dtype, or will with the next product.
BOUNDS = {"float64": (1e-150, 1e150), "float32": (1e-18, 1e18)}
LEAST_SPREAD = 1e-300
NAMED_AT_MOST = 5

Bounds = tuple[float, float]


@dataclass(frozen=True)
class _Extreme:
    name: str
    size: float
    is_target: bool


def check_magnitudes(problem: Problem, scaling: Scaling) -> None:
    """Refuse columns that cannot be trained on because their squares over- or underflow.

    A loss is the square of a target, its curvature that of a column in the coordinates of
    training, its gradient the product of both: all three have to be numbers of the job's dtype.
    Standardised columns are near 1 whatever they were; but what varies by less than 1e-300 has no
    digits left to vary by.

    Raises:
        InvalidInput: names the columns, how large they are, and by what to multiply them.
    """
    h = problem.hyperparameters
    found = list(_extremes(problem, scaling, BOUNDS[h.dtype]))
    if not found:
        return
    names = ", ".join(f"{one.name!r} ({one.size:.3g})" for one in found[:NAMED_AT_MOST])
    more = len(found) - NAMED_AT_MOST
    listed = f"{names} and {more} more" if more > 0 else names
    subject = "column" if len(found) == 1 else "columns"
    raise InvalidInput(
        f"the squares of {subject} {listed} leave the range of {h.dtype}:"
        f" {_cure(problem, scaling, found)}",
        param=found[0].name,
    )


def _extremes(problem: Problem, scaling: Scaling, bounds: Bounds) -> Iterator[_Extreme]:
    low, high = bounds
    targets = problem.summary.largest_targets()
    for name, size in zip(problem.targets, targets.tolist(), strict=True):
        if size > high or 0 < size < low:
            yield _Extreme(name, size, is_target=True)
    sizes = problem.summary.largest()
    if problem.hyperparameters.standardize:
        for place in np.flatnonzero(scaling.scale < LEAST_SPREAD).tolist():
            yield _Extreme(problem.features[place], float(sizes[place]), is_target=False)
        return
    # Beside a target that is itself too large every column would be named.
    beside = float(targets.max()) if targets.max() <= high else 1.0
    for name, size in zip(problem.features, sizes.tolist(), strict=True):
        if size * max(beside, 1.0) > high or 0 < size < low:
            yield _Extreme(name, size, is_target=False)


def _cure(problem: Problem, scaling: Scaling, found: list[_Extreme]) -> str:
    h, wide = problem.hyperparameters, BOUNDS["float64"]
    if h.dtype != "float64" and not list(_extremes(problem, scaling, wide)):
        return "use dtype float64"
    exponent = -int(np.floor(np.log10(found[0].size)))
    multiplied = f"multiply {found[0].name!r} by 1e{exponent}"
    if h.standardize or any(one.is_target for one in found):
        return multiplied
    return f"set standardize to true, or {multiplied}"
