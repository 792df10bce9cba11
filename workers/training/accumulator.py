"""What stands for rows (Factor), and what takes them block by block (Accumulator); numpy."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from descend.errors import InvalidInput
from workers.training.householder import Tree, stacked, tile_rows
from workers.training.problem import Floats
from workers.training.tiles import Columns, Frame, Reduced, Rows, Totals, power_of_two, reduce

__all__ = ["Accumulator", "Factor", "ratio_of", "size_of"]

# Tiles that a thread reduces before it hands back: some milliseconds.
TILES_PER_TASK = 8
# Below so many rows times columns^2 threads cost more than they bring: measured, 1e5 x 6 takes
# 2.1 ms with one and 3.4 with two, 1e5 x 22 takes 12 and 11, 1e5 x 32 takes 21 and 15.
THREADED_WORK = 1 << 24


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
        if self._totals is not None:
            parts.append(Reduced(self._totals, self._frame, self._tree.root()))
        if self._filled:
            parts.append(self._reduce(self._tile.copy(), self._filled))
        totals = parts[0].totals if len(parts) == 1 else parts[0].totals.plus(parts[1].totals)
        frame = parts[-1].frame or self._still()
        size = size_of(frame, totals)
        return Factor(
            **vars(totals),
            weighted=self._weighted,
            n_features=self._shape[0],
            n_targets=self._shape[1],
            shift=frame.shift,
            size=size,
            R=stacked([part.R * ratio_of((part.frame or frame).unit, frame.unit) for part in parts])
            * ratio_of(frame.unit, size),
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
        work = (end - start) * (1 + sum(self._shape)) ** 2
        threads = self._threads if work >= THREADED_WORK else 1
        share = -(-(end - start) // (room * threads))
        step = room * max(1, min(TILES_PER_TASK, share))
        tasks = [range(at, min(end, at + step), room) for at in range(start, end, step)]

        def run(task: range) -> list[Reduced]:
            tile = np.empty_like(self._tile)
            reduced = []
            for at in task:
                block.fill(tile, 0, slice(at, at + room))
                reduced.append(self._reduce(tile, room))
            return reduced

        if threads > 1 and len(tasks) > 1:
            with ThreadPoolExecutor(threads) as pool:
                for reduced in pool.map(run, tasks):
                    self._take(reduced)
        else:
            for task in tasks:
                self._take(run(task))
        return end

    def _still(self) -> Frame:
        """A frame for rows of which none weighs."""
        columns = sum(self._shape)
        return Frame(np.zeros(columns), np.ones(columns))

    def _reduce(self, tile: Floats, rows: int) -> Reduced:
        return reduce(tile, rows, self._frame, weighted=self._weighted, names=self._names)

    def _take(self, tiles: list[Reduced]) -> None:
        for tile in tiles:
            if tile.frame is not None:
                self._frame = self._common(tile.frame, tile.R)
            self._totals = tile.totals if self._totals is None else self._totals.plus(tile.totals)
            self._tree.push(tile.R)

    def _common(self, frame: Frame, R: Floats) -> Frame:
        """Bring what is there and a new tile's R to the larger of their units."""
        if self._frame is None:
            return frame
        common = Frame(frame.shift, np.maximum(frame.unit, self._frame.unit))
        if (common.unit > self._frame.unit).any():
            self._tree.scale(ratio_of(self._frame.unit, common.unit))
        if (common.unit > frame.unit).any():
            R[:] *= ratio_of(frame.unit, common.unit)
        return common


def size_of(frame: Frame, totals: Totals) -> Floats:
    """Take powers of two near the columns' greatest distance from the shift."""
    low, high, shift = (v / frame.unit for v in (totals.low, totals.high, frame.shift))
    reach = np.maximum(high - shift, shift - low)
    reach = np.where(reach > 0, reach, np.abs(shift))
    return power_of_two(reach) * frame.unit


def ratio_of(unit: Floats, size: Floats) -> Floats:
    return np.concatenate([[1.0], unit / size])
