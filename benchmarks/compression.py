"""Time the factor of [1 X Y] and the exact fit, against scikit-learn's LinearRegression.

    python -m benchmarks.compression
"""

import time
from collections.abc import Callable

import numpy as np

from workers.training.factor import factor

SHAPES = ((10_000_000, 10), (1_000_000, 100))


def main() -> None:
    for n_samples, n_features in SHAPES:
        X, Y = drawn(n_samples, n_features)
        columns = [np.ascontiguousarray(X[:, j]) for j in range(n_features)]
        for threads in (1, 2):
            rows = seconds(lambda: factor([(X, Y, None)], threads=threads))
            columnar = seconds(lambda: factor([(columns, Y, None)], threads=threads))
            print(f"n={n_samples:.0e} d={n_features} threads={threads}:"
                  f" rows {rows:.2f} s, columns {columnar:.2f} s", flush=True)


def drawn(n_samples: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, n_features))
    Y = X @ rng.standard_normal((n_features, 1)) + rng.standard_normal((n_samples, 1))
    return X, Y


def seconds(run: Callable[[], object], times: int = 3) -> float:
    """Return the least of some timings."""
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        spent.append(time.perf_counter() - started)
    return min(spent)


if __name__ == "__main__":
    main()
