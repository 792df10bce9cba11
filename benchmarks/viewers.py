"""What 200 live viewers of a running job cost those who submit meanwhile.

    python -m benchmarks.viewers [--json FILE]

The embedded stack with one worker, which trains a job of long duration. In turns, seven times
each: the median latency of submissions beside 200 idle connections, and beside 200 viewers of the
job's events. Then the job is cancelled, and each viewer must have every row of the history, and
the end. The viewers are one process (`python -m benchmarks.viewers watch URL PATH N`), which reads
what comes and looks at it only after the end: their own work would be measured with the server's.
"""

import argparse
import json
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.http import process
from benchmarks.load import NOTEBOOK_JOB, prepared, read_answer

VIEWERS = 200
RUNS = 7
SUBMISSIONS = 200
PAUSE_SECONDS = 0.01
# One step for each row, so that it runs until it is cancelled.
WATCHED = {
    "dataset": NOTEBOOK_JOB["dataset"],
    "priority": 9,
    "hyperparameters": {"batch_size": 1, "learning_rate": 1e-6, "max_epochs": 10**7, "tol": 0},
}

Json = dict[str, object]


def measured(url: str) -> dict[str, object]:
    idle, watched, rows = [], [], 0
    for run in range(RUNS):
        idle.append(beside_idle(url))
        latency, seen = beside_viewers(url)
        watched.append(latency)
        rows = max(rows, seen)
        print(
            f"  run {run + 1}: idle {idle[-1]:.2f} ms, watched {latency:.2f} ms, {seen} rows seen"
        )
    return {
        "idle_p50_ms": statistics.median(idle),
        "watched_p50_ms": statistics.median(watched),
        "ratio_watched_over_idle": statistics.median(watched) / statistics.median(idle),
        "ratio_idle_over_watched": statistics.median(idle) / statistics.median(watched),
        "runs_idle_ms": idle,
        "runs_watched_ms": watched,
        "viewers": VIEWERS,
        "most_rows_seen_by_every_viewer": rows,
    }


def beside_idle(url: str) -> float:
    with running(url), ExitStack() as lines:
        for _ in range(VIEWERS):
            line = lines.enter_context(socket.create_connection(address(url)))
            line.sendall(f"GET /healthz HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n\r\n".encode())
            assert line.recv(4096)
        return submitting(url)


def beside_viewers(url: str) -> tuple[float, int]:
    with running(url) as job:
        command = [sys.executable, "-m", "benchmarks.viewers", "watch", url, f"{job}/events"]
        with subprocess.Popen(
            [*command, str(VIEWERS)], stdout=subprocess.PIPE, text=True
        ) as watching:
            assert watching.stdout is not None
            assert watching.stdout.readline() == "all told\n"
            latency = submitting(url)
            posted(url, f"{job}/cancel")
            seen = json.loads(watching.stdout.readline())
    with urllib.request.urlopen(f"{url}{job}/history?max_points=2") as answer:  # noqa: S310
        total = int(answer.headers["x-total"])
    assert seen == [total] * VIEWERS, f"{total} rows, but the viewers have {sorted(set(seen))}"
    return latency, total


@contextmanager
def running(url: str) -> Iterator[str]:
    """A job that trains; the value is its path."""
    path = str(posted(url, "/v1/jobs", WATCHED)["urls"]["self"])  # type: ignore[index]
    while got(url, path)["state"] != "running":
        time.sleep(0.05)
    yield path
    posted(url, f"{path}/cancel")
    while got(url, path)["state"] == "running":
        time.sleep(0.05)


def submitting(url: str) -> float:
    """Return the median latency of submissions on one connection, in milliseconds."""
    request = prepared(urlsplit(url).netloc, "/v1/jobs", NOTEBOOK_JOB)
    took = []
    with socket.create_connection(address(url)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = line.makefile("rb")
        for _ in range(SUBMISSIONS):
            begun = time.perf_counter()
            line.sendall(request)
            assert read_answer(reader) == 202
            took.append(time.perf_counter() - begun)
            time.sleep(PAUSE_SECONDS)
    return statistics.median(took) * 1e3


def watch(url: str, path: str, n: int) -> None:
    """Follow a job n times over; say when all were told something, and then what each has seen."""
    request = f"GET {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAccept: text/event-stream"
    received: dict[socket.socket, bytearray] = {}
    with selectors.DefaultSelector() as ready:
        for _ in range(n):
            line = socket.create_connection(address(url))
            line.sendall(f"{request}\r\nConnection: close\r\n\r\n".encode())
            received[line] = bytearray()
            ready.register(line, selectors.EVENT_READ)
        said = False
        while ready.get_map():
            for key, _ in ready.select():
                line = key.fileobj  # type: ignore[assignment]
                if part := line.recv(1 << 20):
                    received[line] += part
                else:
                    ready.unregister(line)
                    line.close()
            if not said and all(b"event: progress" in content for content in received.values()):
                said = True
                print("all told", flush=True)
    print(json.dumps([rows_seen(bytes(content)) for content in received.values()]))


def rows_seen(content: bytes) -> int:
    """Check that no row is missing or comes twice, and that the end came; count the rows."""
    body = content.partition(b"\r\n\r\n")[2]
    events = [
        json.loads(line.removeprefix(b"data: "))
        for line in unchunked(body).split(b"\n")
        if line.startswith(b"data: ")
    ]
    stop = 0
    for event in events:
        if event["type"] == "history":
            assert event["data"]["start"] == stop, "a row is missing, or told twice"
            stop = event["data"]["stop"]
    assert events[-1]["data"]["state"] == "cancelled", "the end is missing"
    return stop


def unchunked(body: bytes) -> bytes:
    parts, place = [], 0
    while True:
        end = body.index(b"\r\n", place)
        size = int(body[place:end], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size])
        place = end + 2 + size + 2


def posted(url: str, path: str, body: Json | None = None) -> Json:
    content = b"" if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, content, {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return dict(json.load(answer))


def got(url: str, path: str) -> Json:
    with urllib.request.urlopen(url + path) as answer:  # noqa: S310
        return dict(json.load(answer))


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80


def main() -> None:
    if sys.argv[1:2] == ["watch"]:
        watch(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path, help="where to write the figures")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as data:
        stack = process(sys.executable, "-m", "descend.cli", "up", "--port", "0", "--data", data)
        with stack as child:
            assert child.stdout is not None
            url = next(line.split()[-1] for line in child.stdout if "ready at" in line)
            figures = measured(url)
    print(json.dumps(figures, indent=2))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
