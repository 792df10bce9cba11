"""Triangular factors by Householder reflections, and their reduction in a fixed tree (numpy)."""

import ctypes
from dataclasses import dataclass, field

import numpy as np
from scipy import LowLevelCallable
from scipy.linalg import cython_lapack

from workers.training.problem import Floats

__all__ = ["Tree", "panel", "stacked", "tile_rows", "triangle"]

# Factors stacked before they are reduced to one.
FAN_IN = 32
# Columns of one reflector block. Measured, 1e7 x 12: 4 in 0.23 s, 12 in 0.30 s, dgeqrf in 0.29 s;
# 1e6 x 102: 16 in 0.80 to 0.86 s, 4 in 1.04 s, dgeqrf in 1.29 s, with two BLAS threads in 3.1 s.
PANELS = ((32, 4), (64, 8), (256, 16))
WIDEST_PANEL = 32
# A tile that fills the L2 cache (1 MiB) is twice as slow as one that leaves room.
TILE_NUMBERS = 1 << 17
MOST_ROWS = 32768


def _routine() -> "ctypes._FuncPointer":
    # The f2py wrapper holds the interpreter lock: two threads would gain nothing. This is the same
    # dgeqrt, by scipy's documented door for compiled callers.
    capsule = LowLevelCallable.from_cython(cython_lapack, "dgeqrt").function
    name, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 9)(pointer(capsule, name(capsule)))


_dgeqrt = _routine()


def tile_rows(columns: int) -> int:
    """Rows to factor at once: as many as stay in the cache, at least four times the columns."""
    fitting = 1 << (TILE_NUMBERS // columns).bit_length() - 1 if columns < TILE_NUMBERS else 1
    return max(min(MOST_ROWS, fitting), 4 * columns)


def panel(columns: int) -> int:
    return next((size for widest, size in PANELS if columns <= widest), WIDEST_PANEL)


def triangle(tile: Floats, rows: int) -> Floats:
    """Compute the R factor of the first rows of a tile; the tile is overwritten.

    Args:
        tile: the transpose of the rows, shape (columns, at least `rows`), C-contiguous.
        rows: how many of its rows count, >= 1.

    Returns:
        R, shape (columns, columns), upper triangular, below the first `rows` rows zero; the
        diagonal is >= 0, so that equal rows give equal factors.

    Notes:
        LAPACK dgeqrt, 2 rows columns^2 operations, without the interpreter lock.
    """
    columns, room = tile.shape
    short = min(rows, columns)
    block = min(panel(columns), short)
    T, work = np.empty((short, block)), np.empty((columns, block))
    sizes = np.array([rows, columns, block, room, block, 0], dtype=np.int32)
    at = sizes.ctypes.data
    _dgeqrt(
        at, at + 4, at + 8, tile.ctypes.data, at + 12, T.ctypes.data, at + 16, work.ctypes.data,
        at + 20,
    )  # fmt: skip
    R = np.zeros((columns, columns))
    R[:short] = np.triu(tile[:, :short].T)
    R[np.diagonal(R) < 0] *= -1
    return R


def stacked(factors: list[Floats]) -> Floats:
    """Compute the R factor of factors under one another: that of all their rows together."""
    if len(factors) == 1:
        return factors[0]
    columns = factors[0].shape[1]
    tile = np.empty((columns, sum(len(R) for R in factors)))
    np.concatenate(factors, out=tile.T)
    return triangle(tile, tile.shape[1])


@dataclass(eq=False)
class Tree:
    """Reduces factors in the order of their rows, FAN_IN at a time.

    The shape of the tree depends on the number of factors alone: not on threads, not on when they
    came. Rounding grows with its depth (3 for 1e8 rows), not with the number of rows.
    """

    levels: list[list[Floats]] = field(default_factory=list)

    def push(self, R: Floats) -> None:
        for level in self.levels:
            level.append(R)
            if len(level) < FAN_IN:
                return
            R = stacked(level)
            level.clear()
        self.levels.append([R])

    def scale(self, ratio: Floats) -> None:
        """Multiply the columns of every factor."""
        for level in self.levels:
            for R in level:
                np.multiply(R, ratio, out=R)

    def root(self) -> Floats:
        """Reduce what is there to one factor; more may be pushed afterwards."""
        waiting: list[Floats] = []
        for level in self.levels:
            waiting = [stacked([*level, *waiting])] if level or waiting else []
        return waiting[0]
