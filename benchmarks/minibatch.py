"""Mini-batches against scikit-learn's SGDRegressor and against nn.Linear with a DataLoader.

    python -m benchmarks.minibatch [--json FILE]

A million rows of 20 float64 columns; one measured pass is one epoch of squared loss at a constant
rate, rows shuffled, no penalty, one thread. SGDRegressor (Cython) steps after every row, whatever
our batch; the DataLoader loop is the one that tutorials show, measured on a part of the rows, for
it is slow. Rounds alternate; a ratio is the median over rounds of the ratio within a round. Batches
of 32 are printed beside: there the launching of operations is all of the cost.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import SGDRegressor
from torch.utils.data import DataLoader, TensorDataset

from descend.jobs import Hyperparameters
from workers import training

ROWS, COLUMNS = 10**6, 20
LOADER_ROWS = 2**17
SIZES = {32: 2**17, 256: ROWS, 4096: ROWS}  # batch size, rows measured
RATE = 1e-3
ROUNDS = 7


class Pass:
    """One of our models, an epoch at a time."""

    def __init__(self, X: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        asked = Hyperparameters(
            batch_size=batch_size, learning_rate=RATE, max_epochs=ROUNDS + 1, tol=0
        )
        problem = training.Problem.of_rows(
            X,
            y[:, np.newaxis],
            None,
            features=tuple(f"x{i}" for i in range(X.shape[1])),
            targets=("y",),
            hyperparameters=asked.resolved(0),
        )
        self.n, self.steps = len(X), -(-len(X) // batch_size)
        self.state = training.start([problem], "cpu", [None])
        self.rate()

    def rate(self) -> float:
        """Train one epoch; return rows a second."""
        begun = time.perf_counter()
        self.state, segments = training.advance(self.state, self.steps)
        seconds = time.perf_counter() - begun
        assert len(segments[0].history) == 1
        return self.n / seconds


def scikit(X: np.ndarray, y: np.ndarray) -> float:
    model = SGDRegressor(
        penalty=None, learning_rate="constant", eta0=RATE, max_iter=1, tol=None, random_state=0
    )
    begun = time.perf_counter()
    model.fit(X, y)
    return len(X) / (time.perf_counter() - begun)


def loader(X: np.ndarray, y: np.ndarray, batch_size: int) -> float:
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(y[:, np.newaxis]))
    model = torch.nn.Linear(X.shape[1], 1, dtype=torch.float64)
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=RATE), torch.nn.MSELoss()
    begun = time.perf_counter()
    for inputs, targets in DataLoader(data, batch_size=batch_size, shuffle=True):
        loss = criterion(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return len(X) / (time.perf_counter() - begun)


def measure() -> dict[str, float]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS))
    y = X @ rng.normal(size=COLUMNS) + rng.normal(size=ROWS)
    ours = {size: Pass(X[:rows], y[:rows], size) for size, rows in SIZES.items()}
    theirs: list[float] = []
    loops: list[float] = []
    rates: dict[int, list[float]] = {size: [] for size in SIZES}
    loader(X[:8192], y[:8192], 4096)
    for _ in range(ROUNDS):
        theirs.append(scikit(X, y))
        for size, passes in ours.items():
            rates[size].append(passes.rate())
        loops.append(loader(X[:LOADER_ROWS], y[:LOADER_ROWS], 4096))
    figures = {"sgd_regressor_rows_per_second": statistics.median(theirs)}
    figures["data_loader_4096_rows_per_second"] = statistics.median(loops)
    for size, told in rates.items():
        figures[f"rows_per_second_{size}"] = statistics.median(told)
        figures[f"us_per_step_{size}"] = 1e6 * size / statistics.median(told)
        figures[f"ratio_sgd_regressor_{size}"] = _ratio(told, theirs)
    figures["ratio_data_loader_4096"] = _ratio(rates[4096], loops)
    return figures


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path, help="where to write the figures")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    figures = measure()
    for name, value in figures.items():
        print(f"  {name:38} {value:14,.2f}")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
