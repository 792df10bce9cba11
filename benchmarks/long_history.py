"""The history of a million epochs over HTTP, beside reading the same bytes with numpy.

    python -m benchmarks.long_history [--json FILE]

The API alone, with a job in its database that a worker would have left there. In turns: 1,000
points as JSON, the whole as an Arrow stream, the first page of the list with its sparkline, and
np.fromfile of the same columns from a file that is in memory.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.http import connects, free_port, process, until
from descend.datasets import Column, ColumnType, Dataset
from descend.history import COLUMNS, History
from descend.ids import new_id
from descend.jobs import QUEUES, JobSpec, JobState, StopReason
from storage.database import Database
from storage.jobs import Outcome
from storage.migrate import migrate

EPOCHS = 1_000_000
RUNS = 7


def a_history() -> History:
    """A descent with a floor: three columns of a million numbers, the others constant."""
    epoch = np.arange(EPOCHS)
    gap = 600.0 * np.exp(-epoch / 40_000.0)
    return History(
        epoch=epoch,
        train_loss=8.638 + gap,
        eval_loss=np.full(EPOCHS, np.nan),
        learning_rate=np.full(EPOCHS, 0.01),
        grad_norm=np.sqrt(gap),
        gap=gap,
        total=EPOCHS,
    )


def stored(url: str, history: History) -> str:
    """Leave a finished job with this history in a database; return its id."""
    migrate(url)
    database = Database(url)
    column = Column(name="x0", dtype=ColumnType.FLOAT64, missing=0)
    dataset = Dataset(
        id=new_id("ds"), name=None, format="json", n_rows=3, n_columns=2, size_bytes=4,
        sha256="00" * 32, columns=[column, column.model_copy(update={"name": "y"})],
        created_at=datetime.now(UTC),
    )  # fmt: skip
    with database.begin() as tx:
        tx.datasets.add(dataset, inline=b"rows", artefact=None)
        tx.jobs.add(
            JobSpec(dataset=dataset.id), dataset, job_id=new_id("job"), targets=["y"],
            features=["x0"], weight=None, seed=0, idempotency_key=None, request_sha256="",
            max_queued=1,
        )  # fmt: skip
    with database.begin() as tx:
        (claim,) = tx.jobs.claim("wrk_bench", 1, queues=QUEUES, lease_seconds=60)
        outcome = Outcome(
            job_id=claim.job_id, fence=claim.fence, state=JobState.SUCCEEDED,
            stop_reason=StopReason.MAX_EPOCHS, epochs_done=1000, history=history,
        )  # fmt: skip
        tx.jobs.finish(outcome)
    database.close()
    return claim.job_id


def measured(folder: Path) -> dict[str, float]:
    history = a_history()
    job_id = stored(f"sqlite:///{folder / 'descend.db'}", history)
    columns = [getattr(history, name).astype("<f8") for name in COLUMNS]
    np.concatenate(columns).tofile(folder / "columns")
    port = free_port()
    settings = {"DESCEND_DATA": str(folder), "DESCEND_PORT": str(port)}
    with process(sys.executable, "-m", "service", **settings):
        until(lambda: connects(port), "the service listens")
        url = f"http://127.0.0.1:{port}/v1/jobs"
        acts: dict[str, Callable[[], object]] = {
            "points": lambda: json.loads(read(f"{url}/{job_id}/history?max_points=1000")),
            "arrow": lambda: read(f"{url}/{job_id}/history?format=arrow"),
            "sparkline": lambda: json.loads(read(f"{url}?include=sparkline")),
            "numpy": lambda: np.fromfile(folder / "columns", "<f8"),
        }
        took: dict[str, list[float]] = {name: [] for name in acts}
        for _ in range(1 + RUNS):
            for name, act in acts.items():
                begun = time.perf_counter()
                act()
                took[name].append(time.perf_counter() - begun)
    ms = {name: statistics.median(times[1:]) * 1e3 for name, times in took.items()}
    return {
        "json_1000_points_ms": ms["points"],
        "arrow_whole_ms": ms["arrow"],
        "first_sparkline_ms": took["sparkline"][0] * 1e3,
        "numpy_fromfile_ms": ms["numpy"],
        "ratio_arrow_over_numpy": ms["arrow"] / ms["numpy"],
        "ratio_json_over_numpy": ms["points"] / ms["numpy"],
        "megabytes": 8e-6 * EPOCHS * len(COLUMNS),
    }


def read(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:  # noqa: S310
        return bytes(answer.read())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path, help="where to write the figures")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(Path(folder))
    print(json.dumps(figures, indent=2))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
