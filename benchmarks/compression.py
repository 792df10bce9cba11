"""Time the factor of [1 X Y] against scikit-learn's LinearRegression on the same rows.

python -m benchmarks.compression
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.linear_model import LinearRegression

from workers.training.factor import factor

SHAPES = ((10_000_000, 10), (1_000_000, 100))


def main() -> None:
    for n_samples, n_features in SHAPES:
        X, Y = drawn(n_samples, n_features)
        columns = [np.ascontiguousarray(X[:, j]) for j in range(n_features)]
        sizes = f"n={n_samples:,} d={n_features}:"
        for threads in (1, 2):
            rows = seconds(partial(factor, [(X, Y, None)], threads=threads))
            columnar = seconds(partial(factor, [(columns, Y, None)], threads=threads))
            print(f"{sizes} factor, {threads} threads {rows:.2f} s, of columns {columnar:.2f} s")
        print(f"{sizes} LinearRegression {seconds(partial(LinearRegression().fit, X, Y)):.2f} s")


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
