import threading
import time
from typing import Any, ClassVar

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from descend.ids import new_id
from descend.limits import Limits
from service.app import create_app
from service.settings import ServiceSettings
from storage.database import Database
from tests.service.conftest import LOCAL, NOTEBOOK, Finish, wait_until


def test_a_job_with_its_data_is_queued(client: TestClient) -> None:
    body = {
        "dataset": NOTEBOOK,
        "name": "lesson",
        "metadata": {"course": "one"},
        "hyperparameters": {"learning_rate": 0.01, "max_epochs": 10, "seed": 3},
    }

    response = client.post("/v1/jobs", json=body)

    assert response.status_code == 202, response.text
    job = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}" == job["urls"]["self"]
    assert job["state"] == "queued"
    assert job["queue_position"] == 1
    assert job["seed"] == 3
    assert job["spec"]["dataset"] == job["dataset_id"]
    assert job["resolved_hyperparameters"]["momentum"] == 0.0
    assert [step["state"] for step in job["transitions"]] == ["queued"]
    assert client.get(f"/v1/datasets/{job['dataset_id']}").json()["n_rows"] == 3
    assert client.get(response.headers["location"]).json() == job


def test_a_job_names_an_uploaded_dataset(client: TestClient) -> None:
    table = {"columns": {"hours": [1, 2, 3], "price": [2, 4, 6]}}
    dataset_id = client.post("/v1/datasets", json=table).json()["id"]

    response = client.post("/v1/jobs", json={"dataset": dataset_id, "target": "price"})

    assert response.status_code == 202, response.text
    assert response.json()["dataset_id"] == dataset_id


def test_a_job_on_no_dataset_is_404(client: TestClient) -> None:
    response = client.post("/v1/jobs", json={"dataset": new_id("ds")})

    assert response.status_code == 404
    assert response.json()["code"] == "dataset_not_found"


def test_a_job_that_does_not_fit_its_columns_stores_nothing(client: TestClient) -> None:
    response = client.post("/v1/jobs", json={"dataset": NOTEBOOK, "target": "z"})

    assert response.status_code == 422
    assert response.json()["param"] == "target"
    assert client.get("/v1/jobs").json()["data"] == []
    assert client.get("/v1/datasets").json()["data"] == []


def test_a_seed_is_drawn_where_none_is_given(client: TestClient) -> None:
    seeds = {client.post("/v1/jobs", json={"dataset": NOTEBOOK}).json()["seed"] for _ in range(3)}

    assert len(seeds) == 3


class TestIdempotency:
    KEY: ClassVar = {"idempotency-key": "once"}

    def test_the_same_request_returns_the_same_job(self, client: TestClient) -> None:
        first = client.post("/v1/jobs", json={"dataset": NOTEBOOK}, headers=self.KEY)
        second = client.post("/v1/jobs", json={"dataset": NOTEBOOK}, headers=self.KEY)

        assert second.status_code == 202
        assert first.json() == second.json()
        assert len(client.get("/v1/datasets").json()["data"]) == 1

    def test_a_repeated_request_outlives_its_dataset(self, client: TestClient) -> None:
        dataset_id = client.post("/v1/datasets", json=NOTEBOOK).json()["id"]
        first = client.post("/v1/jobs", json={"dataset": dataset_id}, headers=self.KEY).json()
        client.post(f"/v1/jobs/{first['id']}/cancel")
        assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 204

        again = client.post("/v1/jobs", json={"dataset": dataset_id}, headers=self.KEY)

        assert again.status_code == 200
        assert again.json()["id"] == first["id"]

    def test_another_body_is_refused(self, client: TestClient) -> None:
        client.post("/v1/jobs", json={"dataset": NOTEBOOK}, headers=self.KEY)

        other = client.post("/v1/jobs", json={"dataset": NOTEBOOK, "priority": 1}, headers=self.KEY)

        assert other.status_code == 422
        assert other.json()["code"] == "idempotency_key_reused"

    @pytest.mark.parametrize("key", ["", "a b", "k" * 256, "\x7f"])
    def test_a_key_is_255_visible_characters_at_most(self, client: TestClient, key: str) -> None:
        response = client.post(
            "/v1/jobs", json={"dataset": NOTEBOOK}, headers={"idempotency-key": key}
        )

        assert response.status_code == 422
        assert response.json()["param"] == "idempotency-key"


def test_the_queue_has_an_end(settings: ServiceSettings) -> None:
    tight = settings.model_copy(update={"limits": Limits(queued_jobs=2)})
    with TestClient(create_app(tight), base_url=LOCAL) as client:
        answers = [client.post("/v1/jobs", json={"dataset": NOTEBOOK}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [202, 202, 503]
    assert answers[2].json()["code"] == "queue_full"
    assert int(answers[2].headers["retry-after"]) >= 1


def test_lists_are_filtered(client: TestClient) -> None:
    def submit(**fields: Any) -> str:
        job_id: str = client.post("/v1/jobs", json={"dataset": NOTEBOOK, **fields}).json()["id"]
        return job_id

    a = submit(name="first run", metadata={"who": "ada", "n": "1"})
    b = submit(name="second run", metadata={"who": "bob"})
    client.post(f"/v1/jobs/{b}/cancel")

    def listed(**query: str) -> list[str]:
        response = client.get("/v1/jobs", params=query)
        assert response.status_code == 200, response.text
        return [job["id"] for job in response.json()["data"]]

    assert listed() == [b, a]
    assert listed(state="cancelled") == [b]
    assert listed(q="first") == [a]
    assert listed(**{"metadata[who]": "ada"}) == [a]
    assert listed(**{"metadata[who]": "bob", "metadata[n]": "1"}) == []
    dataset_id = client.get(f"/v1/jobs/{a}").json()["dataset_id"]
    assert listed(dataset=dataset_id) == [a]
    assert listed(limit="1") == [b]
    assert listed(after=b) == [a]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "ten"},
        {"limit": "9" * 4000},
        {"state": "done"},
        {"after": "job_1"},
        {"dataset": "x"},
        {"q": "a\0b"},
        {"q": ""},
        {"sort": "name"},
        {"metadata": "x"},
        {"metadata[]": "x"},
        {"metadata[a": "x"},
        {"metadata[a\0]": "x"},
    ],
)
def test_a_filter_that_is_unknown_or_wrong_is_refused(
    client: TestClient, query: dict[str, str]
) -> None:
    response = client.get("/v1/jobs", params=query)

    assert response.status_code == 422, response.text
    assert response.json()["param"].startswith(next(iter(query))[:8])


