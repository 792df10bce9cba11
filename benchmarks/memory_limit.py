"""A job on a table four times larger than the memory that the process may take.

    python -m benchmarks.memory_limit

A child imports all that a runner imports and trains once; from there on it may allocate LIMIT
bytes (RLIMIT_DATA: private memory, which pages of a mapped file are not). It trains on a table of
4 x LIMIT by the worker's own path; and then tries to hold the table, which must fail, or the limit
would prove nothing. Prints JSON.
"""

import json
import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch

from benchmarks.arrow_tables import names_of, write_table
from benchmarks.peaks import Peak
from tests.workers.tables import assignment
from workers.batch import load, rehearse, work_on
from workers.loading import load_rows
from workers.orders import Assignment

LIMIT = 128 * 2**20
FEATURES = 15
ROWS = 4 * LIMIT // (8 * (FEATURES + 1))
MIB = 2**20


def status(name: str) -> int:
    """Bytes that the kernel counts under a name of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def train(path: Path, small: Path) -> None:
    """The child: prove that it fits, and that the table would not."""
    torch.set_num_threads(1)
    hyperparameters = {"learning_rate": 0.01, "max_epochs": 1000, "tol": 0}
    job = assignment(path, names_of(FEATURES), hyperparameters=hyperparameters)
    with Peak(partial(status, "RssAnon"), every_seconds=0.002) as anonymous:
        rehearse()
        end(assignment(small, names_of(FEATURES), hyperparameters=hyperparameters))
        anonymous.highest = 0
        held = status("RssAnon")
        most = status("VmData") + LIMIT
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        end(job)
        peak = anonymous.highest - held
        try:
            load_rows(job)
        except MemoryError:
            refused = True
        else:
            refused = False
    print(json.dumps({"peak_mib": peak / MIB, "whole_table_is_refused": refused}))


def end(job: Assignment) -> None:
    work = work_on([load(job)])
    entries = []
    while work.live:
        entries += work.advance(1000)
    assert entries[0].engine == "compressed"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        path, small = Path(name) / "table.arrow", Path(name) / "small.arrow"
        write_table(path, ROWS, FEATURES)
        write_table(small, 1000, FEATURES)
        command = [sys.executable, "-m", "benchmarks.memory_limit", str(path), str(small)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(answer.stdout)
        size = path.stat().st_size
    figures = {
        "table_mib": size / MIB,
        "limit_mib": LIMIT / MIB,
        "table_over_limit": size / LIMIT,
        "peak_over_baseline_mib": found["peak_mib"],
        "whole_table_is_refused": float(found["whole_table_is_refused"]),
        "limit_over_peak": LIMIT / MIB / found["peak_mib"],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        train(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        main()
