"""Whether workers share: sixteen jobs that cannot train together, on one worker and on two.

    python -m benchmarks.sharing [--json FILE] [--runs 3] [--workers 1 2] [--scale 1.0]

Real workers on SQLite, one training process each, no API. Jobs of 6 to 13 s (times `scale`) by the
measure of a core that is left alone, submitted in one transaction, `timeout_seconds: 20` (times
`scale`, rounded up). Seconds from submission to the last end, states, and how long before that end
each worker ended its last job. `--workers 1` alone measures a part, for a machine that is shared.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from descend.ids import new_id
from descend.jobs import Hyperparameters
from tests.chaos.stage import Lesson, Stage, _add, staged
from tests.servers import Broker, until
from workers import training

SHORTEST, LONGEST, TIMEOUT = 6.0, 13.0, 20
REHEARSED, CHUNK = 60_000, 20_000  # epochs; a runner takes as many at once
WAYS = tuple(product((0.0, 1e-3), (0.0, 0.5), ("float64", "float32"), (1, 2)))
Job = tuple[Hyperparameters, list[str]]


def jobs_of(scale: float) -> list[Job]:
    """Sixteen jobs, no two of one batch, of equally spaced lengths."""
    torch.set_num_threads(1)
    lesson = Lesson(REHEARSED)
    X, y = np.array(lesson.data().X), np.array(lesson.data().y).reshape(-1, 1)
    jobs = []
    lengths = scale * np.linspace(SHORTEST, LONGEST, len(WAYS))
    for seconds, (l2, momentum, dtype, width) in zip(lengths, WAYS, strict=True):
        names = [f"x{j}" for j in range(width)]
        way = {"l2": l2, "momentum": momentum, "dtype": dtype}
        asked = lesson.hyperparameters().model_copy(update=way)
        problem = training.Problem.of_rows(
            X=X[:, :width],
            Y=y,
            sample_weight=None,
            features=tuple(names),
            targets=("y",),
            hyperparameters=asked,
        )
        epochs = round(seconds / min(_seconds_per_epoch(problem) for _ in range(3)))
        jobs.append((asked.model_copy(update={"max_epochs": epochs}), names))
    return jobs


def _seconds_per_epoch(problem: training.Problem) -> float:
    began = time.perf_counter()
    state = training.start([training.compress(problem)], "cpu", [None])
    while state.live:
        state, _ = training.advance(state, CHUNK)
    return (time.perf_counter() - began) / REHEARSED


def measured(jobs: list[Job], n_workers: int, scale: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder, broker = Path(name), Broker().start()
        with staged(folder, f"sqlite:///{folder / 'descend.db'}", broker) as stage:
            usual = {
                "DESCEND_LEASE_SECONDS": "30",
                "DESCEND_BEAT_SECONDS": "1",
                "DESCEND_POLL_SECONDS": "1",
                "DESCEND_CHECKPOINT_SECONDS": "10",
            }
            for _ in range(n_workers):
                stage.hire(**usual)
            until(lambda: _idle(stage) == n_workers, seconds=60, what="all are idle")
            began = time.time()
            job_ids = _submit(stage, jobs, math.ceil(TIMEOUT * scale))
            for job_id in job_ids:
                stage.await_end(job_id, seconds=900)
            found = _account(stage, job_ids, began)
        broker.kill()
    return found


def _idle(stage: Stage) -> int:
    with stage.database.read() as tx:
        return tx.workers.idle_slots("cpu", within_seconds=60, but="")


def _submit(stage: Stage, jobs: list[Job], timeout: int) -> list[str]:
    job_ids = [new_id("job") for _ in jobs]
    with stage.database.begin() as tx:
        for job_id, (asked, names) in zip(job_ids, jobs, strict=True):
            more = {"hyperparameters": asked, "features": names, "timeout_seconds": timeout}
            _add(tx, job_id, Lesson(REHEARSED), artefact=None, more=more)
    return job_ids


def _account(stage: Stage, job_ids: list[str], began: float) -> dict[str, Any]:
    jobs = [stage.job(job_id) for job_id in job_ids]
    holds = [hold for job_id in job_ids for hold in stage.holds(job_id)]
    end = max(hold.left_at for hold in holds)
    last = {hold.worker: 0 for hold in holds}
    for hold in holds:
        last[hold.worker] = max(last[hold.worker], hold.left_at)
    worked = [
        (job.finished_at - job.work_started_at).total_seconds()
        for job in jobs
        if job.finished_at and job.work_started_at
    ]
    return {
        "seconds": end / 1e6 - began,
        "states": dict(Counter(job.state.value for job in jobs)),
        "attempts": sorted(Counter(job.attempt for job in jobs).items()),
        "moved": sum(len(stage.holds(job_id)) - 1 for job_id in job_ids),
        "work_seconds": [min(worked), max(worked)],
        "idle_at_the_end": sorted((end - at) / 1e6 for at in last.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    jobs = jobs_of(options.scale)
    runs: dict[int, list[dict[str, Any]]] = {n: [] for n in options.workers}
    for _ in range(options.runs):
        for n in options.workers:
            runs[n].append(measured(jobs, n, options.scale))
            print(json.dumps({n: runs[n][-1]}), flush=True)
    found = figures(runs)
    print(json.dumps({key: found[key] for key in found if key != "runs"}))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


def figures(runs: dict[int, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians of the seconds, their ratio, the part that succeeded and the longest idleness."""
    medians = {n: statistics.median(one["seconds"] for one in found) for n, found in runs.items()}
    every = [one for found in runs.values() for one in found]
    succeeded = sum(one["states"].get("succeeded", 0) for one in every)
    figures = {
        "medians": medians,
        "part_succeeded": succeeded / (len(WAYS) * len(every)),
        "idle_at_the_end_most": max(max(one["idle_at_the_end"]) for one in every),
        "runs": runs,
    }
    if set(medians) >= {1, 2}:
        figures["ratio_one_worker_over_two"] = medians[1] / medians[2]
    return figures


if __name__ == "__main__":
    main()
