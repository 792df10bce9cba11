"""The R factor of weighted [1, X, Y]: all that squared loss can ask of rows, mergeable (numpy).

    ||A theta - B||^2 over the rows  =  ||R_A theta - R_B||^2      for every theta

Rows come in blocks, from memory or disk; nothing here reads or writes.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from descend.errors import InvalidInput
from workers.training.householder import Tree, stacked, tile_rows, triangle
from workers.training.problem import Floats
from workers.training.scaling import Scaling
from workers.training.tiles import Block, Columns, Frame, Reduced, Rows, Totals, power_of_two, reduce
from workers.training.twofold import dot

__all__ = [
    "Accumulator",
    "Factor",
    "factor",
    "loss_of",
    "matrices_of",
    "merge",
    "moments_of",
    "scaling_of",
    "select",
]

# Tiles that a thread reduces before it hands back: some milliseconds.
TILES_PER_TASK = 8


@dataclass(frozen=True, eq=False)
class Factor:
    """The R factor of sqrt(omega_i) [1, (x_i - shift_x) / size_x, (y_i - shift_y) / size_y].

    Attributes:
        n_rows: all rows, those of weight 0 too.
        n_observations: rows with weight > 0.
        weight_sum: sum of the weights, n_rows when unweighted; infinite where float64 cannot hold
            it (its root R[0, 0] is always finite).
        log_weight_sum: sum of log(omega) over the observations, 0 when unweighted.
        weighted: whether any row came with a weight.
        n_features: columns of X.
        n_targets: columns of Y.
        shift: near the columns' means, shape (n_features + n_targets,).
        size: near their magnitudes about the shift, powers of two, same shape.
        low: least value of each column in original units, same shape.
        high: greatest value.
        R: shape (1 + n_features + n_targets,) twice, upper triangular, diagonal >= 0; zero rows at
            the end where there are fewer rows than columns.
    """

    n_rows: int
    n_observations: int
    weight_sum: float
    log_weight_sum: float
    weighted: bool
    n_features: int
    n_targets: int
    shift: Floats
    size: Floats
    low: Floats
    high: Floats
    R: Floats

    @property
    def root_weight(self) -> float:
        """sqrt(weight_sum), finite whatever the weights; refused where all are 0."""
        root = float(self.R[0, 0]) if self.weighted else float(np.sqrt(self.n_rows))
        if root == 0:
            raise InvalidInput("every row has weight 0", param="sample_weight")
        return root


def factor(
    blocks: Iterable[Block], *, names: Sequence[str] | None = None, threads: int = 1
) -> Factor:
    """Compute the R factor of all rows of the blocks, in one pass.

    Args:
        blocks: (X, Y, omega) each: X of shape (n, n_features), Y of shape (n, n_targets), in
            either memory order, or as sequences of columns; omega of shape (n,) or None. Any n.
        names: of the columns of X, then Y, for messages.
        threads: how many work on one block; the result does not depend on it.

    Returns:
        The factor: bitwise the same however the rows are cut into blocks.

    Raises:
        InvalidInput: when a value is not finite, shapes do not fit, a weight is negative or not
            finite, or there are no rows.

    Notes:
        Tall-skinny QR: Householder reflections on tiles that stay in the cache, whose factors are
        reduced in a tree. 2 n (1 + n_features + n_targets)^2 operations in float64, backward
        stable column by column: neither means nor units of the columns cost digits.

    References:
        J. Demmel, L. Grigori, M. Hoemmen, J. Langou, Communication-optimal Parallel and Sequential
        QR and LU Factorizations, SIAM J. Sci. Comput. 34 (2012), section 3 (TSQR).
    """
    accumulator = Accumulator(names=names, threads=threads)
    for X, Y, omega in blocks:
        accumulator.add(X, Y, omega)
    return accumulator.factor()


class Accumulator:
    """Takes rows block by block and holds their factor; see `factor`."""

    def __init__(self, *, names: Sequence[str] | None = None, threads: int = 1) -> None:
        self._names = tuple(names or ())
        self._threads = threads
        self._shape = (0, 0)
        self._weighted = False
        self._filled = 0
        self._frame: Frame | None = None
        self._totals: Totals | None = None
        self._tree = Tree()

    def add(self, X: Columns, Y: Columns, omega: Floats | None = None) -> None:
        """Take some rows.

        Args:
            X: features, shape (n, n_features) in either memory order, or a sequence of columns.
            Y: targets, likewise.
            omega: weights, shape (n,), or None for 1.

        Raises:
            InvalidInput: as `factor` does.
        """
        block = Rows(X, Y, omega)
        self._open(block)
        self._weighted |= omega is not None
        room, start = self._tile.shape[1], 0
        while start < block.n_rows:
            if self._filled == 0 and self._frame is not None:
                start = self._take_tiles(block, start)
            end = min(block.n_rows, start + room - self._filled)
            block.fill(self._tile, self._filled, slice(start, end))
            self._filled += end - start
            start = end
            if self._filled == room:
                self._take([self._reduce(self._tile, room)])
                self._filled = 0

    def factor(self) -> Factor:
        """Return the factor of the rows taken so far; more may follow."""
        if self._filled == 0 and self._totals is None:
            raise InvalidInput("there are no rows", param="X")
        parts: list[Reduced] = []
        if self._totals is not None and self._frame is not None:
            parts.append(Reduced(self._totals, self._frame, self._tree.root()))
        if self._filled:
            parts.append(self._reduce(self._tile.copy(), self._filled))
        frame, totals = parts[-1].frame, parts[0].totals
        if len(parts) > 1:
            totals = totals.plus(parts[1].totals)
        size = _size(frame, totals)
        return Factor(
            **vars(totals),
            weighted=self._weighted,
            n_features=self._shape[0],
            n_targets=self._shape[1],
            shift=frame.shift,
            size=size,
            R=stacked([part.R * _ratio(part.frame.unit, frame.unit) for part in parts])
            * _ratio(frame.unit, size),
        )

    def _open(self, block: Rows) -> None:
        shape = (block.n_features, block.n_targets)
        if self._shape == (0, 0):
            self._shape = shape
            columns = 1 + sum(shape)
            self._tile = np.empty((columns + 1, tile_rows(columns)))
            if not self._names:
                self._names = tuple(f"X[:, {j}]" for j in range(shape[0]))
                self._names += tuple(f"Y[:, {j}]" for j in range(shape[1]))
        elif shape != self._shape:
            raise InvalidInput(f"blocks have {self._shape} and {shape} columns", param="X")

    def _take_tiles(self, block: Rows, start: int) -> int:
        """Reduce the whole tiles that follow, several at a time; return where they end."""
        room = self._tile.shape[1]
        end = start + (block.n_rows - start) // room * room
        step = TILES_PER_TASK * room
        tasks = [range(at, min(end, at + step), room) for at in range(start, end, step)]

        def run(task: range) -> list[Reduced]:
            tile = np.empty_like(self._tile)
            reduced = []
            for at in task:
                block.fill(tile, 0, slice(at, at + room))
                reduced.append(self._reduce(tile, room))
            return reduced

        if self._threads > 1 and len(tasks) > 1:
            with ThreadPoolExecutor(self._threads) as pool:
                for reduced in pool.map(run, tasks):
                    self._take(reduced)
        else:
            for task in tasks:
                self._take(run(task))
        return end

    def _reduce(self, tile: Floats, rows: int) -> Reduced:
        return reduce(tile, rows, self._frame, weighted=self._weighted, names=self._names)

    def _take(self, tiles: list[Reduced]) -> None:
        for tile in tiles:
            frame = tile.frame
            if self._frame is not None:
                frame = Frame(frame.shift, np.maximum(frame.unit, self._frame.unit))
                if (frame.unit > self._frame.unit).any():
                    self._tree.scale(_ratio(self._frame.unit, frame.unit))
                if (frame.unit > tile.frame.unit).any():
                    tile.R[:] *= _ratio(tile.frame.unit, frame.unit)
            self._frame = frame
            self._totals = tile.totals if self._totals is None else self._totals.plus(tile.totals)
            self._tree.push(tile.R)


def merge(a: Factor, b: Factor) -> Factor:
    """Compute the factor of the rows of a and b together.

    Raises:
        InvalidInput: when they differ in their numbers of columns.

    Notes:
        Takes the shifts of the part with more rows and the larger sizes. Cost: O(columns^3).
    """
    if (a.n_features, a.n_targets) != (b.n_features, b.n_targets):
        raise InvalidInput("factors differ in their numbers of columns", param="features")
    shift = a.shift if a.n_rows >= b.n_rows else b.shift
    totals = _totals(a).plus(_totals(b))
    # Where the parts lie far apart the shift to the other's zero may exceed both sizes.
    size = np.maximum(_size(Frame(shift, np.maximum(a.size, b.size)), totals), 1e-300)
    return Factor(
        **vars(totals),
        weighted=a.weighted or b.weighted,
        n_features=a.n_features,
        n_targets=a.n_targets,
        shift=shift,
        size=size,
        R=stacked([_translated(a, shift, size), _translated(b, shift, size)]),
    )


def select(factor: Factor, features: Sequence[int], targets: Sequence[int]) -> Factor:
    """Compute the factor of the same rows with these columns of X and Y, in this order.

    Args:
        factor: of all columns.
        features: positions of columns of X.
        targets: positions of columns of Y, 0 for the first.
    """
    kept = np.array([*features, *(factor.n_features + j for j in targets)], dtype=np.intp)
    tile = np.ascontiguousarray(factor.R[:, [0, *(kept + 1)]].T)
    chosen = {name: getattr(factor, name)[kept] for name in ("shift", "size", "low", "high")}
    sizes = {"n_features": len(features), "n_targets": len(targets)}
    return Factor(**{**vars(factor), **chosen, **sizes, "R": triangle(tile, tile.shape[1])})


def scaling_of(factor: Factor, *, standardize: bool, fit_intercept: bool) -> Scaling:
    """Compute what `fit_scaling` does on the rows, to 1e-14; constant columns exactly."""
    d = factor.n_features
    if not standardize:
        return Scaling(np.zeros(d), np.ones(d))
    root = factor.root_weight
    shift, size = factor.shift[:d], factor.size[:d]
    constant = factor.low[:d] == factor.high[:d]
    R = factor.R[:, 1 : 1 + d] / root
    if not fit_intercept:
        R[0] += shift / size
        scale = np.where(constant, np.abs(factor.low[:d]), _norms(R) * size)
        return Scaling(np.zeros(d), np.where(scale == 0, 1, scale))
    mean = np.where(constant, factor.low[:d], shift + R[0] * size)
    scale = np.where(constant, 0, _norms(R[1:]) * size)
    return Scaling(mean, np.where(scale == 0, 1, scale))


def matrices_of(factor: Factor, scaling: Scaling, *, intercept: bool) -> tuple[Floats, Floats]:
    """Compute A and B with ||A theta - B||^2 / n_rows the weighted mean of squared residuals.

    Args:
        factor: of the rows.
        scaling: to the coordinates of training, z = (x - mean) / scale.
        intercept: whether A gets a last column for it.

    Returns:
        A (1 + n_features + n_targets, n_features [+ 1]) and B (1 + n_features + n_targets,
        n_targets): R of the rows sqrt(n_rows omega_i / sum(omega)) [z_i, 1, y_i], so that
        `objective.matrices` and this give the same loss and gradient for every theta.

    Raises:
        InvalidInput: when every weight is 0.
    """
    d = factor.n_features
    inner = factor.R * (np.sqrt(factor.n_rows) / factor.root_weight)
    ones = inner[0, 0]
    A = _moved(factor, inner, slice(0, d), Frame(scaling.mean, scaling.scale))
    still = np.zeros(factor.n_targets)
    B = _moved(factor, inner, slice(d, None), Frame(still, still + 1))
    if not intercept:
        return A, B
    last = np.zeros((len(A), 1))
    last[0] = ones
    return np.concatenate([A, last], axis=1), B


def moments_of(factor: Factor) -> tuple[float, float]:
    """Compute the targets' weighted population variance and mean square, each the mean over them."""
    d = factor.n_features
    still = np.zeros(factor.n_targets)
    inner = factor.R / factor.root_weight
    with np.errstate(over="ignore"):
        squares = np.square(_moved(factor, inner, slice(d, None), Frame(still, still + 1)))
        variance, mean_square = squares[1:].sum(), squares.sum()
    return float(variance / factor.n_targets), float(mean_square / factor.n_targets)


