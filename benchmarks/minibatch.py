"""Mini-batches through the product, from an uploaded file to a stored result.

    python -m benchmarks.minibatch [--part speed|growth|loader] [--batch 32 256 4096] [--rounds N]
                                   [--json FILE]

speed   10 epochs on a million rows of 20 float64 columns, uploaded as npz and as Parquet: squared
        loss, rows shuffled, a constant rate, `tol: 0`. The clock runs from the job's submission to
        its stored result; the upload is apart. Beside it, in turns in the same run: the same code
        in this process on arrays in memory ("in process": from the arrays to the outcome, and the
        epochs alone), and scikit-learn's SGDRegressor (Cython; it steps after every row).
growth  The same job at 1e5 to 3.2e6 rows: seconds a row, and the most anonymous memory (RssAnon)
        of the worker and its runner at any moment.
loader  nn.Linear with a DataLoader, the loop that tutorials show, against the engine in process.

A ratio is the median over rounds of the ratio within a round. One thread each.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import torch
from sklearn.linear_model import SGDRegressor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.arrow_tables import drawn, names_of
from benchmarks.http import process
from benchmarks.peaks import Peak
from descend.client import Client
from descend.jobs import Hyperparameters, JobSpec, JobState
from workers import training

ROWS, COLUMNS, EPOCHS = 10**6, 20, 10
GROWTH = (10**5, 4 * 10**5, 8 * 10**5, 16 * 10**5, 32 * 10**5)
GROWTH_BATCHES = (256, 4096)
LOADER_ROWS = 2**17
RATE = 1e-3
ROUNDS = {32: 2, 256: 3, 4096: 7}
MIB = 2**20


def asked(batch_size: int) -> dict[str, object]:
    return {
        "batch_size": batch_size,
        "learning_rate": RATE,
        "max_epochs": EPOCHS,
        "tol": 0,
        "seed": 0,
    }


def anonymous(stack: int) -> int:
    """Read the anonymous memory of the worker and its runner, in bytes.

    The fork server between the two is not counted: the runner has its pages, and counts them.
    """
    pids = []
    for child in psutil.Process(stack).children(recursive=True):
        try:
            named = child.cmdline()
        except psutil.Error:
            continue
        if "workers" in named:
            below = child.children(recursive=True)
            pids += [child.pid, *(one.pid for one in below if not one.children())]
    return sum(map(_anonymous, pids))


def _anonymous(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


@contextmanager
def stack() -> Iterator[tuple[Client, int]]:
    with tempfile.TemporaryDirectory() as data:
        command = (sys.executable, "-m", "descend.cli", "up", "--port", "0", "--data", data)
        with process(*command) as child:
            assert child.stdout is not None
            url = next(line.split()[-1] for line in child.stdout if "ready at" in line)
            yield Client(url), child.pid


def uploaded(client: Client, X: np.ndarray, y: np.ndarray, form: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table.{form}"
        if form == "npz":
            np.savez(path, X=X, y=y)
        else:
            columns = {name: X[:, j] for j, name in enumerate(names_of(X.shape[1]))}
            pl.DataFrame({**columns, "y": y}).write_parquet(path)
        return client.upload(path).id


def over_http(client: Client, dataset: str, batch_size: int) -> float:
    """Seconds from a job's submission to its stored result."""
    spec = JobSpec.model_validate(
        {"dataset": dataset, "target": "y", "hyperparameters": asked(batch_size)}
    )
    begun = time.perf_counter()
    job = client.submit(spec, wait_seconds=60).wait().job
    seconds = time.perf_counter() - begun
    assert job.state is JobState.SUCCEEDED, job.error
    return seconds


