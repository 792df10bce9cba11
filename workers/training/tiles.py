"""Tiles: as many rows as stay in the cache, copied out of blocks and factored (numpy)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from descend.errors import InvalidInput
from workers.training.householder import triangle
from workers.training.problem import Floats

__all__ = ["Block", "Columns", "Frame", "Reduced", "Rows", "Totals", "power_of_two", "reduce"]

Columns = Floats | Sequence[Floats]
Block = tuple[Columns, Columns, Floats | None]

# Magnitudes outside 2^-300 .. 2^300 are brought near 1 before they are multiplied.
ORDINARY = 300
# 2^1000 and its inverse are both ordinary numbers.
EXTREME = 1000


@dataclass(frozen=True, eq=False)
class Frame:
    """Where a column's zero lies and what its unit is: shape (n_features + n_targets,) each."""

    shift: Floats
    unit: Floats


@dataclass(frozen=True, eq=False)
class Totals:
    """What is counted of rows beside their factor; low and high are of those that weigh."""

    n_rows: int
    n_observations: int
    weight_sum: float
    log_weight_sum: float
    low: Floats
    high: Floats

    def plus(self, other: "Totals") -> "Totals":
        return Totals(
            self.n_rows + other.n_rows,
            self.n_observations + other.n_observations,
            self.weight_sum + other.weight_sum,
            self.log_weight_sum + other.log_weight_sum,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )


@dataclass(frozen=True, eq=False)
class Reduced:
    """A tile's rows: counted, and their factor in a frame; None while no row has weighed."""

    totals: Totals
    frame: Frame | None
    R: Floats


class Rows:
    """The rows of one block."""

    def __init__(self, X: Columns, Y: Columns, omega: Floats | None) -> None:
        self._parts = (X, Y)
        self.omega = omega
        self.n_features, self.n_targets = _width(X), _width(Y)
        if 0 in (self.n_features, self.n_targets):
            raise InvalidInput("X and Y need at least one column each", param="X")
        lengths = {n for part in self._parts for n in _lengths(part)}
        lengths |= set() if omega is None else {len(omega)}
        if len(lengths) > 1:
            raise InvalidInput(f"X, Y and weights have {sorted(lengths)} rows", param="X")
        self.n_rows = lengths.pop()

    def fill(self, tile: Floats, at: int, rows: slice) -> None:
        """Copy rows into a tile, from place `at` on: X, Y and weights below its first row."""
        end, top = at + rows.stop - rows.start, 1
        for part in self._parts:
            if isinstance(part, np.ndarray):
                tile[top : top + part.shape[1], at:end] = part[rows].T
                top += part.shape[1]
                continue
            for column in part:
                tile[top, at:end] = column[rows]
                top += 1
        tile[top, at:end] = 1 if self.omega is None else self.omega[rows]


def reduce(
    tile: Floats, rows: int, frame: Frame | None, *, weighted: bool, names: Sequence[str]
) -> Reduced:
    """Compute the factor of sqrt(omega_i) [1, (v_i - shift) / unit], v = (x, y), of a tile.

    Args:
        tile: as `Rows.fill` leaves it, shape (1 + n_features + n_targets + 1, room); overwritten.
        rows: how many of its rows are filled.
        frame: shift and smallest unit; None to choose them by these rows.
        weighted: whether the last row holds weights that differ from 1.
        names: of the columns of X and Y.

    Raises:
        InvalidInput: when a value or a weight is not finite, or a weight is negative.
    """
    values, omega = tile[1:-1, :rows], tile[-1, :rows]
    low, high = _bounds(values, names)
    totals = Totals(rows, rows, float(rows), 0.0, low, high)
    idle = None
    if weighted:
        totals, idle = _counted(values, omega, totals)
        if totals.n_observations == 0:
            return Reduced(totals, frame, np.zeros((len(tile) - 1,) * 2))
    unit = _unit(np.maximum(-totals.low, totals.high))
    if frame is None:
        frame = Frame(_round_mean(values if idle is None else values[:, ~idle], unit), unit)
    frame = Frame(frame.shift, np.maximum(frame.unit, unit))
    if idle is not None:
        values[:, idle] = frame.shift[:, np.newaxis]  # theirs may be anything
    if (frame.unit != 1).any():
        values *= (1 / frame.unit)[:, np.newaxis]
    values -= (frame.shift / frame.unit)[:, np.newaxis]
    tile[0, :rows] = 1
    if weighted:
        tile[:-1, :rows] *= np.sqrt(omega)
    return Reduced(totals, frame, triangle(tile[:-1], rows))


def power_of_two(magnitudes: Floats) -> Floats:
    """Round down to powers of two, 2^-1000 .. 2^1000; 1 for 0."""
    _, exponents = np.frexp(magnitudes)
    exponents = np.clip(exponents - 1, -EXTREME, EXTREME)
    return np.ldexp(1.0, np.where(magnitudes == 0, 0, exponents))


def _unit(magnitudes: Floats) -> Floats:
    usual = (magnitudes >= 2.0**-ORDINARY) & (magnitudes <= 2.0**ORDINARY)
    return np.where(usual, 1.0, 1.0 if usual.all() else power_of_two(magnitudes))


def _bounds(values: Floats, names: Sequence[str]) -> tuple[Floats, Floats]:
    with np.errstate(invalid="ignore"):
        low, high = values.min(axis=1), values.max(axis=1)
    finite = np.isfinite(low) & np.isfinite(high)
    if not finite.all():
        name = names[int(np.argmin(finite))]
        raise InvalidInput(f"{name} holds NaN or infinity: remove those rows", param=name)
    return low, high


def _round_mean(values: Floats, unit: Floats) -> Floats:
    """Take a mean of few bits: subtracting it from numbers of few bits is then exact."""
    values = values * (1 / unit)[:, np.newaxis]
    low, high, mean = values.min(axis=1), values.max(axis=1), values.mean(axis=1)
    spread = np.maximum(high - mean, mean - low)
    step = np.where(spread > 0, power_of_two(np.abs(spread)) / 8, 1)
    rounded = np.where(low == high, low, np.rint(mean / step) * step)
    return np.asarray(rounded * unit)


def _counted(
    values: Floats, omega: NDArray[np.float64], unweighted: Totals
) -> tuple[Totals, NDArray[np.bool_] | None]:
    """Count the rows that weigh; and say which do not, None where all do."""
    if not (np.isfinite(omega).all() and omega.min() >= 0):
        raise InvalidInput("sample weights must be finite and >= 0", param="sample_weight")
    idle = omega == 0
    positive = omega[~idle]
    low, high = unweighted.low, unweighted.high
    if idle.any():
        seen = values[:, ~idle]
        low, high = seen.min(axis=1, initial=np.inf), seen.max(axis=1, initial=-np.inf)
    with np.errstate(over="ignore"):
        total = float(omega.sum())
    logs = float(np.log(positive).sum())
    found = Totals(len(omega), len(positive), total, logs, low, high)
    return found, idle if idle.any() else None


def _width(part: Columns) -> int:
    if not isinstance(part, np.ndarray):
        return len(part)
    if part.ndim != 2:
        raise InvalidInput(f"a block has shape {part.shape}: need (n, columns)", param="X")
    return int(part.shape[1])


def _lengths(part: Columns) -> set[int]:
    return {len(part)} if isinstance(part, np.ndarray) else {len(column) for column in part}