def test_a_parameter_that_is_given_twice_is_refused(client: TestClient) -> None:
    assert client.get("/v1/jobs?limit=1&limit=2").status_code == 422


@pytest.mark.parametrize("path", ["/v1/jobs/x", "/v1/jobs/job_%00", f"/v1/jobs/job_{32 * '0'}"])
def test_what_is_not_there_is_404(client: TestClient, path: str) -> None:
    for response in (client.get(path), client.post(f"{path}/cancel"), client.delete(path)):
        assert response.status_code == 404
        assert response.json()["code"] == "job_not_found"


def test_cancelling_twice_is_cancelling_once(client: TestClient, job_id: str) -> None:
    first = client.post(f"/v1/jobs/{job_id}/cancel")
    second = client.post(f"/v1/jobs/{job_id}/cancel")

    assert first.status_code == second.status_code == 200
    assert first.json()["state"] == "cancelled"
    assert first.json() == second.json()


def test_cancelling_a_running_job_is_an_intent(
    client: TestClient, job_id: str, database: Database
) -> None:
    with database.begin() as tx:
        tx.jobs.claim("wrk_test", 1, queues=["cpu"], lease_seconds=30)

    job = client.post(f"/v1/jobs/{job_id}/cancel").json()

    assert (job["state"], job["intent"]) == ("running", "cancel")


def test_only_a_job_that_has_ended_is_deleted(
    client: TestClient, job_id: str, finish: Finish
) -> None:
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 409
    finish()
    model_id = client.get(f"/v1/jobs/{job_id}").json()["model_id"]

    assert client.delete(f"/v1/jobs/{job_id}").status_code == 204

    assert client.get(f"/v1/jobs/{job_id}").status_code == 404
    assert client.get(f"/v1/models/{model_id}").status_code == 200


class TestWaiting:
    def test_a_job_that_ends_in_time_is_answered_with_200(
        self, client: TestClient, finish: Finish, database: Database
    ) -> None:
        worker = threading.Thread(target=lambda: (wait_until(lambda: queued(database)), finish()))
        worker.start()

        response = client.post("/v1/jobs?wait=20", json={"dataset": NOTEBOOK})

        worker.join()
        assert response.status_code == 200
        assert response.json()["state"] == "succeeded"

    def test_a_job_that_does_not_is_answered_with_202(self, client: TestClient) -> None:
        start = time.monotonic()

        response = client.post("/v1/jobs?wait=0.3", json={"dataset": NOTEBOOK})

        assert response.status_code == 202
        assert time.monotonic() - start >= 0.3

    def test_reading_waits_too(self, client: TestClient, job_id: str, finish: Finish) -> None:
        worker = threading.Thread(target=finish)
        worker.start()

        response = client.get(f"/v1/jobs/{job_id}?wait=20")

        worker.join()
        assert response.json()["state"] == "succeeded"

    def test_a_job_that_is_deleted_meanwhile_is_404(
        self, client: TestClient, job_id: str, app: FastAPI
    ) -> None:
        client.post(f"/v1/jobs/{job_id}/cancel")

        assert client.get(f"/v1/jobs/{job_id}?wait=20").status_code == 200

    @pytest.mark.parametrize("wait", ["-1", "61", "nan", "inf", "1e999", "soon"])
    def test_the_time_is_bounded(self, client: TestClient, job_id: str, wait: str) -> None:
        response = client.get(f"/v1/jobs/{job_id}", params={"wait": wait})

        assert response.status_code == 422
        assert response.json()["param"] == "wait"

    def test_only_so_many_may_wait(self, settings: ServiceSettings) -> None:
        app = create_app(settings.model_copy(update={"most_waiting": 1}))
        with TestClient(app, base_url=LOCAL) as client:
            job_id = client.post("/v1/jobs", json={"dataset": NOTEBOOK}).json()["id"]
            first = threading.Thread(target=client.get, args=[f"/v1/jobs/{job_id}?wait=20"])
            first.start()
            wait_until(lambda: app.state.parts.watcher.waiting == 1)

            refused = client.get(f"/v1/jobs/{job_id}?wait=20")
            client.post(f"/v1/jobs/{job_id}/cancel")
            first.join()

        assert refused.status_code == 503
        assert "retry-after" in refused.headers


def queued(database: Database) -> bool:
    with database.read() as tx:
        return tx.jobs.has_queued(["cpu"])
