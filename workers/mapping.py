"""Rows for mini-batches: in memory where they are few, else in a scratch file that has no name.

Batches are drawn row by row, and a canonical file has its cells column by column; so the encoded
rows are written once, row after row. The file is unlinked as soon as it is open: it is gone with
the process that maps it, whatever ends that.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from descend.errors import InvalidInput, StorageFull
from workers import training
from workers.tables import JobTable, Part

__all__ = ["map_rows"]

Floats = NDArray[np.float64]

# Below so much a file would cost more than it saves; above it rows are the page cache's, not ours.
IN_MEMORY_BYTES = 2**24
# Rows are turned a piece at a time, which stays in the cache while its columns arrive.
PIECE_ELEMENTS = 2**15
CHUNK_ROWS = 2**16


def map_rows(
    table: JobTable,
    part: Part,
    *,
    n: int,
    scratch: Path | None,
    beside: training.Accumulator | None = None,
) -> training.Mapped:
    """Write a part of a table's rows, encoded, to where mini-batches are drawn from.

    Args:
        table: the job's.
        part: which of the used rows; None for all.
        n: how many they are.
        scratch: a folder for the file; the rows stay in memory if None.
        beside: takes the rows on their way.

    Raises:
        InvalidInput: names the column that holds a number that is not finite.
        StorageFull: when there is no room for the file.
    """
    weighted = table.columns.weight is not None
    widths = (len(table.features), len(table.columns.targets))
    X, Y, omega = _arrays(n, widths, weighted=weighted, scratch=scratch)
    names = (*table.features, *table.columns.targets, *([table.columns.weight] if weighted else []))
    begin = 0
    for columns_X, columns_Y, weights in table.blocks(part):
        end = begin + len(columns_Y[0])
        _turn(columns_X, X[begin:end], names)
        _turn(columns_Y, Y[begin:end], names[X.shape[1] :])
        if beside is not None:
            beside.add(columns_X, columns_Y, weights)
        if omega is not None and weights is not None:
            _turn([weights], omega[begin:end, np.newaxis], names[-1:])
        begin = end
    if omega is not None:
        _quieten(X, Y, omega)
    return training.Mapped(X, Y, omega)


def _turn(columns: Sequence[Floats], rows: Floats, names: Sequence[str | None]) -> None:
    """Write columns as rows, and see that all are finite."""
    step = max(1, PIECE_ELEMENTS // rows.shape[1])
    for begin in range(0, len(rows), step):
        part = rows[begin : begin + step]
        for place, column in enumerate(columns):
            part[:, place] = column[begin : begin + step]
        finite = np.isfinite(part)
        if not finite.all():
            name = names[int(np.argmin(finite.all(axis=0)))]
            raise InvalidInput(f"column {name!r} holds a number that is not finite", param=name)


def _quieten(X: Floats, Y: Floats, omega: Floats) -> None:
    """Give rows of weight 0 the values of the first that has one (see Rows.observed)."""
    first = int((omega > 0).argmax())
    for begin in range(0, len(omega), CHUNK_ROWS):
        idle = begin + np.flatnonzero(omega[begin : begin + CHUNK_ROWS] == 0)
        X[idle], Y[idle] = X[first], Y[first]


def _arrays(
    n: int, widths: Sequence[int], *, weighted: bool, scratch: Path | None
) -> tuple[Floats, Floats, Floats | None]:
    """Make X, Y and omega, one behind the other, each without gaps.

    A batch is taken from each of them; numpy copies all of an array with gaps before it takes.
    """
    cells = _cells(n * (sum(widths) + weighted), scratch)
    X, Y, omega = np.split(cells, np.cumsum(np.multiply(n, widths)))
    return X.reshape(n, -1), Y.reshape(n, -1), omega if weighted else None


def _cells(count: int, scratch: Path | None) -> Floats:
    if scratch is None or 8 * count <= IN_MEMORY_BYTES:
        return np.empty(count)
    try:
        with tempfile.TemporaryFile(dir=scratch) as file:
            # Room now, or an error now: a page that finds none later is a SIGBUS.
            os.posix_fallocate(file.fileno(), 0, 8 * count)
            return np.memmap(file, np.float64, "r+", shape=(count,))
    except OSError as error:
        raise StorageFull(
            f"mini-batches are drawn from the table's rows, which take {8 * count:,} bytes on the"
            f" worker's disk, and {_free_bytes(scratch)} are free there: make room and send the job"
            " again, or train without batch_size, which needs none",
            param="hyperparameters.batch_size",
        ) from error


def _free_bytes(folder: Path) -> str:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return "0"
    return f"{disk.f_bavail * disk.f_frsize:,}"
