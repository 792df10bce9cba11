"""What of a float64 result is rounding."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["EPS", "rank_tolerance", "row_lengths"]

EPS = float(np.finfo(np.float64).eps)


def row_lengths(S: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the 2-norm of each row, whose squares may leave float64."""
    largest = np.abs(S).max(axis=1, keepdims=True, initial=0.0)
    size = np.where(largest > 0, largest, 1.0)
    return np.asarray(size[:, 0] * np.linalg.norm(S / size, axis=1))


def rank_tolerance(shape: tuple[int, ...]) -> float:
    """Return the part of the first pivot, or singular value, up to which another counts as 0.

    Args:
        shape: of a matrix whose columns have length 1.

    Notes:
        max(64, 4 rows, 4 columns) eps. Columns that depend on each other in exact numbers do so
        only nearly when they are rounded: of shares of a whole, which sum to 1 in each row, up to
        2.5 eps a column are left (measured: 40 to 400 columns), and of a few columns some tens.
    """
    return max(64, *(4 * size for size in shape)) * EPS
