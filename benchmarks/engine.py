"""The engine against the notebook's script: one job, and a thousand in one batch.

    python -m benchmarks.engine [--json FILE]

Both train the notebook's problem for 1,000 epochs on one thread: in float32, which is the
notebook's own dtype, and in float64. One job is timed as the service trains it, which replays what
autograd did and holds it to a backward pass in every block of epochs, and with a backward pass in
each epoch. Each round times the script's loop, the jobs and the batch one after the other; a ratio
is the median over rounds of the ratio within a round, so that a machine's other work, which slows
all of them, falls out. A job's time is that of training with its whole history; with preparation
and results (reading weights, losses after the last step) it is printed besides.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import plain
from descend.jobs import Hyperparameters
from workers import training

ROUNDS = 21
JOBS = 1000


def notebook(dtype: str) -> training.Problem:
    asked = Hyperparameters(
        learning_rate=0.01,
        max_epochs=plain.EPOCHS,
        standardize=False,
        init="torch",
        tol=0,
        dtype=dtype,
    )
    X = np.array([[1.0], [2.0], [3.0]])
    return training.Problem.of_rows(
        X, 2 * X, None, features=("x",), targets=("y",), hyperparameters=asked.resolved(0)
    )


def train(problems: list[training.Problem], *, replay: bool = True) -> tuple[float, float]:
    """Train a batch; return the seconds of training, and with preparation and results."""
    begun = time.perf_counter()
    state = training.start(problems, "cpu", [None] * len(problems), replay=replay)
    started = time.perf_counter()
    state, _ = training.advance(state, plain.EPOCHS)
    trained = time.perf_counter()
    outcomes = [training.outcome(state, index) for index in range(len(problems))]
    ended = time.perf_counter()
    assert {outcome.metrics.epochs for outcome in outcomes} == {plain.EPOCHS}
    return trained - started, ended - begun


def measure(dtype: str) -> dict[str, float]:
    one, many = [notebook(dtype)], [notebook(dtype) for _ in range(JOBS)]
    torch_dtype = getattr(torch, dtype)
    plain.train(torch_dtype), train(one), train(many)
    script, single, backward, batch = [], [], [], []
    for _ in range(ROUNDS):
        script.append(plain.seconds(torch_dtype))
        single.append(train(one))
        backward.append(train(one, replay=False)[0])
        batch.append(train(many))
    per_epoch = 1e6 / plain.EPOCHS
    return {
        "script_us_per_epoch": statistics.median(script) * per_epoch,
        "single_job_us_per_epoch": statistics.median(alone for alone, _ in single) * per_epoch,
        "single_job_ratio": _ratio(script, [alone for alone, _ in single]),
        "single_job_ratio_with_preparation": _ratio(script, [whole for _, whole in single]),
        "single_job_by_backward_us_per_epoch": statistics.median(backward) * per_epoch,
        "single_job_by_backward_ratio": _ratio(script, backward),
        "thousand_jobs_us_per_epoch": statistics.median(alone for alone, _ in batch) * per_epoch,
        "thousand_jobs_ratio": JOBS * _ratio(script, [alone for alone, _ in batch]),
        "thousand_jobs_ratio_with_preparation": JOBS * _ratio(script, [all_ for _, all_ in batch]),
    }


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path, help="where to write the figures")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    figures = measure("float32")
    figures |= {f"{name}_float64": value for name, value in measure("float64").items()}
    for name, value in figures.items():
        print(f"  {name:46} {value:10,.2f}")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
