"""A job's table as numbers: encoded, without its missing cells, block by block from the file.

Nothing here holds the table: a block is a record batch's worth of columns. What has to be known
before the first number (levels, means, which rows are left out) is found in a pass of its own, and
only where there are text columns or missing cells to be dealt with.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from descend.datasets import ColumnType
from descend.encoding import CategoricalInput, Encoding, Input, NumericInput
from descend.errors import InvalidDataset
from descend.limits import MAX_COLUMNS, MAX_LEVELS
from storage.arrow import Batch, Table

__all__ = ["Block", "Columns", "JobTable", "Part", "Split"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Block = tuple[list[Floats], list[Floats], Floats | None]  # columns of X, of Y, omega
Part = Mask | None  # of the rows that are used; None: all of them
Split = Callable[[int], Part]  # of the number of rows used: those trained on

# The largest of ordinary weights is within 2^-100 .. 2^100.
ORDINARY_WEIGHT = 100
LEAST_WEIGHT = float(np.finfo(np.float64).smallest_subnormal)


@dataclass(frozen=True)
class Columns:
    """Which columns of a table a job uses, and what becomes of cells that are no numbers."""

    features: tuple[str, ...]
    targets: tuple[str, ...]
    weight: str | None
    missing: str
    categorical: str

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns without which a row cannot be used: its targets and its weight."""
        return self.targets if self.weight is None else (*self.targets, self.weight)


