from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.service.conftest import Finish


def test_a_job_s_model_is_the_model_of_its_id(
    client: TestClient, job_id: str, model_id: str
) -> None:
    of_job = client.get(f"/v1/jobs/{job_id}/model").json()

    assert of_job == client.get(f"/v1/models/{model_id}").json()
    assert of_job["coef"] == [[2.0]]
    assert of_job["intercept"] == [0.5]
    assert of_job["provenance"]["job_id"] == job_id
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == [model_id]


def test_a_job_without_a_model_says_so(client: TestClient, job_id: str) -> None:
    response = client.get(f"/v1/jobs/{job_id}/model")

    assert response.status_code == 409
    assert response.json()["code"] == "wrong_state"
    assert "is queued" in response.json()["detail"]


@pytest.mark.parametrize("body", [{"rows": [{"x0": 4}, {"x0": -1.5}]}, {"X": [[4.0], [-1.5]]}])
def test_predictions_come_row_by_row(
    client: TestClient, model_id: str, body: dict[str, Any]
) -> None:
    response = client.post(f"/v1/models/{model_id}/predict", json=body)

    assert response.status_code == 200, response.text
    assert response.json()["y"] == [[8.5], [-2.5]]
    assert response.json()["targets"] == ["y"]


def test_several_features_are_taken_by_name_not_by_place(
    client: TestClient, finish: Finish
) -> None:
    table = {"columns": {"a": [1, 2, 4], "b": [1, 0, 1], "y": [1, 2, 3], "z": [0, 1, 0]}}
    job = {"dataset": table, "target": ["y", "z"]}
    job_id = client.post("/v1/jobs", json=job).json()["id"]
    finish()
    model_id = client.get(f"/v1/jobs/{job_id}").json()["model_id"]

    response = client.post(f"/v1/models/{model_id}/predict", json={"rows": [{"b": 1, "a": 10}]})

    assert response.json()["y"] == [[10 * 2 + 3 + 0.5] * 2]
    assert response.json()["targets"] == ["y", "z"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"rows": [{"x0": 1}, {}]}, "rows.1.x0"),
        ({"rows": [{"x0": 1, "x1": 2}]}, "rows.0.x1"),
        ({"rows": [{"x0": None}]}, "rows.0.x0"),
        ({"rows": [{"x0": True}]}, "rows.0.x0"),
        ({"rows": [[1]]}, "rows.0"),
        ({"X": [[1, 2]]}, "X"),
        ({"X": [[1], [1, 2]]}, "X"),
        ({"X": [1]}, "X.0"),
        ({"X": [[]]}, "X"),
        ({"X": [[1]], "rows": []}, "X"),
        ({"X": [["1"]]}, "X.0.0"),
        ({"X": [[1.7e308]]}, "X"),
        ({}, "X"),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_their_name(
    client: TestClient, model_id: str, body: dict[str, Any], param: str
) -> None:
    response = client.post(f"/v1/models/{model_id}/predict", json=body)

    assert response.status_code == 422, response.text
    problem = response.json()
    assert param in {problem["param"], *(error["param"] for error in problem["errors"])}


@pytest.mark.parametrize("path", ["/v1/models/x", f"/v1/models/mdl_{32 * '0'}"])
def test_no_model_is_404(client: TestClient, path: str) -> None:
    assert client.get(path).json()["code"] == "model_not_found"
    assert client.post(f"{path}/predict", json={"X": [[1.0]]}).status_code == 404
