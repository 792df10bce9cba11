from pathlib import Path

import pytest
from starlette.testclient import TestClient

from descend.ids import new_id
from service.app import create_app
from service.security import is_loopback, read_key
from service.settings import ServiceSettings

KEY = "dsc_1_" + "s" * 32


@pytest.fixture
def keyed(settings: ServiceSettings, tmp_path: Path) -> TestClient:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    return TestClient(create_app(settings.model_copy(update={"api_key_file": file})))


def test_the_key_opens_the_door(keyed: TestClient) -> None:
    response = keyed.get("/v1/jobs", headers={"authorization": f"Bearer {KEY}"})

    assert response.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": KEY},
        {"authorization": f"Basic {KEY}"},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer \xff"},
    ],
)
def test_nothing_else_does(keyed: TestClient, headers: dict[str, str]) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}

    response = keyed.get("/v1/jobs", headers=encoded)

    assert response.status_code == 401
    assert response.json()["code"] == "unauthorized"
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_every_route_of_v1_and_v2_is_locked_and_nothing_else_is(keyed: TestClient) -> None:
    document = keyed.get("/openapi.json").json()

    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            place = path
            for kind, prefix in (("dataset", "ds"), ("job", "job"), ("model", "mdl")):
                place = place.replace(f"{{{kind}_id}}", new_id(prefix))  # type: ignore[arg-type]
            status = keyed.request(method, place).status_code
            locked = path.startswith(("/v1/", "/v2"))
            assert (status == 401) == locked == bool(operation.get("security")), path


def test_a_large_body_is_not_read_before_the_key_is_seen(keyed: TestClient) -> None:
    response = keyed.post("/v1/jobs", content=b" " * (17 * 2**20))

    assert response.status_code == 401


def test_without_a_key_the_document_asks_for_none(client: TestClient) -> None:
    document = client.get("/openapi.json").json()

    assert "securitySchemes" not in document["components"]


@pytest.mark.parametrize("text", ["", "secret", "dsc_1_short", "dsc_a b_" + "s" * 32])
def test_a_file_without_a_key_is_refused_at_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)

    with pytest.raises(ValueError, match="dsc_<id>_<secret>"):
        read_key(tmp_path / "key")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
    ],
)
def test_only_this_machine_reaches_a_loopback_address(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    "path", ["/healthz", "/v1/jobs", "/v1/jobs/x", "/nowhere", "/openapi.json"]
)
def test_every_answer_has_an_id_and_tells_browsers_to_be_careful(
    client: TestClient, path: str
) -> None:
    headers = client.get(path).headers

    assert len(headers["x-request-id"]) == 24
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"


def test_a_harmless_request_id_is_kept(client: TestClient) -> None:
    kept = client.get("/v1/jobs/x", headers={"x-request-id": "abc-1"})
    made = client.get("/v1/jobs/x", headers={"x-request-id": "<script>"})

    assert kept.headers["x-request-id"] == kept.json()["request_id"] == "abc-1"
    assert made.headers["x-request-id"] != "<script>"


def test_no_route_and_no_method_are_problems_too(client: TestClient) -> None:
    nowhere = client.get("/v1/nothing")
    wrong = client.put("/v1/jobs")

    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert sorted(wrong.headers["allow"].split(", ")) == ["GET", "HEAD", "POST"]
    one = client.put("/v1/jobs/x")
    assert sorted(one.headers["allow"].split(", ")) == ["DELETE", "GET", "HEAD"]
