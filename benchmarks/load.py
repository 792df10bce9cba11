"""A small HTTP load generator: keep-alive sockets, one prepared request, no client library.

A client library costs as much processor time as the server under test, and on two cores that
would measure the client. `python -m benchmarks.load URL SECONDS CONNECTIONS` prints one JSON line.
"""

import json
import socket
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

NOTEBOOK_JOB = {
    "dataset": {"X": [[1.0], [2.0], [3.0]], "y": [2.0, 4.0, 6.0]},
    "hyperparameters": {
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "max_epochs": 1000,
        "standardize": False,
        "tol": 0,
    },
}


def prepared(host: str, path: str, body: dict[str, object]) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


@dataclass
class Connection:
    """One keep-alive connection that sends the same request again and again."""

    address: tuple[str, int]
    request: bytes
    latencies: list[float] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)

    def run(self, until: float) -> None:
        with socket.create_connection(self.address) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader = line.makefile("rb")
            while time.perf_counter() < until:
                begun = time.perf_counter()
                line.sendall(self.request)
                status = read_answer(reader)
                self.latencies.append(time.perf_counter() - begun)
                if status not in (200, 202):
                    self.refused[status] += 1


def read_answer(reader: "socket.SocketIO | object") -> int:
    status = int(reader.readline().split()[1])  # type: ignore[attr-defined]
    length = 0
    while (line := reader.readline().strip()) != b"":  # type: ignore[attr-defined]
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    reader.read(length)  # type: ignore[attr-defined]
    return status


def load(url: str, seconds: float, connections: int) -> dict[str, object]:
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    request = prepared(parts.netloc, "/v1/jobs", NOTEBOOK_JOB)
    lines = [Connection(address, request) for _ in range(connections)]
    begun = time.perf_counter()
    threads = [threading.Thread(target=line.run, args=(begun + seconds,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begun
    latencies = sorted(latency for line in lines for latency in line.latencies)
    return {
        "requests_per_second": len(latencies) / elapsed,
        "p50_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3,
        "refused": dict(sum((line.refused for line in lines), Counter[int]())),
    }


if __name__ == "__main__":
    print(json.dumps(load(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))))
