"""What requests with large JSON bodies cost the API in memory, and whether it comes back.

    python -m benchmarks.request_memory [--json FILE]

The API alone (`python -m service`), a model of ten columns; bodies of 15 MB, ten numbers of 17
digits a row, once as `X` and once as `rows` by name. One prediction, one such body whose last
number is a list, then eight predictions at once, over HTTP; PSS of the process and its children,
looked at every 10 ms, and again a minute later.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil

from benchmarks.peaks import Peak
from descend.jobs import JobState, StopReason
from descend.models import LinearModel
from storage.database import Database
from storage.jobs import Outcome
from storage.migrate import migrate
from tests.servers import api, ending
from tests.storage.acts import claimed

BODY_BYTES = 15_000_000
COLUMNS = 10
AT_ONCE = 8
LATER_SECONDS = 60
MB = 1e6


@dataclass(frozen=True)
class Cost:
    """PSS in MB: before, the most during, right after, and a minute later; what was answered."""

    before: float
    peak: float
    after: float
    later: float
    seconds: float
    statuses: Sequence[int]


def pss(pid: int) -> float:
    """PSS of a process and its children, in MB."""
    total = 0
    for one in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        try:
            rollup = Path(f"/proc/{one.pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:")
    return total * 1024 / MB


def body(form: str, n_bytes: int, *, spoilt: bool = False) -> bytes:
    """Rows of numbers of 17 digits, by place or by name; spoilt: the last one is a list."""
    rng = random.Random(0)  # noqa: S311  numbers, not secrets
    wide = 22 if form == "X" else 28
    rows: list[Any] = [
        [rng.uniform(-1, 1) for _ in range(COLUMNS)] for _ in range(n_bytes // COLUMNS // wide)
    ]
    if spoilt:
        rows[-1][-1] = []
    if form == "rows":
        rows = [{f"x{j}": value for j, value in enumerate(row)} for row in rows]
    return json.dumps({form: rows}).encode()


def a_model(url: str) -> str:
    """Store a model as a finished job has it; return its id."""
    names = [f"x{j}" for j in range(COLUMNS)]
    model = LinearModel(features=names, targets=["y"], coef=[[1.0] * COLUMNS], intercept=[0.5])
    database = Database(url)
    held = claimed(database)
    with database.begin() as tx:
        tx.jobs.finish(
            Outcome(
                job_id=held.job_id,
                fence=held.fence,
                state=JobState.SUCCEEDED,
                stop_reason=StopReason.MAX_EPOCHS,
                epochs_done=1,
                model=model,
            )
        )
    with database.read() as tx:
        model_id = tx.jobs.get(held.job_id).model_id
    database.close()
    assert model_id is not None
    return model_id


def post(port: int, path: str, content: bytes) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("POST", path, content, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def measured(pid: int, port: int, path: str, bodies: Sequence[bytes], later: float) -> Cost:
    before, began = pss(pid), time.perf_counter()
    with Peak(partial(pss, pid)) as peak, ThreadPoolExecutor(len(bodies)) as pool:
        statuses = list(pool.map(lambda one: post(port, path, one), bodies))
    seconds, after = time.perf_counter() - began, pss(pid)
    time.sleep(later)
    return Cost(before, peak.highest, after, pss(pid), seconds, statuses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--later", type=float, default=LATER_SECONDS)
    options = parser.parse_args()
    found = {form: of_form(form, options.later) for form in ("X", "rows")}
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found))


def of_form(form: str, later: float) -> dict[str, Any]:
    good, bad = body(form, BODY_BYTES), body(form, BODY_BYTES, spoilt=True)
    with tempfile.TemporaryDirectory() as data:
        url = f"sqlite:///{data}/descend.db"
        migrate(url)
        path = f"/v1/models/{a_model(url)}/predict"
        started, url = api({"DESCEND_DATA": data}, Path(data) / "api.log")
        port = int(url.rpartition(":")[2])
        with ending(started):
            small = body(form, 1000)
            for _ in range(20):  # warm
                assert post(port, path, small) == 200
            return {
                "one": asdict(measured(started.pid, port, path, [good], 2)),
                "refused": asdict(measured(started.pid, port, path, [bad], 2)),
                "eight": asdict(measured(started.pid, port, path, [good] * AT_ONCE, later)),
                "body_mb": len(good) / MB,
            }


if __name__ == "__main__":
    main()
