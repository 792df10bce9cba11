"""Chooses which points of a long history to show. No point is ever invented."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from tsdownsample import MinMaxLTTBDownsampler

from descend.history import History

__all__ = ["downsample", "downsample_pieces", "places"]

# Candidates for each point that is shown, as in the paper.
CANDIDATES = 4


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
    if len(history) <= max_points:
        return history
    return history.take(places(history.train_loss, max_points))


def places(loss: NDArray[np.float64], max_points: int) -> NDArray[np.intp]:
    """Choose the places of at most `max_points` losses, as `downsample` does."""
    n = len(loss)
    if n <= max_points:
        return np.arange(n)
    if max_points == 2:
        return np.array([0, n - 1])
    chosen = MinMaxLTTBDownsampler().downsample(  # type: ignore[no-untyped-call]
        np.arange(n, dtype=np.float64), _heights(loss), n_out=max_points
    )
    return np.asarray(chosen.astype(np.intp))


def downsample_pieces(pieces: Iterable[History], n: int, *, max_points: int) -> History:
    """Choose at most `max_points` rows of a history that is too long to hold at once.

    Of each piece its share of four candidates a point is kept, and of those the points are chosen:
    the two steps of MinMaxLTTB, with LTTB in place of MinMax for the first.

    Args:
        pieces: consecutive parts of the history, each of three rows or more but for the last.
        n: rows of all pieces together.
        max_points: 2 or more.

    Returns:
        A History of at most max_points of the rows, the first and the last among them.
    """
    share = CANDIDATES * max_points / max(n, 1)
    kept = [downsample(piece, max(3, round(share * len(piece)))) for piece in pieces]
    return downsample(_joined(kept), max_points)


def _joined(pieces: list[History]) -> History:
    if not pieces:
        return History.empty()
    return History(
        epoch=np.concatenate([piece.epoch for piece in pieces]),
        train_loss=np.concatenate([piece.train_loss for piece in pieces]),
        eval_loss=np.concatenate([piece.eval_loss for piece in pieces]),
        learning_rate=np.concatenate([piece.learning_rate for piece in pieces]),
        grad_norm=np.concatenate([piece.grad_norm for piece in pieces]),
        gap=np.concatenate([piece.gap for piece in pieces]),
        total=pieces[0].total,
    )


def _heights(loss: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = np.isfinite(loss)
    if finite.all():
        return np.ascontiguousarray(loss)
    return np.where(finite, loss, loss[finite].max() if finite.any() else 0.0)
