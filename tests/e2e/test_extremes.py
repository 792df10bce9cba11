"""Numbers at the ends of float64, over HTTP: what comes is right, or a refusal that names it."""

from typing import Any

import httpx2
import pytest


def trained(url: str, dataset: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = httpx2.post(
        f"{url}/v1/jobs", params={"wait": 60}, json={"dataset": dataset, **body}, timeout=70
    )
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def model_of(url: str, job: dict[str, Any]) -> dict[str, Any]:
    model: dict[str, Any] = httpx2.get(f"{url}/v1/models/{job['model_id']}").json()
    return model


EXACT = {"optimizer": "exact"}
RAMP = [[1], [2], [3], [4], [5]]


@pytest.mark.parametrize("optimizer", ["sgd", "exact", "adam"])
def test_a_column_of_1e_170_has_its_weights_and_figures(url: str, optimizer: str) -> None:
    X = [[1, 2e-170], [2, 5e-170], [3, 1e-170], [4, 0], [5, 3e-170]]
    y = [1.2, 1.9, 3.1, 4.2, 4.8]

    job = trained(url, {"X": X, "y": y}, hyperparameters={"optimizer": optimizer})

    assert job["state"] == "succeeded", job["error"]
    plain = trained(url, {"X": [[a, b * 1e170] for a, b in X], "y": y}, hyperparameters=EXACT)
    if optimizer == "exact":
        (coef,), (usual,) = model_of(url, job)["coef"], model_of(url, plain)["coef"]
        assert [coef[0], coef[1] * 1e-170] == pytest.approx(usual, rel=1e-9)
        errors = [
            [one["std_error"] for one in summary(url, each)["targets"][0]["coefficients"]]
            for each in (job, plain)
        ]
        assert errors[0][1] * 1e-170 == pytest.approx(errors[1][1], rel=1e-9)


def summary(url: str, job: dict[str, Any], **asked: Any) -> dict[str, Any]:
    answer = httpx2.get(f"{url}/v1/models/{job['model_id']}/summary", params=asked)
    told: dict[str, Any] = answer.json()
    return told


def test_weights_whose_sum_overflows_weigh_by_their_ratio(url: str) -> None:
    data = {"X": RAMP[:4], "y": [1, 2, 3, 4.5], "sample_weight": [1e300, 2e300, 3e300, 9e300]}

    job = trained(url, data, hyperparameters=EXACT)

    model = model_of(url, job)
    assert model["coef"][0] == pytest.approx([1.225])
    assert model["intercept"] == pytest.approx([-0.45])
    row = {"X": [[2]], "interval": {"kind": "mean"}}
    interval = httpx2.post(f"{url}/v1/models/{model['id']}/predict", json=row).json()["interval"]
    usual = trained(url, data | {"sample_weight": [1, 2, 3, 9]}, hyperparameters=EXACT)
    peer = httpx2.post(f"{url}/v1/models/{usual['model_id']}/predict", json=row).json()["interval"]
    assert interval["low"][0] == pytest.approx(peer["low"][0], rel=1e-9)


def test_held_out_rows_that_weigh_nothing_leave_eval_loss_empty(url: str) -> None:
    data = {"X": [*RAMP, [6]], "y": [1, 2, 3, 4, 5, 6.5], "sample_weight": [1, 1, 1, 0, 0, 0]}

    job = trained(url, data, hyperparameters={"validation_fraction": 0.17, "seed": 1})

    assert job["state"] == "succeeded", job["error"]
    assert job["metrics"]["eval_loss"] is None
    assert "every row to validate on has weight 0: eval_loss is empty" in job["warnings"]


def test_integers_beyond_2_to_53_in_a_request_are_warned_about(url: str) -> None:
    X = [[9007199254740993], [9007199254740997], [9007199254741003]]

    job = trained(url, {"X": X, "y": [1, 3, 6]}, hyperparameters=EXACT)

    dataset = httpx2.get(f"{url}/v1/datasets/{job['spec']['dataset']}").json()
    assert any("float64 keeps 16 digits" in told for told in dataset["warnings"])
    assert any("subtract a constant" in told for told in job["warnings"])
    assert job["metrics"]["converged"] is False


def test_null_in_x_is_a_missing_cell(url: str) -> None:
    job = trained(
        url,
        {"X": [[1], [None], [3], [4]], "y": [1, 2, 3, 4.5]},
        missing="drop",
        hyperparameters=EXACT,
    )

    assert model_of(url, job)["coef"][0] == pytest.approx([8 / 7])
    assert "1 of 4 rows has missing cells and is left out" in job["warnings"]


@pytest.mark.parametrize("size", [1e-170, 1e170])
def test_a_target_beyond_squares_is_refused_by_name(url: str, size: float) -> None:
    job = trained(url, {"X": RAMP, "y": [v * size for v in (1, 2, 3, 4, 6)]})

    assert job["state"] == "failed"
    assert job["error"]["code"] == "invalid_input"
    assert job["error"]["param"] == "y"
    assert "multiply 'y' by 1e" in job["error"]["message"]


def test_whole_numbers_may_be_written_as_floats(url: str) -> None:
    body = '{"dataset": {"X": [[1], [2], [3]], "y": [2, 4, 6]},'
    body += '"hyperparameters": {"max_epochs": 1e1, "patience": 2.0, "tol": 0}}'

    answer = httpx2.post(
        f"{url}/v1/jobs",
        params={"wait": 60},
        content=body,
        headers={"content-type": "application/json"},
        timeout=70,
    )

    assert answer.json()["progress"]["max_epochs"] == 10
