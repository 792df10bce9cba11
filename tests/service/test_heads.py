"""HEAD is what GET is answered, without its body."""

import http.client
from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest
from starlette.testclient import TestClient

from descend.ids import new_id
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
