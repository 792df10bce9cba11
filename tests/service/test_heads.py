"""HEAD is what GET is answered, without its body."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest
from starlette.testclient import TestClient

from descend.ids import new_id
from service.problems import MEDIA_TYPE, Problem
from service.settings import ServiceSettings
from tests.service.conftest import serving, wait_until


@pytest.fixture
def server(settings: ServiceSettings) -> Iterator[httpx2.Client]:
    with serving(settings) as client:
        yield client


def test_a_head_is_that_of_get(server: httpx2.Client) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/", "/metrics", "/v1/limits", "/v1/jobs"):
        got, head = server.get(path), server.head(path)

        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
        assert int(head.headers["content-length"]) > 0
        assert "x-request-id" in head.headers


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /v1/jobs?q=" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /v1/jobs HTTP/1.1\r\nX-Odd: " + b"a" * 1_000_000,
        b"this is no request\r\n\r\n",
    ],
    ids=["address", "header", "none"],
)
def test_what_is_no_request_or_too_long_a_one_is_told_so(
    server: httpx2.Client, sent: bytes
) -> None:
    address = ("127.0.0.1", server.base_url.port or 0)
    with closing(socket.create_connection(address, timeout=10)) as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        problem = Problem.model_validate_json(answer.read())

    assert answer.headers["content-type"] == MEDIA_TYPE
    assert (answer.status, problem.code) == (400, "malformed_body")
    assert "at most 65536 bytes" in problem.detail
    assert problem.request_id == answer.headers["x-request-id"]


def test_a_connection_serves_on_after_heads(server: httpx2.Client) -> None:
    address = (server.base_url.host, server.base_url.port)
    with closing(http.client.HTTPConnection(*address, timeout=20)) as connection:
        for method in ("HEAD", "GET", "HEAD", "HEAD", "GET"):
            connection.request(method, "/healthz")
            body = connection.getresponse().read()
            assert body == (b"" if method == "HEAD" else b'{"status":"ok"}')


def test_a_stream_is_not_begun(server: httpx2.Client) -> None:
    stream = {"accept": "text/event-stream"}

    head = server.head("/v1/events", headers=stream)

    assert head.status_code == 200
    assert head.headers["content-type"].startswith("text/event-stream")
    wait_until(lambda: "\ndescend_event_streams 0" in server.get("/metrics").text)


def test_it_is_counted_as_what_it_is(server: httpx2.Client) -> None:
    server.head("/v1/limits")

    counted = 'descend_http_requests_total{method="HEAD",route="/v1/limits",status="200"} 1'
    assert counted in server.get("/metrics").text


def test_where_get_is_refused_head_is(client: TestClient) -> None:
    absent, wrong = client.head(f"/v1/jobs/{new_id('job')}"), client.head("/v1/plans")

    assert (absent.status_code, absent.content) == (404, b"")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
