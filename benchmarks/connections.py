"""How soon /healthz answers while half-open connections lie on the API.

    python -m benchmarks.connections [--json FILE]

The API alone, twice: with a soft limit of 1,024 descriptors that it may raise, and with a hard one.
CONNECTIONS send half a head and wait, and come again when they are closed; beside them REQUESTS ask
for /healthz one after another, each on a connection of its own. Milliseconds, and what was refused.
"""

import argparse
import json
import resource
import selectors
import socket
import statistics
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from storage.migrate import migrate
from tests.servers import api, ending, until

CONNECTIONS = 1100
REQUESTS = 1000
HALF_A_HEAD = b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\n"
START = (
    "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}));"
    " sys.argv = ['service']; runpy.run_module('service', run_name='__main__')"
)


class HalfOpen:
    """Keeps so many connections half open."""

    def __init__(self, port: int) -> None:
        self._port, self._done, self.n_closed = port, threading.Event(), 0
        self._selector = selectors.DefaultSelector()
        for _ in range(CONNECTIONS):
            self._open()
        self._thread = threading.Thread(target=self._keep)
        self._thread.start()

    def _open(self) -> None:
        one = socket.create_connection(("127.0.0.1", self._port), timeout=5)
        one.sendall(HALF_A_HEAD)
        self._selector.register(one, selectors.EVENT_READ)

    def _keep(self) -> None:
        while not self._done.is_set():
            for key, _ in self._selector.select(0.05):
                self._selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
                self.n_closed += 1
                self._open()

    def close(self) -> None:
        self._done.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]


def healthz(port: int) -> float | None:
    """Milliseconds of one request; None: it was refused."""
    began = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/healthz")
        if connection.getresponse().status != 200:
            return None
    except OSError:
        return None
    finally:
        connection.close()
    return 1000 * (time.perf_counter() - began)


def measured(soft: int, hard: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as data:
        migrate(f"sqlite:///{data}/descend.db")
        code = START.format(soft=soft, hard=hard)
        started, url = api({"DESCEND_DATA": data}, Path(data) / "api.log", program=("-c", code))
        port = int(url.rpartition(":")[2])
        with ending(started):
            until(lambda: healthz(port) is not None, what="the API answers")
            alone = [healthz(port) for _ in range(100)]
            crowd = HalfOpen(port)
            times = [healthz(port) for _ in range(REQUESTS)]
            crowd.close()
    answered = sorted(one for one in times if one is not None)
    return {
        "descriptors": [soft, hard],
        "alone_p50_ms": statistics.median(one for one in alone if one is not None),
        "p50_ms": statistics.median(answered),
        "p99_ms": answered[int(0.99 * len(answered))],
        "max_ms": answered[-1],
        "refused": len(times) - len(answered),
        "half_open_closed": crowd.n_closed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    found = [measured(1024, hard), measured(1024, 1024)]
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
