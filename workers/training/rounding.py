"""What of a float64 result is rounding."""

import numpy as np

__all__ = ["EPS", "rank_tolerance"]

EPS = float(np.finfo(np.float64).eps)


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
