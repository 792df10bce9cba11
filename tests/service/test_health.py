from pathlib import Path

from starlette.testclient import TestClient

from descend.limits import MAX_EPOCHS
from service.app import create_app
from service.settings import ServiceSettings
from storage.database import Database
from tests.service.conftest import LOCAL


def test_the_process_answers(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/").json()["name"] == "descend"


def test_without_workers_it_is_degraded_and_says_why(client: TestClient) -> None:
    response = client.get("/readyz")

    assert response.status_code == 200
    body = response.json()
    assert body["status"] == "degraded"
    assert body["parts"]["database"] == body["parts"]["storage"] == "ok"
    assert "no broker" in body["parts"]["broker"]
    assert "no worker" in body["parts"]["workers"]


def test_a_worker_that_was_seen_counts(client: TestClient, database: Database) -> None:
    with database.begin() as tx:
        tx.workers.seen("wrk_test", "host", pid=1, queues=["cpu"])

    assert client.get("/readyz").json()["parts"]["workers"] == "ok"


def test_without_a_schema_it_is_not_ready(tmp_path: Path) -> None:
    with TestClient(create_app(ServiceSettings(data=tmp_path)), base_url=LOCAL) as client:
        response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["status"] == "not_ready"
    assert "storage.migrate" in response.json()["parts"]["database"]


def test_the_limits_are_told(client: TestClient) -> None:
    assert client.get("/v1/limits").json()["max_epochs"] == MAX_EPOCHS


def test_a_worker_without_room_is_no_worker_and_says_why(
    client: TestClient, database: Database
) -> None:
    with database.begin() as tx:
        tx.workers.seen("wrk_full", "host", pid=1, queues=["cpu"], stats={"no_room": True})
    nobody = client.get("/readyz").json()
    with database.begin() as tx:
        tx.workers.seen("wrk_other", "host", pid=2, queues=["cpu"], stats={"no_room": False})

    assert nobody["status"] == "degraded"
    assert "its disk is full" in nobody["parts"]["workers"]
    assert client.get("/readyz").json()["parts"]["workers"] == "ok"
