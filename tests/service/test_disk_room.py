"""Below the line nothing is taken, and a full disk is 507 wherever it is noticed."""

import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from descend.hyperparameters import Hyperparameters
from descend.limits import Limits
from service.disk_room import DiskRoom, room_of
from service.settings import ServiceSettings
from storage.database import Database
from storage.history import BYTES_PER_EPOCH, estimated_bytes
from tests.servers import process_tree
from tests.service.conftest import (
    LOCAL,
    NOTEBOOK,
    model_trained_on,
    process_serving,
    store_model,
)

LEAST_FREE_BYTES = Limits().free_bytes
CSV = {"content-type": "text/csv"}
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
LONG = {"max_epochs": 10_000_000}


class Disk(DiskRoom):
    """A disk of which the test says how much is free."""

    free = 100 * LEAST_FREE_BYTES

    def free_bytes(self) -> int:
        return self.free


@pytest.fixture
def disk(app: FastAPI, settings: ServiceSettings, database: Database) -> Disk:
    room = room_of(settings, database)
    made = Disk(room._folders, room._least, room._read_promised)
    app.state.parts = replace(app.state.parts, disk=made)
    return made


@pytest.fixture
def client(app: FastAPI, disk: Disk) -> Iterator[TestClient]:
    with TestClient(app, base_url=LOCAL) as connected:
        yield connected


def test_below_the_line_nothing_is_taken_and_everything_can_be_deleted(
    client: TestClient, disk: Disk
) -> None:
    dataset = client.post("/v1/datasets", content="x,y\n1,2\n2,3\n3,5\n", headers=CSV).json()["id"]
    job = client.post("/v1/jobs", json={"dataset": NOTEBOOK}).json()["id"]

    disk.free = LEAST_FREE_BYTES - 1
    of_job = {"dataset": dataset, "target": "y"}
    refused = [
        client.post("/v1/datasets", content="x,y\n1,2\n", headers=CSV),
        client.post("/v1/datasets", json=NOTEBOOK),
        client.post(f"/v1/datasets/{dataset}/rows", content="x,y\n1,2\n", headers=CSV),
        client.post("/v1/jobs", json={"dataset": NOTEBOOK}),
        client.post("/v1/jobs", json=of_job),
        client.post("/v1/plans", json=of_job),
        client.post("/v1/gradients", json={**of_job, "hyperparameters": {"max_epochs": 1}}),
    ]
    ready = client.get("/readyz")
    cancelled = client.post(f"/v1/jobs/{job}/cancel")
    retried = client.post(f"/v1/jobs/{job}/retry")
    deleted = [client.delete(f"/v1/jobs/{job}"), client.delete(f"/v1/datasets/{dataset}")]

    assert {answer.status_code for answer in [*refused, retried]} == {507}
    assert {answer.json()["code"] for answer in refused} == {"storage_full"}
    assert "64 MiB are free" in refused[0].json()["detail"]
    assert "below 64 MiB nothing is taken" in refused[0].json()["detail"]
    assert ready.status_code == 503
    assert ready.json()["parts"]["storage"] == refused[0].json()["detail"]
    assert cancelled.json()["state"] == "cancelled"
    assert [answer.status_code for answer in deleted] == [204, 204]


def test_below_the_line_diagnostics_that_need_a_job_are_not_taken(
    client: TestClient, disk: Disk, database: Database
) -> None:
    dataset = client.post("/v1/datasets", json=NOTEBOOK).json()["id"]
    path = f"/v1/models/{store_model(database, model_trained_on(dataset))}/diagnostics?wait=0"

    disk.free = LEAST_FREE_BYTES - 1
    below = client.get(path)
    disk.free = LEAST_FREE_BYTES
    above = client.get(path)

    assert (below.status_code, below.json()["code"]) == (507, "storage_full")
    assert above.status_code == 202


def test_at_the_line_all_is_taken(client: TestClient, disk: Disk) -> None:
    disk.free = LEAST_FREE_BYTES + BYTES_PER_EPOCH * 1000

    assert client.post("/v1/datasets", json=NOTEBOOK).status_code == 201
    assert client.post("/v1/jobs", json={"dataset": NOTEBOOK}).status_code == 202


