"""A job that has ended is tried again, as it was or with changes."""

from starlette.testclient import TestClient

from tests.service.conftest import NOTEBOOK, Finish

SPEC = {
    "dataset": NOTEBOOK,
    "name": "first",
    "hyperparameters": {"learning_rate": 0.5, "max_epochs": 7, "tol": 0},
}


def ended(client: TestClient, finish: Finish) -> dict[str, object]:
    job_id = client.post("/v1/jobs", json=SPEC).json()["id"]
    finish()
    found: dict[str, object] = client.get(f"/v1/jobs/{job_id}").json()
    return found


def test_without_a_body_it_is_the_same_job_once_more(client: TestClient, finish: Finish) -> None:
    parent = ended(client, finish)

    response = client.post(f"/v1/jobs/{parent['id']}/retry")

    again = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/jobs/{again['id']}"
    assert again["parent_id"] == parent["id"] != again["id"]
    assert again["state"] == "queued"
    for same in ("spec", "seed", "dataset_id", "name", "resolved_hyperparameters"):
        assert again[same] == parent[same]
    assert client.get(f"/v1/jobs/{again['id']}").json() == again


def test_changes_are_merged_into_the_spec(client: TestClient, finish: Finish) -> None:
    parent = ended(client, finish)

    changes = {"name": None, "hyperparameters": {"learning_rate": 0.354, "max_epochs": None}}
    again = client.post(f"/v1/jobs/{parent['id']}/retry", json=changes).json()

    assert again["name"] is None
    assert again["spec"]["hyperparameters"]["learning_rate"] == 0.354
    assert again["spec"]["hyperparameters"]["tol"] == 0
    assert again["progress"]["max_epochs"] == 1000


def test_what_comes_out_is_checked_as_any_spec(client: TestClient, finish: Finish) -> None:
    parent = ended(client, finish)

    for changes, param in (
        ({"hyperparameters": {"learning_rate": -1}}, "hyperparameters.learning_rate"),
        ({"hyperparameters": {"rate": 1}}, "hyperparameters.rate"),
        ({"optimizer": "adam"}, "optimizer"),
        ({"features": ["absent"]}, "features"),
        ({"hyperparameters": 7}, "hyperparameters"),
    ):
        response = client.post(f"/v1/jobs/{parent['id']}/retry", json=changes)
        assert response.status_code == 422
        assert response.json()["param"] == param


def test_before_its_end_a_job_is_not_tried_again(client: TestClient, job_id: str) -> None:
    response = client.post(f"/v1/jobs/{job_id}/retry")

    assert (response.status_code, response.json()["code"]) == (409, "wrong_state")
    assert client.post(f"/v1/jobs/job_{'0' * 32}/retry").status_code == 404


def test_the_same_key_makes_one_job(client: TestClient, finish: Finish) -> None:
    parent = ended(client, finish)
    url, key = f"/v1/jobs/{parent['id']}/retry", {"idempotency-key": "k"}

    first = client.post(url, headers=key)
    second = client.post(url, headers=key)
    other = client.post(url, headers=key, json={"name": "other"})

    assert first.json()["id"] == second.json()["id"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_body_that_is_no_json_is_refused(client: TestClient, finish: Finish) -> None:
    url = f"/v1/jobs/{ended(client, finish)['id']}/retry"

    assert client.post(url, content=b"{").status_code == 415
    json = {"content-type": "application/json"}
    assert client.post(url, content=b"{", headers=json).status_code == 400
    assert client.post(url, content=b"[]", headers=json).status_code == 422
