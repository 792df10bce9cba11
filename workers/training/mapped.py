"""Rows that may be larger than memory: read a chunk at a time, never as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from workers.training.losses import SQUARED, Loss
from workers.training.samples import Rows
from workers.training.scaling import Floats, Scaling, power_of_two

__all__ = ["Mapped"]

# A chunk: 1 MiB of X, which is in the cache while it is worked on. What is read of a sample for its
# rate: at most so many rows and elements.
CHUNK_ELEMENTS = 2**17
THIN_ROWS = 2**14
THIN_ELEMENTS = 2**23


@dataclass(frozen=True, eq=False)
class Mapped(Rows):
    """Rows that mini-batches are drawn from: X (n, n_features) row-major, Y, omega, as in Rows.

    The arrays may be np.memmap; rows of weight 0 are to hold an observation's values. Scaling,
    moments and losses take one or two passes, a chunk at a time; matrices are those of evenly
    spaced rows and of the longest, enough for a rate and a spectrum.

    Arrays with gaps (a table's columns, a transposed matrix) are copied once, here: numpy's `take`
    into given memory would copy all of them for every batch.

    Attributes:
        thin_rows: evenly spaced ones that the matrices hold at most.
    """

    thin_rows: int = THIN_ROWS

    def __post_init__(self) -> None:
        for name in ("X", "Y", "omega"):
            values = getattr(self, name)
            if values is not None and not values.flags.c_contiguous:
                object.__setattr__(self, name, np.ascontiguousarray(values))

    @property
    def chunk_rows(self) -> int:
        return max(1, CHUNK_ELEMENTS // self.n_features)

    def chunks(self) -> Iterator[Rows]:
        """Yield the rows in their order, views of at most `chunk_rows` each."""
        for begin in range(0, self.n, self.chunk_rows):
            yield self.part(begin, begin + self.chunk_rows)

    def part(self, begin: int, end: int) -> Rows:
        omega = None if self.omega is None else np.asarray(self.omega[begin:end])
        return Rows(np.asarray(self.X[begin:end]), np.asarray(self.Y[begin:end]), omega)

    @property
    def weighs(self) -> bool:
        return self.total_weight > 0

    @cached_property
    def total_weight(self) -> float:
        return float(sum(_weights(part).sum() for part in self.chunks()))

    def scaling(self, *, standardize: bool, fit_intercept: bool) -> Scaling:
        if not standardize or self.n <= self.chunk_rows:
            whole = self.part(0, self.n) if standardize else self.part(0, 1)
            return whole.scaling(standardize=standardize, fit_intercept=fit_intercept)
        low = np.min([part.X.min(axis=0) for part in self.chunks()], axis=0)
        high = np.max([part.X.max(axis=0) for part in self.chunks()], axis=0)
        size = power_of_two(np.maximum(np.abs(low), np.abs(high)))
        mean, variance = self._spread(size, fit_intercept=fit_intercept)
        constant = (low == high) & fit_intercept
        mean[constant] = (low / size)[constant]
        variance[constant] = 0
        scale = np.sqrt(variance) * size
        scale[scale == 0] = 1
        return Scaling(mean * size, scale)

    def matrices(self, scaling: Scaling, *, intercept: bool) -> tuple[Floats, Floats]:
        return self._thin(scaling).matrices(scaling, intercept=intercept)

    def unfolded(
        self, scaling: Scaling, *, intercept: bool
    ) -> tuple[Floats, Floats, Floats | None]:
        return self._thin(scaling).unfolded(scaling, intercept=intercept)

    def moments(self) -> tuple[float, float]:
        if self.n <= self.chunk_rows:
            return self.part(0, self.n).moments()
        with np.errstate(over="ignore", invalid="ignore"):
            targets = Mapped(self.Y, self.Y, self.omega)
            ones = np.ones(self.n_targets)
            mean, variance = targets._spread(ones, fit_intercept=True)
            low = np.min([part.Y.min(axis=0) for part in self.chunks()], axis=0)
            high = np.max([part.Y.max(axis=0) for part in self.chunks()], axis=0)
            variance[low == high] = 0  # of one value only rounding would be left
            return float(variance.mean()), float((variance + np.square(mean)).mean())

    def loss(self, coef: Floats, intercept: Floats, measure: Loss = SQUARED) -> float:
        told = 0.0
        for part in self.chunks():
            weight = float(_weights(part).sum())
            if weight > 0:
                told += weight / self.total_weight * part.loss(coef, intercept, measure)
        return told

    def largest(self) -> Floats:
        return np.asarray(np.max([np.abs(part.X).max(axis=0) for part in self.chunks()], axis=0))

    def largest_targets(self) -> Floats:
        return np.asarray(np.max([np.abs(part.Y).max(axis=0) for part in self.chunks()], axis=0))

    def digest(self) -> bytes:
        return self._digest

    @cached_property
    def _digest(self) -> bytes:
        X = np.sum([part.X.sum(axis=0) for part in self.chunks()], axis=0)
        Y = np.sum([part.Y.sum(axis=0) for part in self.chunks()], axis=0)
        return repr(self.X.shape).encode() + bytes(X.tobytes()) + bytes(Y.tobytes())

    def _spread(self, size: Floats, *, fit_intercept: bool) -> tuple[Floats, Floats]:
        """Merge the chunks' weighted means and squares about them, of X / size.

        References:
            T. F. Chan, G. H. Golub, R. J. LeVeque, Algorithms for computing the sample variance,
            The American Statistician 37 (1983), equation 2.1.
        """
        heaviest = (
            1.0 if self.omega is None else max(float(_weights(p).max()) for p in self.chunks())
        )
        total, mean = 0.0, np.zeros(len(size))
        squares = np.zeros(len(size))
        for part in self.chunks():
            omega = _weights(part) / heaviest
            weight = float(omega.sum())
            if weight == 0:
                continue
            U = part.X / size
            here = omega @ U / weight if fit_intercept else np.zeros(len(size))
            if fit_intercept:
                here += omega @ (U - here) / weight
            apart = here - mean
            squares += omega @ np.square(U - here) + apart**2 * (total * weight / (total + weight))
            total += weight
            mean += apart * (weight / total)
        return mean, squares / total

    def _thin(self, scaling: Scaling) -> Rows:
        limit = max(1, min(self.thin_rows, THIN_ELEMENTS // self.n_features))
        places = np.arange(0, self.n, -(-self.n // limit))
        places = np.union1d(places, [self._longest(scaling)])
        X, Y = np.asarray(self.X[places]), np.asarray(self.Y[places])
        omega = None if self.omega is None else np.asarray(self.omega[places])
        return Rows(X, Y, omega if omega is not None and omega.any() else None)

    def _longest(self, scaling: Scaling) -> int:
        """Place of the row that curves its batch most: a rare level is in no thin sample."""
        place, longest, begin = 0, -1.0, 0
        for part in self.chunks():
            with np.errstate(over="ignore", invalid="ignore"):
                lengths = _weights(part) * np.square(scaling.apply(part.X)).sum(axis=1)
            at = int(lengths.argmax())
            if lengths[at] > longest:
                place, longest = begin + at, float(lengths[at])
            begin += part.n
        return place


def _weights(part: Rows) -> Floats:
    return np.ones(part.n) if part.omega is None else part.omega
