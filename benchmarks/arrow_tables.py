"""Tables of any size for benchmarks: drawn in memory, or written to a canonical file in parts."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from descend.datasets import ColumnType
from storage.arrow_writer import write_arrow

PART_ROWS = 250_000


def names_of(n_features: int) -> tuple[str, ...]:
    return tuple(f"x{j}" for j in range(n_features))


def drawn(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw X (n, d) and Y = X w + noise (n, 1)."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    Y = X @ np.linspace(-1, 1, d).reshape(d, 1) + rng.standard_normal((n, 1))
    return X, Y


def write_table(path: Path, n: int, d: int) -> None:
    """Write such rows under x0, x1, … and y; never more than a part of them is held."""
    with path.open("wb") as file:
        kinds = dict.fromkeys((*names_of(d), "y"), ColumnType.FLOAT64)
        write_arrow(file, kinds, _parts(n, d))


def _parts(n: int, d: int) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, n, PART_ROWS):
        X, Y = drawn(min(PART_ROWS, n - start), d, seed=start)
        columns = {f"x{j}": np.ascontiguousarray(X[:, j]) for j in range(d)}
        yield {**columns, "y": Y[:, 0]}