def in_process(X: np.ndarray, y: np.ndarray, batch_size: int) -> tuple[float, float]:
    """Seconds from arrays to outcome, and of the epochs alone."""
    begun = time.perf_counter()
    problem = training.Problem.of_rows(
        X, y[:, np.newaxis], None,
        features=names_of(X.shape[1]), targets=("y",),
        hyperparameters=Hyperparameters.model_validate(asked(batch_size)).resolved(0),
    )  # fmt: skip
    state = training.start([problem], "cpu", [None])
    started = time.perf_counter()
    state, segments = training.advance(state, EPOCHS * -(-len(X) // batch_size))
    epochs = time.perf_counter() - started
    training.outcome(state, 0)
    assert len(segments[0].history) == EPOCHS
    return time.perf_counter() - begun, epochs


def scikit(X: np.ndarray, y: np.ndarray) -> float:
    model = SGDRegressor(
        penalty=None, learning_rate="constant", eta0=RATE, max_iter=EPOCHS, tol=None, random_state=0
    )
    begun = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - begun


def speed(batches: list[int], rounds: int | None) -> dict[str, float]:
    X, Y = drawn(ROWS, COLUMNS)
    y, figures = Y[:, 0], {}
    with stack() as (client, _):
        tables = {form: uploaded(client, X, y, form) for form in ("npz", "parquet")}
        for size in batches:
            acts: dict[str, Callable[[int], float]] = {
                f"http_{form}": lambda size, table=table: over_http(client, table, size)
                for form, table in tables.items()
            }
            times = [_round(X, y, size, acts) for _ in range(rounds or ROUNDS[size])]
            figures |= _told(size, times)
    return figures


def _round(
    X: np.ndarray, y: np.ndarray, size: int, acts: dict[str, Callable[[int], float]]
) -> dict[str, float]:
    found = {name: act(size) for name, act in acts.items()}
    found["in_process"], found["epochs_alone"] = in_process(X, y, size)
    return {**found, "sgd_regressor": scikit(X, y)}


def _told(size: int, rounds: list[dict[str, float]]) -> dict[str, float]:
    figures = {}
    for name in rounds[0]:
        seconds = statistics.median(one[name] for one in rounds)
        ratio = statistics.median(one["sgd_regressor"] / one[name] for one in rounds)
        figures[f"{name}_{size}_rows_per_second"] = ROWS * EPOCHS / seconds
        if name != "sgd_regressor":
            figures[f"{name}_{size}_ratio_sgd_regressor"] = ratio
        print(f"  batch {size:5} {name:14} {seconds:8.3f} s {ratio:7.3f} x SGDRegressor")
    for form in ("npz", "parquet"):
        for beside in ("in_process", "epochs_alone"):
            part = statistics.median(one[beside] / one[f"http_{form}"] for one in rounds)
            figures[f"http_{form}_{size}_part_of_{beside}"] = part
            print(f"  batch {size:5} {form} over HTTP is {part:.3f} of {beside}", flush=True)
    return figures


def growth(rounds: int | None) -> dict[str, float]:
    """Seconds a row and epoch, and memory, as the table grows."""
    figures = {}
    with stack() as (client, pid):
        for n in GROWTH:
            X, Y = drawn(n, COLUMNS)
            tables = [uploaded(client, X, Y[:, 0], form) for form in ("npz", "parquet")]
            del X, Y
            for size in GROWTH_BATCHES:
                with Peak(partial(anonymous, pid)) as memory:
                    runs = [over_http(client, t, size) for t in tables * (rounds or 1)]
                each = 1e9 * statistics.median(runs) / (n * EPOCHS)
                figures[f"ns_per_row_{size}_at_{n}"] = each
                figures[f"rss_anon_mib_{size}_at_{n}"] = memory.highest / MIB
                print(
                    f"  {n:8} rows, batch {size:5}: {each:8.1f} ns a row and epoch,"
                    f" RssAnon {memory.highest / MIB:6.0f} MiB",
                    flush=True,
                )
    for size in GROWTH_BATCHES:
        costs = [figures[f"ns_per_row_{size}_at_{n}"] for n in GROWTH]
        figures[f"worst_growth_{size}"] = max(costs) / min(costs)
        print(f"  batch {size:5}: a row costs at most {max(costs) / min(costs):.2f} x the least")
    return figures


def loader(rounds: int | None) -> dict[str, float]:
    X, Y = drawn(ROWS, COLUMNS)
    told = []
    _loop(X[:8192], Y[:8192])
    for _ in range(rounds or 5):
        ours = ROWS * EPOCHS / in_process(X, Y[:, 0], 4096)[1]
        told.append((ours, LOADER_ROWS / _loop(X[:LOADER_ROWS], Y[:LOADER_ROWS])))
    ratio = statistics.median(ours / theirs for ours, theirs in told)
    print(f"  batch  4096 in process is {ratio:.1f} x nn.Linear with a DataLoader", flush=True)
    return {
        "data_loader_4096_rows_per_second": statistics.median(theirs for _, theirs in told),
        "ratio_data_loader_4096": ratio,
    }


def _loop(X: np.ndarray, Y: np.ndarray) -> float:
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    model = torch.nn.Linear(X.shape[1], 1, dtype=torch.float64)
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=RATE), torch.nn.MSELoss()
    begun = time.perf_counter()
    for inputs, targets in DataLoader(data, batch_size=4096, shuffle=True):
        loss = criterion(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - begun


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--part", nargs="+", default=["speed", "growth", "loader"])
    options.add_argument("--batch", nargs="+", type=int, default=list(ROUNDS))
    options.add_argument("--rounds", type=int)
    options.add_argument("--json", type=Path, help="where to write the figures, beside those there")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    figures = {}
    if "speed" in chosen.part:
        figures |= speed(chosen.batch, chosen.rounds)
    if "growth" in chosen.part:
        figures |= growth(chosen.rounds)
    if "loader" in chosen.part:
        figures |= loader(chosen.rounds)
    if chosen.json:
        known = json.loads(chosen.json.read_text()) if chosen.json.exists() else {}
        chosen.json.write_text(json.dumps(known | figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
