"""Uploads against their peers: CSV against polars alone, binary bodies against JSON, and memory.

    python -m benchmarks.ingest [--json FILE]

CSV: a file of 400 MB becomes a canonical file, with the counts and checks that polars does not
make and the writing that it does not do, in turns with `polars.read_csv` of the same file; profile
and fsync are not in it. Bodies: a million rows of ten numbers are sent to a service as JSON, npy
and Arrow, and the whole request is timed. Memory: how much the API process grows while it takes a
CSV of 2 GB.
"""

import argparse
import contextlib
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import numpy as np
import polars as pl
import psutil

from storage.csv_form import CsvForm
from storage.csv_tables import read_csv
from storage.migrate import migrate

ROUNDS = 7
CSV_ROWS = 2_080_000  # 400 MB
COLUMNS = 10
BODY_ROWS = 1_000_000
BODY_ROUNDS = 3
UPLOAD_BYTES = 2 * 10**9
LIMITS = {"inline_json_bytes": 2**30}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path, help="where to write the figures")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        X = np.random.default_rng(0).normal(size=(CSV_ROWS, COLUMNS))
        csv = place / "large.csv"
        pl.DataFrame(X, schema=[f"c{j}" for j in range(COLUMNS)], orient="row").write_csv(csv)
        figures = against_polars(csv, place)
        with service(place / "data") as (client, pid):
            figures |= memory(client, pid, csv)
            figures |= bodies(client, X[:BODY_ROWS])
    for name, value in figures.items():
        print(f"  {name:46} {value:10,.2f}")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


def against_polars(csv: Path, place: Path) -> dict[str, float]:
    theirs, ours, target = [], [], place / "canonical.arrow"
    for _ in range(ROUNDS):
        theirs.append(seconds(lambda: pl.read_csv(csv)))
        ours.append(seconds(lambda: read_csv(csv, CsvForm(), target)))
        target.unlink()  # an upload's file is new: none before it has memory to give back
    return {
        "csv_megabytes": csv.stat().st_size / 1e6,
        "polars_read_csv_s": statistics.median(theirs),
        "csv_to_canonical_s": statistics.median(ours),
        "csv_speed_ratio": statistics.median(a / b for a, b in zip(theirs, ours, strict=True)),
    }


def bodies(client: httpx2.Client, X: np.ndarray) -> dict[str, float]:  # type: ignore[type-arg]
    frame = pl.DataFrame(X, schema=[f"x{j}" for j in range(COLUMNS)], orient="row")
    npy, arrow = io.BytesIO(), io.BytesIO()
    np.save(npy, X)
    frame.write_ipc(arrow)
    columns = json.dumps({"columns": {name: frame[name].to_list() for name in frame.columns}})
    sent = {
        "json": ("application/json", columns.encode()),
        "npy": ("application/x-npy", npy.getvalue()),
        "arrow": ("application/vnd.apache.arrow.file", arrow.getvalue()),
    }
    times: dict[str, list[float]] = {name: [] for name in sent}
    for _ in range(BODY_ROUNDS):
        for name, (kind, content) in sent.items():
            times[name].append(seconds(lambda k=kind, c=content: upload(client, k, c)))  # type: ignore[misc]
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        **{f"{name}_body_s": value for name, value in medians.items()},
        **{f"{name}_over_json_ratio": medians["json"] / medians[name] for name in ("npy", "arrow")},
    }


def memory(client: httpx2.Client, pid: int, csv: Path) -> dict[str, float]:
    """Send the rows again and again; the process that serves must not keep them."""
    process = psutil.Process(pid)
    done, most = threading.Event(), [0]

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], process.memory_info().rss)

    before = process.memory_info().rss
    watcher = threading.Thread(target=watch)
    watcher.start()
    took = seconds(lambda: upload(client, "text/csv", repeated(csv)))
    done.set()
    watcher.join()
    grown = (most[0] - before) / 2**20
    return {
        "two_gigabytes_s": took,
        "api_rss_growth_mib": grown,
        "rss_bound_ratio": 300 / max(grown, 1.0),
    }


def repeated(csv: Path) -> Iterator[bytes]:
    sent = 0
    while sent < UPLOAD_BYTES:
        with csv.open("rb") as file:
            header = file.readline()
            if sent == 0:
                yield header
            while block := file.read(2**20):
                sent += len(block)
                yield block


def upload(client: httpx2.Client, kind: str, content: bytes | Iterator[bytes]) -> None:
    response = client.post("/v1/datasets", content=content, headers={"content-type": kind})
    assert response.status_code == 201, response.text
    client.delete(response.headers["location"])


def seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


@contextlib.contextmanager
def service(data: Path) -> Iterator[tuple[httpx2.Client, int]]:
    data.mkdir()
    migrate(f"sqlite:///{data / 'descend.db'}")
    environment = {**os.environ, "DESCEND_DATA": str(data), "DESCEND_LIMITS": json.dumps(LIMITS)}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fd, port = listening.fileno(), listening.getsockname()[1]
        command = [sys.executable, "-m", "service", "--fd", str(fd)]
        process = subprocess.Popen(command, env=environment, pass_fds=(fd,))
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=600) as client:
            client.post(
                "/v1/datasets", content=b"a\n1\n", headers={"content-type": "text/csv"}
            ).raise_for_status()
            yield client, process.pid
    finally:
        process.terminate()
        process.wait(timeout=20)


if __name__ == "__main__":
    main()
