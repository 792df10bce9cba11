"""Many connections, most of them silent: who asks is answered, who keeps waiting is let go."""

import contextlib
import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from service.settings import ServiceSettings
from tests.service.conftest import process_serving, wait_until

ROOT = Path(__file__).parents[2]
HEAD = b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
BEGUN = HEAD + b"content-length: 8192\r\n\r\n{"
MOST = 20


@pytest.fixture
def server(
    settings: ServiceSettings,
) -> Iterator[tuple[httpx2.Client, "subprocess.Popen[bytes]"]]:
    few = {
        "DESCEND_MOST_CONNECTIONS": str(MOST),
        "DESCEND_HEAD_SECONDS": "2",
        "DESCEND_BODY_SECONDS": "4",
    }
    with process_serving(settings, stderr=subprocess.PIPE, **few) as (client, process):
        yield client, process


@contextlib.contextmanager
def connected(client: httpx2.Client, n: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """Connections that have sent this much, in the order of their age."""
    with contextlib.ExitStack() as exits:
        found = []
        for _ in range(n):
            address = (client.base_url.host, client.base_url.port or 80)
            one = exits.enter_context(socket.create_connection(address, timeout=15))
            one.sendall(sent)
            found.append(one)
        yield found


def status(client: httpx2.Client, path: str) -> int:
    """Ask on a connection of its own."""
    with contextlib.closing(
        http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=15)
    ) as own:
        own.request("GET", path)
        return own.getresponse().status


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.0)
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.settimeout(15)


def test_a_thousand_half_open_connections_shut_nobody_out(
    server: tuple[httpx2.Client, "subprocess.Popen[bytes]"],
) -> None:
    client, process = server
    client.close()

    with connected(client, 5 * MOST, HEAD) as half_open:
        statuses = [status(client, path) for path in ("/healthz", "/v1/jobs", "/readyz")]
        wait_until(lambda: not is_open(half_open[0]))
        newest = half_open[-1]
        newest.sendall(b"content-length: 2\r\n\r\n{}")
        answer = newest.recv(100)
    process.terminate()
    assert process.stderr is not None
    lines = process.stderr.read().decode().splitlines()

    assert statuses[:2] == [200, 200]
    assert answer.startswith(b"HTTP/1.1 422")
    assert sum("too_many_connections" in line for line in lines) == 1


def test_where_all_connections_are_at_work_health_is_answered_and_others_are_told(
    server: tuple[httpx2.Client, "subprocess.Popen[bytes]"],
) -> None:
    client, _ = server
    client.close()

    with connected(client, MOST, BEGUN):
        statuses = [status(client, path) for path in ("/healthz", "/v1/jobs", "/healthz")]

    wait_until(lambda: status(client, "/v1/jobs") == 200)
    assert statuses == [200, 503, 200]


def test_what_does_not_come_ends_its_connection_and_a_slow_body_is_read(
    server: tuple[httpx2.Client, "subprocess.Popen[bytes]"],
) -> None:
    client, _ = server
    parts_of_heads = (b"", b"GET /healthz HT", HEAD)

    with contextlib.ExitStack() as exits:
        half_open = [exits.enter_context(connected(client, 1, one))[0] for one in parts_of_heads]
        stalled, slow = exits.enter_context(connected(client, 2, BEGUN))
        for one in half_open:
            assert one.recv(100).startswith(b"HTTP/1.1 408")
            assert one.recv(100) == b""
        for _ in range(7):
            slow.sendall(b" " * 1024)
            time.sleep(0.7)  # time itself is what is tried
        slow.sendall(b"}" + b" " * 1022)
        assert stalled.recv(100).startswith(b"HTTP/1.1 408")
        assert slow.recv(100).startswith(b"HTTP/1.1 422")


def limits_with(soft: int, hard: int) -> list[int]:
    code = (
        "import resource, sys; n = resource.RLIMIT_NOFILE;"
        f" resource.setrlimit(n, ({soft}, {hard}));"
        " from service.descriptors import fitted; from service.settings import ServiceSettings;"
        " s = fitted(ServiceSettings());"
        " print(resource.getrlimit(n)[0], s.most_connections, s.most_waiting, s.most_streams)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()[-4:]]


def test_descriptors_are_raised_and_limits_fit_them() -> None:
    assert limits_with(64, 1500) == [1500, 1372, 686, 686]
    assert limits_with(64, 100) == [100, 50, 25, 25]
