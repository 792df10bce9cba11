"""A job that has ended is tried again, as it was or with changes."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from descend import Client, JobSpec
from descend.hyperparameters import Cosine, Hyperparameters, InitialWeights
from service.settings import ServiceSettings
from tests.service.conftest import NOTEBOOK, Finish, serving

SPEC: dict[str, Any] = {
    "dataset": NOTEBOOK,
    "name": "first",
    "hyperparameters": {"learning_rate": 0.5, "max_epochs": 7, "tol": 0},
}


def ended(client: TestClient, finish: Finish, spec: dict[str, Any] = SPEC) -> dict[str, object]:
    job_id = client.post("/v1/jobs", json=spec).json()["id"]
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


PATCHED = {
    **SPEC,
    "metadata": {"course": "one", "note": "first"},
    "hyperparameters": {
        **SPEC["hyperparameters"],
        "seed": 7,
        "schedule": {"type": "step", "every": 3, "factor": 0.5},
    },
}


def test_objects_are_merged_at_every_depth(client: TestClient, finish: Finish) -> None:
    parent = ended(client, finish, PATCHED)

    changes = {
        "metadata": {"course": "two", "note": None, "by": "me"},
        "hyperparameters": {"schedule": {"every": 5}},
    }
    again = client.post(f"/v1/jobs/{parent['id']}/retry", json=changes).json()

    assert again["metadata"] == {"course": "two", "by": "me"}
    assert again["spec"]["metadata"] == {"course": "two", "by": "me"}
    schedule = {"type": "step", "every": 5, "factor": 0.5}
    assert again["spec"]["hyperparameters"]["schedule"] == schedule
    assert again["seed"] == 7


def test_null_takes_whole_objects_away(client: TestClient, finish: Finish) -> None:
    parent = ended(client, finish, PATCHED)

    changes = {"metadata": None, "hyperparameters": None}
    again = client.post(f"/v1/jobs/{parent['id']}/retry", json=changes).json()

    assert again["metadata"] == {}
    assert Hyperparameters(**again["spec"]["hyperparameters"]) == Hyperparameters()
    assert again["progress"]["max_epochs"] == 1000


@pytest.mark.parametrize("spec", [SPEC, PATCHED])
def test_a_seed_of_null_is_drawn_anew(
    client: TestClient, finish: Finish, spec: dict[str, Any]
) -> None:
    parent = ended(client, finish, spec)
    url = f"/v1/jobs/{parent['id']}/retry"

    drawn = client.post(url, json={"hyperparameters": {"seed": None}}).json()
    kept = client.post(url, json={"hyperparameters": {"tol": 0.5}}).json()

    assert drawn["seed"] != parent["seed"] == kept["seed"]
    assert drawn["spec"]["hyperparameters"]["seed"] is None
    assert drawn["resolved_hyperparameters"]["seed"] == drawn["seed"]


def test_what_was_null_in_the_spec_stays(client: TestClient, finish: Finish) -> None:
    spec = {**SPEC, "hyperparameters": {"optimizer": "exact", "learning_rate": None}}
    parent = ended(client, finish, spec)

    again = client.post(f"/v1/jobs/{parent['id']}/retry", json={"name": "again"}).json()

    assert again["spec"] == {**parent["spec"], "name": "again"}  # type: ignore[dict-item]
    assert again["spec"]["hyperparameters"]["learning_rate"] is None


def test_a_refused_change_is_named_where_it_stands(client: TestClient, finish: Finish) -> None:
    parent = ended(client, finish, PATCHED)

    for changes, param in (
        ({"metadata": 7}, "metadata"),
        ({"metadata": {"a": {"b": 1}}}, "metadata.a"),
        ({"dataset": None}, "dataset"),
        ({"hyperparameters": {"schedule": {"every": 0}}}, "hyperparameters.schedule.every"),
        ({"hyperparameters": {"schedule": {"type": "cosine"}}}, "hyperparameters.schedule.every"),
    ):
        response = client.post(f"/v1/jobs/{parent['id']}/retry", json=changes)
        assert response.status_code == 422
        assert response.json()["param"] == param


def test_a_schedule_that_python_gives_is_whole(settings: ServiceSettings, finish: Finish) -> None:
    with serving(settings) as server, Client(str(server.base_url)) as client:
        parent = client.submit(JobSpec.model_validate(PATCHED))
        finish()

        again = client.retry(parent.id, schedule={"type": "cosine"}, metadata={"course": "two"})

    assert again.job.spec.hyperparameters.schedule == Cosine(type="cosine")
    assert again.job.metadata == {"course": "two", "note": "first"}


def test_weights_that_python_gives_are_whole(settings: ServiceSettings, finish: Finish) -> None:
    named = {**SPEC, "hyperparameters": {"init": {"coef": [[1.0]], "features": ["x0"]}}}
    with serving(settings) as server, Client(str(server.base_url)) as client:
        parent = client.submit(JobSpec.model_validate(named))
        finish()

        again = client.retry(parent.id, init={"coef": [[2.0]], "intercept": [0.5]})

    init = InitialWeights(coef=[[2.0]], intercept=[0.5])
    assert again.job.spec.hyperparameters.init == init
