"""Training on the R factor against training on the rows, and against solving for the optimum.

    python -m benchmarks.compression [--json FILE]

Ours: factor the rows, then 1,000 epochs of gradient descent, each with a backward pass, and their
whole history. One BLAS thread, as in a runner; threads of our own over the tiles.

(a) against sklearn.linear_model.LinearRegression().fit.
(b) against an nn.Linear loop on all rows in float64. Of its 1,000 epochs only some are timed,
    after one to warm up, and multiplied.
(c) a job as a worker does it, from its Arrow file to its outcome: the second job on a large
    dataset against the first on one of 1,000 rows.
(d) a table four times larger than a limit on memory: benchmarks/memory_limit.py.

Ours and every peer are processes of their own, in turns. A peer runs with one thread and with as
many as it likes, and its better time counts in each round. A ratio is the median of the rounds'
ratios, so that other work of the machine, which slows all, falls out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.arrow_tables import names_of, write_table
from benchmarks.contenders import ASKED, ONE_THREAD, contenders
from tests.workers.tables import assignment
from workers.orders import Assignment

ROUNDS = 5
QUICK_ROUNDS = 41  # of contests of milliseconds, which a bad second of the machine would decide
JOB_ROUNDS = 21
AGAINST_SKLEARN = ((10_000_000, 10), (1_000_000, 100))
# rows, features, epochs of the loop that are timed
AGAINST_LOOP = ((100_000, 1, 100), (100_000, 10, 100), (100_000, 100, 10), (10_000_000, 10, 3))


def against_sklearn() -> dict[str, float]:
    figures = {}
    for n, d in AGAINST_SKLEARN:
        figures |= turns(f"sklearn_{n:.0e}x{d}", "sklearn", (str(n), str(d)))
    return figures


def against_loop() -> dict[str, float]:
    figures = {}
    for n, d, epochs in AGAINST_LOOP:
        rounds = QUICK_ROUNDS if n * d <= 1_000_000 else ROUNDS
        name, arguments = f"loop_{n:.0e}x{d}", (str(n), str(d), str(epochs))
        figures |= turns(name, "loop", arguments, rounds=rounds)
    return figures


def turns(
    name: str, peer: str, arguments: tuple[str, ...], *, rounds: int = ROUNDS
) -> dict[str, float]:
    acts = (("ours", *arguments), (peer, *arguments), (f"{peer}-1", *arguments))
    with contenders(*acts) as (ours, many, one):
        times = [(ours.seconds(), min(many.seconds(), one.seconds())) for _ in range(rounds)]
    return told(name.replace("+0", ""), times)


def told(name: str, rounds: list[tuple[float, float]]) -> dict[str, float]:
    """Print and return the medians of (ours, theirs), and of the ratio within a round."""
    figures = {
        f"{name}_ours_seconds": statistics.median(mine for mine, _ in rounds),
        f"{name}_peer_seconds": statistics.median(peer for _, peer in rounds),
        f"{name}_ratio": statistics.median(peer / mine for mine, peer in rounds),
    }
    mine, peer, ratio = figures.values()
    print(f"  {name:18} ours {mine:8.3f} s   peer {peer:9.3f} s   ratio {ratio:8.2f}", flush=True)
    return figures


def job_on(folder: Path, name: str, n: int, d: int) -> Assignment:
    """Write a table, and make a job on it."""
    path = folder / f"{name}.arrow"
    write_table(path, n, d)
    return assignment(path, names_of(d), hyperparameters=ASKED, factors=folder / f"{name}-factors")


def seconds_of(job: Assignment) -> float:
    """What a runner does with a job: load, train, say what came of it."""
    from workers.batch import load, work_on

    begun = time.perf_counter()
    work = work_on([load(job)])
    entries = []
    while work.live:
        entries += work.advance(100)
    seconds = time.perf_counter() - begun
    assert entries[0].engine == "compressed"
    return seconds


def forget(job: Assignment) -> None:
    assert job.factors is not None
    for path in job.factors.glob("*"):
        path.unlink()


def second_job() -> None:
    """In a child: the second job on 1e7 rows beside the first on 1,000, again and again."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        large = job_on(Path(name), "large", 10_000_000, 10)
        small = job_on(Path(name), "small", 1_000, 10)
        seconds_of(small)
        first = seconds_of(large)
        rounds = []
        for _ in range(JOB_ROUNDS):
            forget(small)
            rounds.append((seconds_of(large), seconds_of(small)))
    print(json.dumps({"first": first, "rounds": rounds}))


def jobs() -> dict[str, float]:
    found = child("benchmarks.compression", "--jobs", **ONE_THREAD)
    print(f"  {'first_job':18} ours {found['first']:8.3f} s")
    return {"first_job_seconds": found["first"], **told("second_job", found["rounds"])}


def beyond_memory() -> dict[str, float]:
    figures = child("benchmarks.memory_limit", **ONE_THREAD)
    for name, value in figures.items():
        print(f"  {name:34} {value:12,.1f}")
    return figures


def child(*arguments: str, **environment: str) -> dict:
    answer = subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(answer.stdout)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path, help="where to write the figures")
    options.add_argument("--jobs", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.jobs:
        second_job()
        return
    figures = beyond_memory() | jobs() | against_loop() | against_sklearn()
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
