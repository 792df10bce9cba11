"""DNS rebinding: a page whose name resolves to this machine does not reach a keyless server."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import ServiceSettings


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8000", "LocalHost:65535", "localhost:"),
        *("127.0.0.1", "127.0.0.1:1", "127.1.2.3:8000"),
        *("[::1]", "[::1]:8000"),
    ],
)
def test_without_a_key_every_name_of_this_machine_is_answered(app: FastAPI, host: str) -> None:
    response = TestClient(app).get("/v1/jobs", headers={"host": host})

    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/v1/jobs", "/healthz", "/openapi.json", "/nowhere"])
@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "testserver", "", "::1"),
        *(
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.localhost",
            "localhost:8000.evil",
        ),
        *(
            "localhost@evil.example",
            "127.0.0.1:8000:8000",
            "127.0.0.1 evil.example",
            "localhost:123456",
        ),
        *("10.0.0.1", "0.0.0.0", "[::]", "[::ffff:7f00:1]"),  # noqa: S104
    ],
)
def test_without_a_key_every_other_name_is_refused(app: FastAPI, path: str, host: str) -> None:
    response = TestClient(app).get(path, headers={"host": host})

    assert (response.status_code, response.json()["code"]) == (421, "wrong_host")
    assert "localhost" in response.json()["detail"]
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert response.headers["connection"] == "close"


def test_a_write_under_another_name_writes_nothing(client: TestClient) -> None:
    body = {"dataset": {"X": [[1.0], [2.0]], "y": [1.0, 2.0]}}

    refused = client.post("/v1/jobs", json=body, headers={"host": "evil.example"})

    assert refused.status_code == 421
    assert client.get("/v1/jobs").json()["data"] == []


def test_a_second_host_is_refused(app: FastAPI) -> None:
    local = TestClient(app)
    request = local.build_request("GET", "/v1/jobs")
    request.headers = type(request.headers)([("host", "localhost"), ("host", "evil.example")])

    assert local.send(request).status_code == 421


def test_with_a_key_any_name_will_do(settings: ServiceSettings, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("dsc_1_" + "s" * 32)
    keyed = create_app(settings.model_copy(update={"api_key_file": tmp_path / "key"}))
    headers = {"host": "descend.example", "authorization": "Bearer dsc_1_" + "s" * 32}

    assert TestClient(keyed).get("/v1/jobs", headers=headers).status_code == 200