def test_a_history_that_cannot_fit_is_refused_by_its_field(client: TestClient, disk: Disk) -> None:
    disk.free = LEAST_FREE_BYTES + 100 * 2**20

    long = client.post("/v1/jobs", json={"dataset": NOTEBOOK, "hyperparameters": LONG})
    exact = client.post(
        "/v1/jobs", json={"dataset": NOTEBOOK, "hyperparameters": {"optimizer": "exact"}}
    )

    assert long.status_code == 507
    assert long.json()["param"] == "hyperparameters.max_epochs"
    assert "229 MiB" in long.json()["detail"]
    assert "100 MiB are left" in long.json()["detail"]
    assert exact.status_code == 202


def test_histories_that_others_may_still_write_are_counted(client: TestClient, disk: Disk) -> None:
    disk.free = LEAST_FREE_BYTES + 250 * 2**20
    body = {"dataset": NOTEBOOK, "hyperparameters": LONG}

    first, second = (client.post("/v1/jobs", json=body) for _ in range(2))
    client.post(f"/v1/jobs/{first.json()['id']}/cancel")
    disk._until = 0.0  # a second later
    third = client.post("/v1/jobs", json=body)

    assert [first.status_code, second.status_code, third.status_code] == [202, 507, 202]


def test_what_waits_is_read_from_the_rows(client: TestClient, disk: Disk) -> None:
    client.post("/v1/jobs", json={"dataset": NOTEBOOK, "hyperparameters": LONG})
    assert disk._read_promised is not None

    assert disk._read_promised() == BYTES_PER_EPOCH * LONG["max_epochs"]


def test_an_estimate_is_eight_bytes_for_each_number_that_changes() -> None:
    def of(**more: object) -> float:
        return estimated_bytes(Hyperparameters(max_epochs=100, **more)) / 100  # type: ignore[arg-type]

    assert of() == 24
    assert of(validation_fraction=0.2) == 32
    assert of(batch_size=10) == 24
    assert estimated_bytes(Hyperparameters(optimizer="exact")) == 24


def test_histories_on_another_machine_are_not_ours_to_count(
    settings: ServiceSettings, postgresql_url: str
) -> None:
    database = Database(postgresql_url)

    room = room_of(settings, database)
    room.check_history(Hyperparameters(max_epochs=10_000_000))

    assert room._folders == (settings.artefacts,)
    database.close()


def test_the_fuller_of_two_disks_decides(tmp_path: Path) -> None:
    there = DiskRoom([tmp_path, Path("/proc")], 0)

    assert there.free_bytes() == 0
    assert DiskRoom([tmp_path / "not" / "there" / "yet"], 0).free_bytes() > 0


def test_an_upload_that_meets_a_full_disk_is_507_wherever_it_meets_it(
    settings: ServiceSettings,
) -> None:
    """The body's file, the reader's, the canonical file, the row; with limits on files' sizes."""
    table = "x,y\n" + "".join(f"{i},{i % 7}.25\n" for i in range(150_000))
    small = "x,y\n1,2\n2,3\n3,5\n"
    with process_serving(settings) as (client, process):
        warm = client.post("/v1/datasets", content=table, headers=CSV)
        seen = []
        for limit in (1, 5_000, 100_000, len(table) - 1, len(table) + 1):  # 2.4 MB are canonical
            for pid in (process.pid, *process_tree(process.pid)):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            seen += [client.post("/v1/datasets", content=table, headers=CSV)]
            seen += [client.post("/v1/datasets", content=small, headers=CSV)]
        for pid in (process.pid, *process_tree(process.pid)):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, UNLIMITED)
        after = client.post("/v1/datasets", content=table, headers=CSV)

    assert (warm.status_code, after.status_code) == (201, 201)
    assert {answer.status_code for answer in seen} <= {201, 507}
    assert [answer.status_code for answer in seen[::2]] == [507] * 5
    assert list((settings.data / "uploads").iterdir()) == []
