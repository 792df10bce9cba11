"""Chooses which points of a long history to show. No point is ever invented."""

import numpy as np
from numpy.typing import NDArray
from tsdownsample import MinMaxLTTBDownsampler

from descend.history import History

__all__ = ["downsample"]


def downsample(history: History, max_points: int) -> History:
    """Choose at most `max_points` rows that keep the shape of train_loss.

    MinMaxLTTB: of each stretch of epochs the lowest and the highest loss are kept as candidates,
    and of these the largest triangles are chosen. The first and the last row are always kept.

    Args:
        history: n epochs.
        max_points: 2 or more.

    Returns:
        A History of min(n, max_points) of the rows that were given, in order.

    Notes:
        O(n). Losses that are not finite count as the largest finite one while choosing.

    References:
        J. Van Der Donckt et al., "MinMaxLTTB: Leveraging MinMax-Preselection to Scale LTTB",
        2023, section 3.
    """
    n = len(history)
    if n <= max_points:
        return history
    if max_points == 2:
        return history.take(np.array([0, n - 1]))
    chosen = MinMaxLTTBDownsampler().downsample(  # type: ignore[no-untyped-call]
        np.arange(n, dtype=np.float64), _heights(history.train_loss), n_out=max_points
    )
    return history.take(chosen.astype(np.intp))


def _heights(loss: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = np.isfinite(loss)
    if finite.all():
        return np.ascontiguousarray(loss)
    return np.where(finite, loss, loss[finite].max() if finite.any() else 0.0)
