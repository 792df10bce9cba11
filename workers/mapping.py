"""Rows for mini-batches: in memory where they are few, else in a scratch file that has no name.

Batches are drawn row by row, and a canonical file has its cells column by column; so the encoded
rows are written once, row after row. The file is unlinked as soon as it is open: it is gone with
the process that maps it, whatever ends that.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from descend.errors import InvalidInput, StorageFull
from workers import training
from workers.tables import JobTable, Part

__all__ = ["map_rows"]

Floats = NDArray[np.float64]

IN_MEMORY_BYTES = 2**28
CHUNK_ROWS = 2**16


def map_rows(table: JobTable, part: Part, *, n: int, scratch: Path | None) -> training.Mapped:
    """Write a part of a table's rows, encoded, to where mini-batches are drawn from.

    Args:
        table: the job's.
        part: which of the used rows; None for all.
        n: how many they are.
        scratch: a folder for the file; the rows stay in memory if None.

    Raises:
        InvalidInput: names the column that holds a number that is not finite.
        StorageFull: when there is no room for the file.
    """
    widths = (len(table.features), len(table.columns.targets))
    weighted = table.columns.weight is not None
    shape = (n, sum(widths) + weighted)
    rows = _array(shape, scratch)
    names = (*table.features, *table.columns.targets, *([table.columns.weight] if weighted else []))
    begin = 0
    for X, Y, omega in table.blocks(part):
        columns = [*X, *Y, *([] if omega is None else [omega])]
        end = begin + len(columns[0])
        for place, column in enumerate(columns):
            if not np.isfinite(column).all():
                raise InvalidInput(
                    f"column {names[place]!r} holds a number that is not finite", param=names[place]
                )
            rows[begin:end, place] = column
        begin = end
    d, t = widths
    if weighted:
        _quieten(rows)
    return training.Mapped(rows[:, :d], rows[:, d : d + t], rows[:, d + t] if weighted else None)


def _quieten(rows: Floats) -> None:
    """Give rows of weight 0 the values of the first that has one (see Rows.observed)."""
    weights = rows[:, -1]
    first = int((weights > 0).argmax())
    for begin in range(0, len(rows), CHUNK_ROWS):
        part = rows[begin : begin + CHUNK_ROWS]
        part[part[:, -1] == 0, :-1] = rows[first, :-1]


def _array(shape: tuple[int, int], scratch: Path | None) -> Floats:
    if scratch is None or 8 * shape[0] * shape[1] <= IN_MEMORY_BYTES:
        return np.empty(shape)
    try:
        with tempfile.TemporaryFile(dir=scratch) as file:
            # Room now, or an error now: a page that finds none later is a SIGBUS.
            os.posix_fallocate(file.fileno(), 0, 8 * shape[0] * shape[1])
            return np.memmap(file, np.float64, "r+", shape=shape)
    except OSError as error:
        raise StorageFull from error
