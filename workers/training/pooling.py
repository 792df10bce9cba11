"""Many rows, few that decide: most of a pinball's rows are pooled before the interior point."""

import numpy as np
from numpy.typing import NDArray

from workers.training.interior_point import Pieces, approach
from workers.training.problem import Floats

__all__ = ["near_minimum", "pooled"]

Mask = NDArray[np.bool_]

# Up to so many rows nothing is won.
FEW_ROWS = 10_000
# Of the rows kept, as a part of those sampled.
KEPT = 0.8
MOST_ROUNDS = 8
SAMPLE_KEY = 1997


def near_minimum(pieces: Pieces) -> Floats:
    """Find a point near the minimum of a sum of pinballs (kappa = 0).

    A sample of sqrt(columns) n^(2/3) rows says where the residuals' kinks are about; rows well to
    one side of theirs count as one row of that side; what turns out to be on the other side is
    taken in and the rest solved again.

    Returns:
        z, as near as `approach` comes.

    References:
        S. Portnoy, R. Koenker, The Gaussian Hare and the Laplacian Tortoise, Statistical Science
        12 (1997), section 5.
    """
    n, columns = pieces.A.shape
    nothing = np.zeros(columns)
    count = round(columns**0.5 * n ** (2 / 3))
    if n <= max(FEW_ROWS, 2 * count):
        return approach(pieces, nothing).z
    words = np.random.Philox(key=SAMPLE_KEY).random_raw(n)
    z = approach(pieces.take(np.argpartition(words, count)[:count]), nothing).z
    u = pieces.y - pieces.A @ z
    reach = np.sqrt(np.einsum("ij,ij->i", pieces.A, pieces.A)) + 1 / n
    kept = np.zeros(n, dtype=bool)
    for _ in range(MOST_ROUNDS):
        kept[np.argpartition(np.abs(u) / reach, round(KEPT * count))[: round(KEPT * count)]] = True
        side = np.where(u > 0, pieces.high, pieces.low)
        z = approach(pooled(pieces, kept, side), z).z
        u = pieces.y - pieces.A @ z
        wrong = ~kept & (u * side < 0)
        if not wrong.any():
            return z
        kept |= wrong
        count = min(2 * count, n - 1)
    return approach(pieces, z).z


def pooled(pieces: Pieces, kept: Mask, side: Floats) -> Pieces:
    """Put one row in the place of those not kept: sum side_i (y_i, a_i), of slope 1."""
    few = pieces.take(kept)
    slopes = side[~kept]
    return Pieces(
        np.concatenate([few.A, (slopes @ pieces.A[~kept])[np.newaxis]]),
        np.append(few.y, slopes @ pieces.y[~kept]),
        np.append(few.low, -1.0),
        np.append(few.high, 1.0),
        np.zeros(len(few.y) + 1),
    )
