"""Exact order statistics of more numbers than fit in memory, in a few passes over them (numpy)."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from workers.training.problem import Floats

__all__ = ["KEPT", "order_statistics"]

# Numbers held in memory at once: 40 MB of them.
KEPT = 5_000_000
DIGIT_BITS = 16
SIGN = np.uint64(1 << 63)

Keys = NDArray[np.uint64]


def order_statistics(
    blocks: Callable[[], Iterable[Floats]], ranks: Iterable[int], *, kept: int = KEPT
) -> Floats:
    """Select the numbers of these ranks.

    Args:
        blocks: called for each pass; gives all numbers, cut into blocks, finite, shape (n,) each.
        ranks: from 0, each below the number of numbers.
        kept: how many numbers may be held at once.

    Returns:
        The numbers, in the order of the ranks.

    Notes:
        A radix selection on the bits of float64, 16 at a time: a pass counts the numbers whose
        leading bits are those of a wanted one, until those that share them fit in memory. Four
        passes at most, and one to collect. Of many equal numbers the 64 bits are the number.
    """
    wanted = np.asarray(list(ranks), dtype=np.int64)
    prefixes = np.zeros(len(wanted), dtype=np.uint64)  # leading bits, as found so far
    below = np.zeros(len(wanted), dtype=np.int64)  # how many numbers are less than all such
    for level in range(4):
        found, sizes = _counts(blocks, prefixes, level)
        held = int(sizes.sum())
        if held <= kept:
            return _collected(blocks, wanted - below, prefixes, level)
        places = np.searchsorted(found, prefixes)
        counts = _digits(blocks, found, level)
        ends = counts.cumsum(axis=1)
        for i, place in enumerate(places):
            digit = int(np.searchsorted(ends[place], wanted[i] - below[i], side="right"))
            below[i] += ends[place, digit] - counts[place, digit]
            prefixes[i] = (prefixes[i] << np.uint64(DIGIT_BITS)) | np.uint64(digit)
    return _numbers(prefixes)


def _counts(
    blocks: Callable[[], Iterable[Floats]], prefixes: Keys, level: int
) -> tuple[Keys, NDArray[np.int64]]:
    """Count the numbers that begin with each of the prefixes."""
    found = np.unique(prefixes)
    sizes = np.zeros(len(found), dtype=np.int64)
    for block in blocks():
        places = _places(_keys(block), found, level)
        sizes += np.bincount(places[places >= 0], minlength=len(found))
    return found, sizes


def _digits(blocks: Callable[[], Iterable[Floats]], found: Keys, level: int) -> NDArray[np.int64]:
    """Count the next 16 bits of the numbers that begin with each of the prefixes."""
    counts = np.zeros((len(found), 1 << DIGIT_BITS), dtype=np.int64)
    shift = np.uint64(64 - DIGIT_BITS * (level + 1))
    for block in blocks():
        keys = _keys(block)
        places = _places(keys, found, level)
        inside = places >= 0
        digits = ((keys[inside] >> shift) & np.uint64((1 << DIGIT_BITS) - 1)).astype(np.int64)
        flat = places[inside] * (1 << DIGIT_BITS) + digits
        counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)
    return counts


def _collected(
    blocks: Callable[[], Iterable[Floats]], ranks: NDArray[np.int64], prefixes: Keys, level: int
) -> Floats:
    found = np.unique(prefixes)
    parts = []
    for block in blocks():
        keys = _keys(block)
        parts.append(keys[_places(keys, found, level) >= 0])
    keys = np.sort(np.concatenate(parts))
    leading = keys >> np.uint64(64 - DIGIT_BITS * level) if level else np.zeros_like(keys)
    starts = np.searchsorted(leading, prefixes, side="left")
    return _numbers(keys[starts + ranks])


def _places(keys: Keys, found: Keys, level: int) -> NDArray[np.int64]:
    """Find the prefix of each key among `found`; -1 where it is another."""
    if level == 0:
        return np.zeros(len(keys), dtype=np.int64)
    leading = keys >> np.uint64(64 - DIGIT_BITS * level)
    places = np.minimum(np.searchsorted(found, leading), len(found) - 1)
    return np.where(found[places] == leading, places, -1)


def _keys(values: Floats) -> Keys:
    """Map float64 to integers of the same order; -0 counts as 0."""
    bits = np.ascontiguousarray(values + 0.0).view(np.uint64)
    return np.where(bits & SIGN, ~bits, bits | SIGN)


def _numbers(keys: Keys) -> Floats:
    bits = np.where(keys & SIGN, keys & ~SIGN, ~keys)
    return np.asarray(bits).view(np.float64)
