"""What is sent again, and when: against a server that refuses as often as it is told to."""

import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from descend.errors import DescendError
from descend.transport import Body, Transport

KEY = {"Idempotency-Key": "one"}


class Refusing(ThreadingHTTPServer):
    """Answers with `statuses`, one after the other, then with 200; notes what came and when."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Refusal)
        self.statuses: list[int] = []
        self.retry_after: str | None = None
        self.bodies: list[bytes] = []
        self.times: list[float] = []


class Refusal(BaseHTTPRequestHandler):
    server: Refusing

    def do_GET(self) -> None:
        self.server.times.append(time.monotonic())
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if statuses else 200)
        if self.server.retry_after is not None:
            self.send_header("Retry-After", self.server.retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_DELETE = do_GET  # noqa: N815  the names that http.server looks for

    def log_message(self, *words: object) -> None:
        """Nothing: a refusal is what is tested."""


@pytest.fixture
def refusing() -> Iterator[Refusing]:
    with Refusing() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def transport(refusing: Refusing) -> Iterator[Transport]:
    url = f"http://127.0.0.1:{refusing.server_port}"
    with closing(Transport(url, api_key=None, timeout_seconds=5, retries=2)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("method", "headers", "status", "times"),
    [
        ("GET", {}, 503, 2),
        ("POST", {}, 503, 2),
        ("POST", {}, 429, 2),
        ("GET", {}, 502, 2),
        ("POST", KEY, 504, 2),
        ("POST", {}, 502, 1),  # it may have been done
        ("GET", {}, 500, 1),
        ("GET", {}, 404, 1),
    ],
)
def test_a_refused_request_is_sent_again_where_nothing_is_done_twice(
    method: str,
    headers: dict[str, str],
    status: int,
    times: int,
    refusing: Refusing,
    transport: Transport,
) -> None:
    refusing.statuses, refusing.retry_after = [status], "0"

    if times > 1:
        assert transport.send(method, "/v1/jobs", headers=headers).status_code == 200
    else:
        with pytest.raises(DescendError, match=str(status)):
            transport.send(method, "/v1/jobs", headers=headers)

    assert len(refusing.times) == times


def test_a_refusal_is_raised_when_every_retry_was_refused(
    refusing: Refusing, transport: Transport
) -> None:
    refusing.statuses, refusing.retry_after = [503] * 3, "0"

    with pytest.raises(DescendError, match="503"):
        transport.send("GET", "/v1/jobs")

    assert len(refusing.times) == 3


def test_the_pause_is_the_one_that_the_server_asks_for(
    refusing: Refusing, transport: Transport
) -> None:
    refusing.statuses, refusing.retry_after = [503], "1"

    transport.send("GET", "/v1/jobs")

    first, second = refusing.times
    assert 1.0 <= second - first < 3.0


def test_without_such_a_wish_the_pause_doubles(refusing: Refusing, transport: Transport) -> None:
    refusing.statuses = [503, 503]

    transport.send("GET", "/v1/jobs")

    first, second, third = refusing.times
    assert second - first >= 0.15
    assert third - second >= 0.3


def test_a_file_is_read_from_its_start_each_time(
    refusing: Refusing, transport: Transport, tmp_path: Path
) -> None:
    refusing.statuses, refusing.retry_after = [503, 503], "0"
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n")

    transport.send("POST", "/v1/datasets", body=Body("text/csv", tmp_path / "a.csv"))

    assert refusing.bodies == [b"a,b\n1,2\n"] * 3


def test_a_delete_that_is_not_there_the_second_time_is_done(
    refusing: Refusing, transport: Transport
) -> None:
    refusing.statuses, refusing.retry_after = [502, 404], "0"

    assert transport.send("DELETE", "/v1/jobs/1").status_code == 404
