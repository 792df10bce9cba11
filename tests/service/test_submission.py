"""What a request's data leaves on the disk: a file beside its row, or nothing."""

import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from descend.ids import new_id
from descend.limits import Limits
from service.app import create_app
from service.settings import ServiceSettings
from storage.database import Database
from storage.group_sync import GroupSync
from tests.service.conftest import LOCAL, process_serving, wait_until

ROWS = 30_000  # 480 kB: more than a row takes
LARGE = {"X": [[float(i)] for i in range(ROWS)], "y": [1.0] * ROWS}
CSV = {"content-type": "text/csv"}


def files(settings: ServiceSettings) -> list[Path]:
    return [path for path in settings.artefacts.rglob("*") if path.is_file()]


def test_large_data_becomes_a_file_that_its_row_names(
    client: TestClient, settings: ServiceSettings, database: Database
) -> None:
    job = client.post("/v1/jobs", json={"dataset": LARGE}).json()

    with database.read() as tx:
        stored = tx.datasets.stored(job["dataset_id"])
    assert files(settings) == [settings.artefacts / str(stored.artefact)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": "z"},
        {"hyperparameters": {"validation_dataset": new_id("ds")}},
        {"hyperparameters": {"init": new_id("job")}},  # found out in the transaction
    ],
)
def test_a_refused_job_leaves_no_file(
    client: TestClient, settings: ServiceSettings, wrong: dict[str, Any]
) -> None:
    response = client.post("/v1/jobs", json={"dataset": LARGE} | wrong)

    assert response.status_code in {404, 422}
    assert files(settings) == []


def test_a_job_for_a_full_queue_leaves_no_file(settings: ServiceSettings) -> None:
    tight = settings.model_copy(update={"limits": Limits(queued_jobs=1)})
    with TestClient(create_app(tight), base_url=LOCAL) as client:
        answers = [client.post("/v1/jobs", json={"dataset": LARGE}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [202, 503, 503]
    assert len(files(settings)) == 1


def test_a_request_sent_twice_at_the_same_time_leaves_one_file(
    client: TestClient, settings: ServiceSettings, database: Database
) -> None:
    def post() -> str:
        headers = {"idempotency-key": "once"}
        job_id: str = client.post("/v1/jobs", json={"dataset": LARGE}, headers=headers).json()["id"]
        return job_id

    # Both have written their file before one of them has its row.
    with ThreadPoolExecutor(2) as threads, database.begin():
        both = [threads.submit(post) for _ in range(2)]
        wait_until(lambda: len(files(settings)) == 2)

    assert both[0].result() == both[1].result()
    assert len(files(settings)) == 1


def test_an_upload_that_gets_no_row_leaves_no_file(
    client: TestClient, settings: ServiceSettings, database: Database
) -> None:
    lines = "\n".join(["a,b", *(f"{i},{i * 0.5}" for i in range(40_000))])

    with database.begin():  # for longer than the request waits
        response = client.post("/v1/datasets", content=lines, headers=CSV)

    assert response.status_code == 503
    assert files(settings) == []


def test_a_row_whose_commit_was_told_as_failed_keeps_its_file(
    app: FastAPI, client: TestClient, settings: ServiceSettings, tmp_path: Path
) -> None:
    (tmp_path / "loop.db-wal").symlink_to("loop.db-wal")  # a log that cannot be opened
    app.state.parts.database._sync = GroupSync(tmp_path / "loop.db")

    response = client.post("/v1/jobs", json={"dataset": LARGE})

    assert response.status_code == 503
    (job,) = client.get("/v1/jobs").json()["data"]
    assert files(settings) == [settings.artefacts / "datasets" / f"{job['dataset_id']}.arrow"]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/datasets"])
def test_data_that_finds_no_room_is_507_and_leaves_nothing(
    settings: ServiceSettings, tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    temporary = tmp_path_factory.mktemp("tmp")
    with process_serving(settings, TMPDIR=str(temporary)) as (client, process):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))

        response = client.post(path, json={"dataset": LARGE} if path == "/v1/jobs" else LARGE)

        assert response.status_code == 507, response.text
        assert response.json()["code"] == "storage_full"
        assert files(settings) == list(temporary.iterdir()) == []