class JobTable:
    """A table, the job's columns of it, and the encoding that was fitted on them.

    Args:
        table: an open canonical file.
        columns: the job's.
        encoding: as fitted on another table (rows to validate on); fitted on this one if None.
        split: which rows are trained on, for what fills gaps is learnt from these alone; all if
            None. Levels are those of all rows: one that only held-out rows have gets the weight 0.

    Attributes:
        n_used: rows that are left when those with missing cells are left out.
        n_dropped: the others.
        weight_unit: what weights are given in units of, a power of 4; 1 but for extreme ones.

    Raises:
        InvalidDataset: names the column, and what to do.
    """

    def __init__(
        self,
        table: Table,
        columns: Columns,
        encoding: Encoding | None = None,
        *,
        split: Split | None = None,
    ) -> None:
        self._table = table
        self.columns = columns
        self._check_present()
        # A row may only be missing where cells may be: a table that was admitted as whole is.
        self._whole = columns.missing == "error"
        self.n_used = table.n_rows if self._whole else self._count_used()
        self.n_dropped = table.n_rows - self.n_used
        if self.n_used == 0:
            raise InvalidDataset("no row is left when those with missing cells are left out")
        self.weight_unit = self._fit_weight_unit()
        trained = split(self.n_used) if split is not None and self._fills else None
        self.encoding = encoding or self._fit(trained)
        self._check_width()

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns of X."""
        return tuple(self.encoding.features)

    def blocks(self, part: Part = None, *, start: int = 0) -> Iterator[Block]:
        """Yield the used rows, in their order, as columns.

        Args:
            part: which of the used rows; None for all.
            start: place of the first row in the file (those before it are left out).
        """
        for batch, rows in self._walk(part, start=start):
            yield self._block(batch, rows)

    def rows(self, part: Part = None) -> tuple[Floats, Floats, Floats | None]:
        """Read X (n, n_features), Y (n, n_targets), omega (n,): all in memory."""
        blocks = list(self.blocks(part))
        X = np.concatenate([np.column_stack(x) for x, _, _ in blocks])
        Y = np.concatenate([np.column_stack(y) for _, y, _ in blocks])
        if self.columns.weight is None:
            return X, Y, None
        return X, Y, np.concatenate([omega for _, _, omega in blocks if omega is not None])

    def numbers(self, used: Sequence[int]) -> list[int]:
        """Find rows in the table by their number among the used ones; both count from 1."""
        places = np.asarray(used, dtype=np.int64) - 1
        found = np.zeros(len(places), dtype=np.int64)
        read = used_before = 0
        for batch, rows in self._walk(None):
            kept = np.arange(batch.n_rows) if rows is None else np.flatnonzero(rows)
            here = (places >= used_before) & (places < used_before + len(kept))
            found[here] = read + kept[places[here] - used_before] + 1
            read, used_before = read + batch.n_rows, used_before + len(kept)
        return found.tolist()

    # Which rows

    def _kept(self, batch: Batch) -> Mask | None:
        """Rows of a batch that are used; None where all are."""
        if self._whole:
            return None
        columns = self.columns
        names = columns.needed
        if columns.missing == "drop":
            names = (*columns.features, *names)
        missing = np.zeros(batch.n_rows, dtype=bool)
        for name in names:
            missing |= self._missing(batch, name)
        return ~missing if missing.any() else None

    def _missing(self, batch: Batch, name: str) -> Mask:
        if self._table.kinds[name] is ColumnType.STRING:
            return batch.texts(name)[0] < 0
        return np.isnan(batch.floats(name))

    def _count_used(self) -> int:
        kept = ((batch, self._kept(batch)) for batch in self._table.batches)
        return sum(b.n_rows if k is None else int(np.count_nonzero(k)) for b, k in kept)

    def _fit_weight_unit(self) -> float:
        """Bring weights whose sum, or whose squares, float64 could not hold to ordinary numbers.

        A weight counts beside the others only, so a power of 4 changes no digit of anything.
        """
        weight = self.columns.weight
        if weight is None:
            return 1.0
        largest = max(float(np.nanmax(b.floats(weight), initial=0.0)) for b in self._table.batches)
        _, exponent = np.frexp(largest)
        if largest == 0 or np.isinf(largest) or abs(exponent) <= ORDINARY_WEIGHT:
            return 1.0
        return float(np.ldexp(1.0, 2 * ((int(exponent) - 1) // 2)))

    def _weights(self, omega: Floats) -> Floats:
        """In their unit; what is too little to be written in it is still an observation."""
        if self.weight_unit == 1:
            return omega
        return np.where(omega > 0, np.maximum(omega / self.weight_unit, LEAST_WEIGHT), omega)

    # How cells become numbers

    def _fit(self, trained: Part) -> Encoding:
        names = self.columns.features
        return Encoding(inputs=[self._fit_input(name, trained) for name in names])

    def _fit_input(self, name: str, trained: Part) -> Input:
        if self._table.kinds[name] is not ColumnType.STRING:
            fill = self._mean(name, trained) if self._fills else None
            boolean = self._table.kinds[name] is ColumnType.BOOL
            return NumericInput(name=name, boolean=boolean, fill=fill)
        counts = self._level_counts(name)
        if not counts:
            raise _empty(name)
        if len(counts) > MAX_LEVELS:
            raise InvalidDataset(
                f"column {name!r} has {len(counts)} levels, at most {MAX_LEVELS} can be encoded:"
                " leave it out",
                param=name,
            )
        levels = sorted(counts)
        if not self._fills:
            return CategoricalInput(name=name, levels=levels, fill=None)
        if trained is not None:
            counts = self._level_counts(name, trained)
        most = max(levels, key=lambda level: counts.get(level, 0))
        return CategoricalInput(name=name, levels=levels, fill=most)

    @property
    def _fills(self) -> bool:
        return self.columns.missing == "mean"

    def _mean(self, name: str, trained: Part) -> float:
        total, count = 0.0, 0
        for batch, rows in self._walk(trained):
            values = batch.floats(name)
            values = values if rows is None else values[rows]
            present = values[~np.isnan(values)]
            total += float(present.sum())
            count += len(present)
        if count == 0:
            raise _empty(name)
        return total / count

    def _level_counts(self, name: str, part: Part = None) -> dict[str, int]:
        counts: dict[str, int] = {}
        for batch, rows in self._walk(part):
            codes, levels = batch.texts(name)
            codes = codes if rows is None else codes[rows]
            for level, n in zip(
                levels, np.bincount(codes[codes >= 0], minlength=len(levels)), strict=True
            ):
                if n:
                    counts[level] = counts.get(level, 0) + int(n)
        return counts

    def _walk(self, part: Part, *, start: int = 0) -> Iterator[tuple[Batch, Mask | None]]:
        """Yield each batch that reaches beyond `start`, and which of its rows are taken."""
        place = used_before = 0
        for batch in self._table.batches:
            place += batch.n_rows
            if place <= start:
                continue
            keep = self._kept(batch)
            first = max(start - (place - batch.n_rows), 0)
            if first:
                keep = np.ones(batch.n_rows, bool) if keep is None else keep
                keep[:first] = False
            n_kept = batch.n_rows if keep is None else int(np.count_nonzero(keep))
            chosen = None if part is None else part[used_before : used_before + n_kept]
            used_before += n_kept
            yield batch, _rows_of(keep, chosen)

    def _block(self, batch: Batch, rows: Mask | None) -> Block:
        def floats(name: str) -> Floats:
            values = batch.floats(name)
            return values if rows is None else values[rows]

        X = [
            column for one in self.encoding.inputs for column in _encoded(batch, one, rows, floats)
        ]
        Y = [floats(name) for name in self.columns.targets]
        weight = self.columns.weight
        return X, Y, None if weight is None else self._weights(floats(weight))

    # Refusals

    def _check_present(self) -> None:
        kinds = self._table.kinds
        for name in (*self.columns.features, *self.columns.needed):
            if name not in kinds:
                raise InvalidDataset(f"there is no column {name!r}", param=name)
        text = [name for name in self.columns.needed if kinds[name] is ColumnType.STRING]
        if text:
            raise InvalidDataset(
                f"column {text[0]!r} holds text: name a column of numbers", param=text[0]
            )

    def _check_width(self) -> None:
        width = len(self.encoding.features)
        if width == 0:
            raise InvalidDataset("every feature is text of one level: there is nothing to train on")
        if width > MAX_COLUMNS:
            raise InvalidDataset(
                f"encoded, there are {width} features; at most {MAX_COLUMNS}: leave out text"
                " columns of many levels"
            )
        if len(set(self.encoding.features)) < width:
            raise InvalidDataset("a level and a column lead to features of the same name")


def _empty(name: str) -> InvalidDataset:
    return InvalidDataset(
        f"column {name!r} is empty in all rows that are trained on: leave it out", param=name
    )


def _rows_of(keep: Mask | None, chosen: Part) -> Mask | None:
    if chosen is None:
        return keep
    if keep is None:
        return chosen
    rows = keep.copy()
    rows[keep] = chosen
    return rows


def _encoded(
    batch: Batch, one: Input, rows: Mask | None, floats: Callable[[str], Floats]
) -> Sequence[Floats]:
    if isinstance(one, NumericInput):
        values = floats(one.name)
        if one.fill is not None and np.isnan(values).any():
            values = np.where(np.isnan(values), one.fill, values)
        return [values]
    codes = _known_codes(batch, one)
    codes = codes if rows is None else codes[rows]
    return [(codes == place).astype(np.float64) for place in range(1, len(one.levels))]


def _known_codes(batch: Batch, one: CategoricalInput) -> NDArray[np.int32]:
    """Codes into the input's levels; what is missing takes the level that fills it."""
    codes, levels = batch.texts(one.name)
    places = {level: i for i, level in enumerate(one.levels)}
    unseen = [level for level in levels if level not in places]
    if unseen:
        raise InvalidDataset(
            f"column {one.name!r} of the validation rows has a level that no training row has:"
            " leave those rows out",
            param=one.name,
        )
    fill = -1 if one.fill is None else places[one.fill]
    known = np.array([*(places[level] for level in levels), fill], dtype=np.int32)
    return known[codes]  # -1, a missing cell, is the last
