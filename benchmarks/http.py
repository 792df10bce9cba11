"""Over HTTP: how soon a job is done, and how many are taken in a second.

    python -m benchmarks.http [--json FILE]

Latency: the embedded stack, warm; one connection sends the notebook's job with ?wait= and reads
the finished job. Peer: the plain script's training loop, in turns with it.

Submissions: the API alone, without workers, eight connections, in turns of a second with the same
API calling `.delay()` in the handler (benchmarks/delay_api.py).
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from benchmarks import plain
from benchmarks.load import NOTEBOOK_JOB, prepared, read_answer
from descend.embedded_broker import broker_program

RUNS = 31
STARTS = 5
TURNS = 20
TURN_SECONDS = 1.0
CONNECTIONS = 8


def until(condition: "object", what: str, *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as line:
            line.sendall(b"PING\r\n")
            return line.recv(16).startswith(b"+PONG")
    except OSError:
        return False


@contextmanager
def process(*command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.terminate()  # a shell's background ignores SIGINT
        child.wait(timeout=20)


def latency() -> dict[str, float]:
    torch.set_num_threads(1)
    plain.train()
    with tempfile.TemporaryDirectory() as data:
        stack = process(sys.executable, "-m", "descend.cli", "up", "--port", "0", "--data", data)
        with stack as child:
            assert child.stdout is not None
            url = next(line.split()[-1] for line in child.stdout if "ready at" in line)
            host = url.removeprefix("http://")
            address = (host.split(":")[0], int(host.split(":")[1]))
            request = prepared(host, "/v1/jobs?wait=30", NOTEBOOK_JOB)
            with socket.create_connection(address) as line:
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                reader = line.makefile("rb")
                ours, script = [], []
                for _ in range(RUNS):
                    script.append(plain.seconds())
                    begun = time.perf_counter()
                    line.sendall(request)
                    assert read_answer(reader) == 200
                    ours.append(time.perf_counter() - begun)
    warm = ours[1:]
    return {
        "submit_to_succeeded_p50_ms": statistics.median(warm) * 1e3,
        "submit_to_succeeded_p90_ms": statistics.quantiles(warm, n=10)[-1] * 1e3,
        "script_loop_p50_ms": statistics.median(script) * 1e3,
        "ratio_script_over_ours": statistics.median(script) / statistics.median(warm),
    }


def submissions() -> dict[str, float]:
    """Load both APIs in turns of a second; the ratio is the median over the turns.

    A shared machine is faster in one second than in the next: only neighbours in time compare.
    """
    rates: dict[str, list[float]] = {"service": [], "benchmarks.delay_api": []}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        broker_port = free_port()
        broker = process(
            broker_program(os.environ),
            *("--port", str(broker_port), "--bind", "127.0.0.1", "--save", "", "--dir", folder),
        )
        running.enter_context(broker)
        until(lambda: answers_ping(broker_port), "the broker answers")
        urls = {
            module: running.enter_context(serving(module, Path(folder) / module, broker_port))
            for module in rates
        }
        for url in urls.values():
            load_once(url, TURN_SECONDS)
        for turn in range(TURNS):
            for module in sorted(rates, reverse=bool(turn % 2)):
                rates[module].append(load_once(urls[module], TURN_SECONDS))
    ours, peer = rates.values()
    print(
        "  ours", *(f"{rate:.0f}" for rate in ours), "\n  peer", *(f"{rate:.0f}" for rate in peer)
    )
    return {
        "submissions_per_second": statistics.median(ours),
        "delay_submissions_per_second": statistics.median(peer),
        "ratio_ours_over_delay": statistics.median(
            mine / theirs for mine, theirs in zip(ours, peer, strict=True)
        ),
    }


def import_seconds() -> dict[str, float]:
    """How long a fresh interpreter takes to import the API, beyond its own start."""

    def started(program: str) -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        return time.perf_counter() - begun

    extra = [started("import service.app") - started("pass") for _ in range(STARTS)]
    return {"import_service_app_seconds": statistics.median(extra)}


@contextmanager
def serving(module: str, data: Path, broker_port: int) -> Iterator[str]:
    """Serve a fresh database with one of the two APIs; the value is its URL."""
    port = free_port()
    environment = {
        "DESCEND_DATA": str(data),
        "DESCEND_PORT": str(port),
        "DESCEND_BROKER_URL": f"redis://127.0.0.1:{broker_port}/0",
        "DESCEND_LIMITS": json.dumps({"queued_jobs": 10_000_000}),
    }
    data.mkdir()
    with process(sys.executable, "-m", "storage.migrate", **environment) as migration:
        migration.wait()
    with process(sys.executable, "-m", module, **environment) as child:
        until(lambda: child.poll() is not None or connects(port), f"{module} listens")
        if child.poll() is not None:
            raise RuntimeError(f"{module} ended with {child.returncode}: see its log above")
        yield f"http://127.0.0.1:{port}"


def load_once(url: str, seconds: float) -> float:
    """Load an API from another process; return the requests per second."""
    command = [sys.executable, "-m", "benchmarks.load", url, str(seconds), str(CONNECTIONS)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured = json.loads(done.stdout)
    if measured["refused"]:
        raise RuntimeError(f"{url} refused: {measured}")
    return float(measured["requests_per_second"])


def connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path, help="where to write the figures")
    chosen = options.parse_args()
    figures = latency()
    print(json.dumps(figures, indent=2))
    figures |= submissions() | import_seconds()
    print(json.dumps(figures, indent=2))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
