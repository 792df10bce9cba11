"""What /metrics says of the process, and that it always answers."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from service.app import create_app
from service.metrics import MEDIA_TYPE
from service.settings import ServiceSettings
from tests.service.conftest import LOCAL, NOTEBOOK, serving, wait_until

KEY = "dsc_ops_0123456789abcdef"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(client: TestClient) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == MEDIA_TYPE
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(client: TestClient, name: str, **labels: str) -> float:
    return scraped(client).get((name, tuple(sorted(labels.items()))), 0.0)


def requests(client: TestClient) -> Samples:
    return {key: n for key, n in scraped(client).items() if key[0] == "descend_http_requests_total"}


def test_requests_are_counted_by_the_template_of_their_route(client: TestClient) -> None:
    job_id = client.post("/v1/jobs", json={"dataset": NOTEBOOK}).json()["id"]
    client.get(f"/v1/jobs/{job_id}")
    client.get("/v1/jobs/job_nothing")

    counted = {
        (labels["method"], labels["route"], labels["status"]): n
        for labels, n in ((dict(key[1]), n) for key, n in requests(client).items())
    }
    assert counted["POST", "/v1/jobs", "202"] == 1
    assert counted["GET", "/v1/jobs/{job_id}", "200"] == 1
    assert counted["GET", "/v1/jobs/{job_id}", "404"] == 1


def test_what_strangers_ask_for_makes_no_series(client: TestClient) -> None:
    def ask(place: int) -> None:
        client.get(f"/nothing/{place}")
        client.get(f"/v1/jobs/{place}")
        client.request(f"BREW{place}", "/v1/jobs")
        client.get("/healthz", headers={"host": f"elsewhere{place}"})

    ask(0)
    client.get("/metrics")
    before = scraped(client)

    for place in range(1, 20):
        ask(place)

    assert set(scraped(client)) == set(before)


def test_refusals_are_counted_by_code(client: TestClient) -> None:
    client.post("/v1/jobs", json={"dataset": NOTEBOOK, "target": "nothing"})

    assert value(client, "descend_request_errors_total", code="invalid_input") == 1


def test_uploads_are_counted_with_their_bytes(client: TestClient) -> None:
    csv = {"content-type": "text/csv"}
    client.post("/v1/datasets", content=b"a,b\n1,2\n2,3\n", headers=csv)
    client.post("/v1/datasets", content=b"", headers=csv)

    # An upload is over after its answer has gone out.
    wait_until(lambda: value(client, "descend_uploads_total", outcome="stored") == 1)
    wait_until(lambda: value(client, "descend_uploads_total", outcome="refused") == 1)
    assert value(client, "descend_upload_bytes_total") == 12


def test_a_child_that_is_killed_is_counted(client: TestClient, app: FastAPI) -> None:
    csv = {"content": b"a,b\n1,2\n2,3\n", "headers": {"content-type": "text/csv"}}
    client.post("/v1/datasets", **csv)
    (child,) = app.state.parts.files._idle
    child.kill()
    child._process.wait()

    assert client.post("/v1/datasets", **csv).status_code == 201
    assert value(client, "descend_ingest_children_lost_total", cause="died") == 1


def test_writes_are_timed(client: TestClient) -> None:
    client.post("/v1/jobs", json={"dataset": NOTEBOOK})

    assert value(client, "descend_database_write_seconds_count") >= 1
    assert value(client, "descend_database_write_seconds_sum") > 0


def test_two_processes_say_the_same_of_the_fleet(
    client: TestClient, settings: ServiceSettings, finish: Callable[..., str]
) -> None:
    for _ in range(2):
        client.post("/v1/jobs", json={"dataset": NOTEBOOK})
    finish()

    with TestClient(create_app(settings), base_url=LOCAL) as other:
        here, there = scraped(client), scraped(other)

    changing = ("descend_queue_oldest_seconds", "descend_database_")
    names = ("descend_jobs", "descend_queue", "descend_claim", "descend_worker", "descend_epochs")
    fleet = {key for key in here if key[0].startswith(names) and not key[0].startswith(changing)}
    assert {key: here[key] for key in fleet} == {key: there[key] for key in fleet}
    assert here["descend_jobs", (("queue", "cpu"), ("state", "queued"))] == 1


def test_a_database_that_is_away_is_said_at_once_and_the_rest_is_shown(
    settings: ServiceSettings,
) -> None:
    away = "postgresql+psycopg://nobody@192.0.2.1:1/none"  # an address that never answers
    with serving(settings, DESCEND_DATABASE_URL=away) as client:
        client.get("/healthz")
        began = time.monotonic()
        answer = client.get("/metrics")
        took = time.monotonic() - began

    assert answer.status_code == 200
    assert took < 2
    assert "descend_database_up 0.0" in answer.text
    assert 'descend_http_requests_total{method="GET",route="/healthz",status="200"}' in answer.text
    assert "descend_jobs{" not in answer.text


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/healthz"])
def test_what_machines_watch_needs_no_key(
    settings: ServiceSettings, tmp_path: Path, path: str
) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    keyed = settings.model_copy(update={"api_key_file": key})

    with TestClient(create_app(keyed), base_url=LOCAL) as client:
        assert client.get(path).status_code == 200
        assert client.get("/v1/jobs").status_code == 401
