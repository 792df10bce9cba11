"""The order of the rows in an epoch: a function of seed and epoch, so that a resume is exact.

Two levels: the table's blocks of 256 rows are drawn by lot, 256 of them make a chunk, and the rows
of a chunk come in an order of its own. So memory and disk are read a chunk at a time, in pieces
that lie together, each once an epoch; and a batch has rows of 256 places of the table, however that
is sorted. A table of up to one chunk is shuffled as a whole.

References:
    L. Xu et al., In-Database Machine Learning with CorgiPile: Stochastic Gradient Descent without
    Full Data Shuffle, SIGMOD 2022: blocks drawn, then the rows of some blocks shuffled together.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from workers.training.progress import Ints

__all__ = ["BLOCK", "CHUNK", "Order"]

# Larger chunks are gathered from memory, not from the cache: 2^18 rows of 20 took a fifth longer.
CHUNK = 2**16
BLOCK = 2**8


@dataclass(frozen=True)
class Order:
    """The order of n rows in one epoch; without `shuffle` that of the file."""

    n: int
    seed: int
    epoch: int
    shuffle: bool

    def rows(self, begin: int, end: int) -> Ints:
        """Return the numbers of the rows at these places, int64, in their order."""
        if not self.shuffle:
            return np.arange(begin, end)
        _, begins = _blocks(self.n, self.seed, self.epoch)
        found = []
        for chunk in range(int(np.searchsorted(begins, begin, "right")) - 1, len(begins)):
            start = int(begins[chunk])
            if start >= end:
                break
            within = _within(self.n, self.seed, self.epoch, chunk)
            found.append(within[max(begin - start, 0) : end - start])
        return found[0] if len(found) == 1 else np.concatenate(found)


@lru_cache(maxsize=2)
def _blocks(n: int, seed: int, epoch: int) -> tuple[Ints, Ints]:
    """The blocks as they are drawn, and the place at which each chunk of them begins."""
    blocks = _permutation(-(-n // BLOCK), seed, epoch, stream=0)
    lengths = np.minimum(n - blocks * BLOCK, BLOCK)
    return blocks, (np.cumsum(lengths) - lengths)[:: CHUNK // BLOCK]


@lru_cache(maxsize=2)
def _within(n: int, seed: int, epoch: int, chunk: int) -> Ints:
    """The rows of a chunk as they come: half a MiB, under 1 ms."""
    size = CHUNK // BLOCK
    blocks = np.sort(_blocks(n, seed, epoch)[0][chunk * size : (chunk + 1) * size])
    rows = (blocks[:, np.newaxis] * BLOCK + np.arange(BLOCK)).reshape(-1)
    rows = rows[: np.searchsorted(rows, n)]
    return np.asarray(rows[_permutation(len(rows), seed, epoch, stream=1 + chunk)])


def _permutation(n: int, seed: int, epoch: int, *, stream: int) -> Ints:
    """Sort 0 .. n - 1 by raw 32-bit halves of a Philox generator's words, ties by number.

    The words are fixed by the algorithm, so the order is the same on every machine and numpy
    version. Keys: (seed, epoch + 1), for (seed, 0) draws the held-out rows. A half and its number
    are sorted as one integer: 0.5 ms for a chunk, where sorting the numbers by the halves took 1.
    """
    generator = np.random.Philox(
        key=np.array([seed, epoch + 1], dtype=np.uint64),
        counter=np.array([0, stream, 0, 0], dtype=np.uint64),
    )
    words = generator.random_raw(-(-n // 2))
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    keys = np.concatenate([words << half, words & ~low])[:n]
    keys |= np.arange(n, dtype=np.uint64)
    keys.sort()
    return np.asarray((keys & low).astype(np.int64))
