"""What an API process does beside its requests."""

import os
import resource
import subprocess
import time
from collections.abc import Iterator

import pytest
import structlog
from sqlalchemy import text
from starlette.testclient import TestClient

from service.app import create_app
from service.doorbell import Doorbell
from service.settings import ServiceSettings
from storage.artefacts import LocalArtefacts
from storage.database import Database
from storage.shrinking import KEPT_PAGES
from tests.service.conftest import LOCAL, NOTEBOOK, process_serving, wait_until


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


def test_a_tick_that_fails_unexpectedly_is_logged_and_followed_by_the_next(
    client: TestClient, doorbell: HeardDoorbell, database: Database
) -> None:
    client.post("/v1/jobs", json={"dataset": NOTEBOOK})
    wait_until(lambda: len(doorbell.heard) > 1)

    with structlog.testing.capture_logs() as logs:
        with database.begin() as tx:
            tx.connection.execute(text("ALTER TABLE jobs RENAME COLUMN queue TO line"))
        wait_until(lambda: "unexpected" in [told.get("reason") for told in logs])
    with database.begin() as tx:
        tx.connection.execute(text("ALTER TABLE jobs RENAME COLUMN line TO queue"))
    doorbell.heard.clear()

    wait_until(lambda: doorbell.heard != [])


def test_leases_are_given_back_once_a_full_disk_has_room_again(
    settings: ServiceSettings, database: Database
) -> None:
    often = {"DESCEND_RECONCILE_SECONDS": "0.05"}
    with process_serving(settings, stderr=subprocess.PIPE, **often) as (client, process):
        job_id = client.post("/v1/jobs", json={"dataset": NOTEBOOK}).json()["id"]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        with database.begin() as tx:
            tx.jobs.claim("wrk_lost", 1, queues=["cpu"], lease_seconds=0.05)

        assert b"the database's disk is full" in next_failure(process)
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)

        wait_until(lambda: client.get(f"/v1/jobs/{job_id}").json()["state"] == "queued")


def next_failure(process: subprocess.Popen[bytes]) -> bytes:
    """Read a server's log up to a failed tick, or to a dead thread's last words."""
    assert process.stderr is not None
    told = (b"reconcile_failed", b"Exception in thread")
    return next(line for line in process.stderr if any(word in line for word in told))


def test_what_deletions_leave_of_the_file_goes_back_to_the_disk_unasked(
    settings: ServiceSettings, database: Database
) -> None:
    with database.begin() as tx:
        tx.connection.execute(text("CREATE TABLE junk (bytes BLOB)"))
        tx.connection.execute(text("INSERT INTO junk VALUES (randomblob(8000000))"))
    with database.begin() as tx:
        tx.connection.execute(text("DROP TABLE junk"))

    def free_pages() -> int:
        with database.read() as tx:
            return int(tx.connection.execute(text("PRAGMA freelist_count")).scalar_one())

    assert free_pages() > 1900
    quick = settings.model_copy(update={"reconcile_seconds": 0.05})
    with TestClient(create_app(quick)):
        wait_until(lambda: free_pages() <= KEPT_PAGES)


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