def loss_of(factor: Factor, coef: Floats, intercept: Floats) -> float:
    """Compute the weighted mean over rows and targets of (x_i coef' + intercept - y_i)^2.

    Args:
        factor: of the rows.
        coef: in original units, shape (n_targets, n_features).
        intercept: shape (n_targets,).

    Returns:
        The data term; infinite or NaN where float64 cannot hold it.

    Notes:
        Taken about the shifts, with the constant term in twice the working precision: a large
        mean costs no digits. Cost: O(columns^2 n_targets).
    """
    d, t = factor.n_features, factor.n_targets
    with np.errstate(over="ignore", invalid="ignore"):
        constant = dot(
            np.concatenate([coef, intercept[:, np.newaxis], -np.ones((t, 1))], axis=1),
            np.concatenate(
                [np.tile(factor.shift[:d], (t, 1)), np.ones((t, 1)), factor.shift[d:, np.newaxis]],
                axis=1,
            ),
        )
        theta = np.concatenate(
            [constant[np.newaxis], (coef * factor.size[:d]).T, -np.diag(factor.size[d:])]
        )
        residuals = factor.R @ theta / factor.root_weight
        return float(np.square(residuals).sum() / t)


def _moved(factor: Factor, inner: Floats, columns: slice, frame: Frame) -> Floats:
    """Bring columns of R, given as `inner` in the factor's own frame, into another one."""
    shift, size = factor.shift[columns], factor.size[columns]
    low, high = factor.low[columns], factor.high[columns]
    moved = inner[:, 1:][:, columns] * (size / frame.unit)
    moved[0] += (shift - frame.shift) / frame.unit * inner[0, 0]
    constant = low == high
    moved[:, constant] = 0
    moved[0, constant] = ((low - frame.shift) / frame.unit)[constant] * inner[0, 0]
    return moved


def _translated(factor: Factor, shift: Floats, size: Floats) -> Floats:
    R = factor.R * _ratio(factor.size, size)
    R[0, 1:] += (factor.shift / size - shift / size) * R[0, 0]
    return R


def _totals(factor: Factor) -> Totals:
    return Totals(**{name: getattr(factor, name) for name in Totals.__dataclass_fields__})


def _size(frame: Frame, totals: Totals) -> Floats:
    """Take powers of two near the columns' greatest distance from the shift."""
    low, high, shift = (v / frame.unit for v in (totals.low, totals.high, frame.shift))
    reach = np.maximum(high - shift, shift - low)
    reach = np.where(reach > 0, reach, np.abs(shift))
    return power_of_two(reach) * frame.unit


def _ratio(unit: Floats, size: Floats) -> Floats:
    return np.concatenate([[1.0], unit / size])


def _norms(R: Floats) -> Floats:
    return np.asarray(np.linalg.norm(R, axis=0))
