"""The real thing: `python -m service`, sockets, signals, fifty clients at once."""

import concurrent.futures
import contextlib
import http.client
import itertools
import json
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import uvicorn

from service.__main__ import Server
from service.app import create_app
from service.settings import ServiceSettings
from storage.kernels import kernel_environment
from tests.service.conftest import NOTEBOOK, answers, process_serving, serving, wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(settings: ServiceSettings) -> Iterator[httpx2.Client]:
    with serving(settings) as client:
        yield client


def test_fifty_submissions_with_one_key_make_one_job(server: httpx2.Client) -> None:
    start = threading.Barrier(50)

    def submit(_: int) -> httpx2.Response:
        with httpx2.Client(base_url=server.base_url, timeout=60) as client:
            start.wait()
            headers = {"idempotency-key": "fifty"}
            return client.post("/v1/jobs", json={"dataset": NOTEBOOK}, headers=headers)

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        responses = list(pool.map(submit, range(50)))

    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["id"] for response in responses}) == 1
    assert len(server.get("/v1/jobs").json()["data"]) == 1
    assert len(server.get("/v1/datasets").json()["data"]) == 1


def test_a_body_without_a_length_is_refused_at_the_limit(server: httpx2.Client) -> None:
    mebibyte = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    with connected(server) as connection:
        connection.putrequest("POST", "/v1/jobs")
        connection.putheader("content-type", "application/json")
        connection.putheader("transfer-encoding", "chunked")
        connection.endheaders()

        connection.send(itertools.repeat(mebibyte, 64))
        connection.send(b"0\r\n\r\n")
        response = connection.getresponse()

        assert response.status == 413
        assert json.loads(response.read())["code"] == "body_too_large"
    assert server.get("/healthz").status_code == 200


def test_a_body_that_says_it_is_too_long_is_not_read(server: httpx2.Client) -> None:
    with connected(server) as connection:
        connection.putrequest("POST", "/v1/jobs")
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", str(2**40))
        connection.endheaders()

        response = connection.getresponse()

        assert response.status == 413
        assert json.loads(response.read())["code"] == "body_too_large"


def connected(server: httpx2.Client) -> contextlib.closing[http.client.HTTPConnection]:
    host, port = server.base_url.host, server.base_url.port
    return contextlib.closing(http.client.HTTPConnection(host, port, timeout=30))


def test_a_head_that_does_not_end_is_cut_off(server: httpx2.Client) -> None:
    line = b"x-more: " + b"y" * 1000 + b"\r\n"
    with socket.create_connection((server.base_url.host, server.base_url.port)) as link:
        link.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n")

        with pytest.raises(ConnectionError):
            link.sendall(line * 100_000)

    assert server.get("/healthz", headers={"x-much": "y" * 30_000}).status_code == 200


def test_a_full_disk_is_507_and_leaves_nothing(settings: ServiceSettings) -> None:
    """The system's limit on the size of a file stands for the disk's end: EFBIG, not ENOSPC."""
    csv = b"a,b\n" + b"1,2\n" * 1_000_000
    headers = {"content-type": "text/csv"}
    with process_serving(settings) as (client, process):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (2**21, 2**21))

        full = client.post("/v1/datasets", content=csv, headers=headers)
        after = client.post("/v1/datasets", content=csv[:400], headers=headers)

    assert full.status_code == 507, full.text
    assert full.json()["code"] == "storage_full"
    assert after.status_code == 201
    assert list((settings.data / "uploads").iterdir()) == []


def test_rows_that_no_longer_fit_are_507_and_the_dataset_stays(settings: ServiceSettings) -> None:
    """Numbers of one digit: four times as long in the canonical file as in JSON."""
    ones = {"columns": {"a": [1] * 400_000}}
    with process_serving(settings) as (client, process):
        path = client.post("/v1/datasets", json={"columns": {"a": [1, 2]}}).headers["location"]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (2**21, 2**21))

        full = client.post(f"{path}/rows", json=ones)
        dataset = client.get(path)

    assert full.status_code == 507, full.text
    assert full.json()["code"] == "storage_full"
    assert dataset.json()["n_rows"] == 2
    assert list((settings.data / "uploads").iterdir()) == []


def test_a_database_that_is_away_is_503(settings: ServiceSettings) -> None:
    away = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    with serving(settings, DESCEND_DATABASE_URL=away) as client:
        response = client.get("/v1/jobs")
        ready = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["code"] == "unavailable"
    assert int(response.headers["retry-after"]) >= 1
    assert ready.status_code == 503


def test_a_caller_that_leaves_in_the_middle_does_no_harm(server: httpx2.Client) -> None:
    head = b"POST /v1/datasets HTTP/1.1\r\nhost: x\r\ncontent-type: text/csv\r\n"
    with socket.create_connection((server.base_url.host, server.base_url.port)) as link:
        link.sendall(head + b"content-length: 99\r\n\r\na,b\n1,2\n")

    assert server.get("/healthz").status_code == 200
    assert server.get("/v1/datasets").json()["data"] == []


def test_a_signal_lets_the_waiting_go(settings: ServiceSettings) -> None:
    app = create_app(settings)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = Server(uvicorn.Config(app, log_level=30), parts=app.state.parts)
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        serving.start()
        with httpx2.Client(base_url=url, timeout=70) as client:
            wait_until(lambda: answers(client))
            job_id = client.post("/v1/jobs", json={"dataset": NOTEBOOK}).json()["id"]
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(client.get, f"/v1/jobs/{job_id}?wait=60")
                wait_until(lambda: app.state.parts.watcher.waiting == 1)
                start = time.monotonic()

                server.handle_exit(signal.SIGTERM, None)

                assert waiting.result().json()["state"] == "queued"
                assert time.monotonic() - start < 10
        serving.join()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104
def test_an_open_address_without_a_key_is_refused(settings: ServiceSettings, host: str) -> None:
    process = start_and_wait(settings, DESCEND_HOST=host, DESCEND_PORT="0")

    assert process.returncode == 2
    assert "DESCEND_API_KEY_FILE" in process.stderr
    assert "Traceback" not in process.stderr


def test_an_open_socket_without_a_key_is_refused(settings: ServiceSettings) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listening:  # noqa: S104
        process = start_and_wait(settings, "--fd", str(listening.fileno()), fd=listening.fileno())

    assert process.returncode == 2


def test_a_port_in_use_is_a_clear_error(settings: ServiceSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start_and_wait(settings, DESCEND_PORT=str(taken.getsockname()[1]))

    assert process.returncode == 2
    assert "in use" in process.stderr
    assert "Traceback" not in process.stderr


def start_and_wait(
    settings: ServiceSettings, *arguments: str, fd: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env={
            **kernel_environment(),
            "DESCEND_DATA": str(settings.data),
            "PATH": "/usr/bin:/bin",
            **environment,
        },
        pass_fds=() if fd is None else (fd,),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_service_loads_no_torch() -> None:
    code = (
        "import sys, time; t = time.perf_counter(); import service.app;"
        " took = time.perf_counter() - t;"
        " heavy = {'torch', 'scipy', 'sklearn', 'workers', 'polars'} & sys.modules.keys();"
        " print(took, sorted(heavy))"
    )

    output = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)

    took, heavy = output.split(" ", 1)
    assert heavy.strip() == "[]"
    assert float(took) > 0
