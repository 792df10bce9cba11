"""What an API process does beside its requests."""

import os
import time
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.doorbell import Doorbell
from service.settings import ServiceSettings
from storage.artefacts import LocalArtefacts
from storage.database import Database
from tests.service.conftest import LOCAL, NOTEBOOK, wait_until


class HeardDoorbell(Doorbell):
    """A bell without a broker that remembers who was rung for."""

    def __init__(self) -> None:
        super().__init__("")
        self.heard: list[str] = []

    def ring(self, queue: str) -> None:
        self.heard.append(queue)


@pytest.fixture
def doorbell() -> HeardDoorbell:
    return HeardDoorbell()


@pytest.fixture
def client(settings: ServiceSettings, doorbell: HeardDoorbell) -> Iterator[TestClient]:
    quick = settings.model_copy(update={"reconcile_seconds": 0.05})
    with TestClient(create_app(quick, doorbell=doorbell), base_url=LOCAL) as connected:
        yield connected


def test_a_lost_lease_is_given_back_and_rung(
    client: TestClient, doorbell: HeardDoorbell, database: Database
) -> None:
    job_id = client.post("/v1/jobs", json={"dataset": NOTEBOOK}).json()["id"]
    with database.begin() as tx:
        tx.jobs.claim("wrk_lost", 1, queues=["cpu"], lease_seconds=0.05)
    doorbell.heard.clear()

    wait_until(lambda: client.get(f"/v1/jobs/{job_id}").json()["state"] == "queued")
    wait_until(lambda: "cpu" in doorbell.heard)
    transitions = client.get(f"/v1/jobs/{job_id}").json()["transitions"]
    assert [t["state"] for t in transitions] == ["queued", "running", "queued"]


def test_a_bell_that_nobody_heard_is_rung_again(
    client: TestClient, doorbell: HeardDoorbell
) -> None:
    client.post("/v1/jobs", json={"dataset": NOTEBOOK})
    assert doorbell.heard == ["cpu"]

    wait_until(lambda: len(doorbell.heard) > 1)


def test_what_killed_uploads_left_is_deleted_after_a_day(settings: ServiceSettings) -> None:
    artefacts = LocalArtefacts(settings.artefacts)
    for key in ("datasets/old.arrow", "datasets/new.arrow"):
        artefacts.put(key, b"bytes")
    for name in ("old", "new"):
        (settings.data / "uploads" / name).mkdir(parents=True)
    two_days_ago = time.time() - 2 * 24 * 3600
    for path in (artefacts.path("datasets/old.arrow"), settings.data / "uploads" / "old"):
        os.utime(path, (two_days_ago, two_days_ago))

    quick = settings.model_copy(update={"reconcile_seconds": 0.05})
    with TestClient(create_app(quick)):
        wait_until(lambda: not artefacts.exists("datasets/old.arrow"))
        wait_until(lambda: not (settings.data / "uploads" / "old").exists())

    assert artefacts.exists("datasets/new.arrow")
    assert (settings.data / "uploads" / "new").exists()
