"""What is known of a model beyond its weights: summary, diagnostics, intervals, deletion."""

from typing import Any

import numpy as np
import pytest
from scipy import stats
from starlette.testclient import TestClient

from descend.statistics import DEFINITIONS, Statistics, TargetStatistics
from service.examples import RESPONSES
from storage.database import Database
from tests.service.conftest import NOTEBOOK, claim_next, finish_question, model_of
from tests.service.test_questions import FAILED, answering
from tests.storage import acts

X = np.array([1.0, 2.0, 3.0, 5.0, 8.0])
Y = np.array([2.2, 4.6, 6.1, 10.9, 16.2])
DESIGN = np.column_stack([X, np.ones(5)])
INVERSE = np.linalg.inv(DESIGN.T @ DESIGN)
SD = 0.4


def statistics(**more: Any) -> Statistics:
    errors = (SD * np.sqrt(np.diag(INVERSE))).tolist()
    target = TargetStatistics(
        target="y",
        residual_sd=SD,
        r2=0.99,
        adjusted_r2=0.98,
        f=300.0,
        f_p=0.001,
        std_errors={"classical": errors, "HC3": [2 * error for error in errors]},
    )
    told = {
        "names": ["x0", "(intercept)"],
        "n_samples": 5,
        "df_model": 1,
        "df_residual": 3,
        "rank": 2,
        "condition_number": 4.0,
        "targets": [target],
        "robust_refused": None,
    }
    return Statistics.model_validate(told | more)


def a_model(client: TestClient, database: Database, known: Statistics | None) -> str:
    """A model y = 2 x0 + 0.5, with statistics."""
    job = client.post("/v1/jobs", json={"dataset": NOTEBOOK}).json()
    claim = claim_next(database)
    mean, scale = X.mean(), X.std()
    V = np.column_stack([(X - mean) / scale, np.ones(5)])
    root = np.linalg.cholesky(np.linalg.inv(V.T @ V))
    spread = np.concatenate([[mean, scale], root.ravel()]).tobytes()
    model = model_of(claim.targets, claim.features, claim.job_id)
    provenance = model.provenance
    assert provenance is not None
    here = provenance.model_copy(update={"dataset_id": job["dataset_id"]})
    assert acts.finish(
        database,
        claim,
        model=model.model_copy(update={"provenance": here}),
        statistics=known,
        covariance=spread if known and not known.refused else None,
    )
    model_id: str = client.get(f"/v1/jobs/{job['id']}/model").json()["id"]
    return model_id


@pytest.mark.parametrize(
    ("level", "covariance", "times"), [(0.95, "classical", 1), (0.9, "HC3", 2)]
)
def test_a_summary_is_what_scipy_says_of_the_stored_errors(
    client: TestClient, database: Database, level: float, covariance: str, times: int
) -> None:
    model_id = a_model(client, database, statistics())
    asked = {"level": level, "covariance": covariance}

    told = client.get(f"/v1/models/{model_id}/summary", params=asked).json()

    assert told["refused"] is None
    (target,) = told["targets"]
    errors = times * SD * np.sqrt(np.diag(INVERSE))
    for row, estimate, error in zip(target["coefficients"], [2.0, 0.5], errors, strict=True):
        t = estimate / error
        low, high = stats.t.interval(level, 3, estimate, error)
        assert row["estimate"] == estimate
        assert row["std_error"] == pytest.approx(error)
        assert row["t"] == pytest.approx(t)
        assert row["p"] == pytest.approx(2 * stats.t.sf(abs(t), 3))
        assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
    assert (target["f"] is None) == (covariance == "HC3")


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (None, "no statistics were stored"),
        (statistics(refused="a penalty biases the weights"), "a penalty biases"),
    ],
)
def test_a_summary_that_does_not_exist_says_why(
    client: TestClient, database: Database, known: Statistics | None, reason: str
) -> None:
    model_id = a_model(client, database, known)

    response = client.get(f"/v1/models/{model_id}/summary")

    assert response.status_code == 200
    assert reason in response.json()["refused"]
    rows = response.json()["targets"][0]["coefficients"]
    assert [row["estimate"] for row in rows] == [2.0, 0.5]
    assert {row["std_error"] for row in rows} == {None}


def test_a_covariance_that_was_not_stored_is_refused_with_the_reason(
    client: TestClient, database: Database
) -> None:
    known = statistics(robust_refused="HC0 needs a pass over the rows")
    model_id = a_model(client, database, known)

    told = client.get(f"/v1/models/{model_id}/summary", params={"covariance": "HC1"}).json()

    assert told["refused"] == "HC0 needs a pass over the rows"


def of_quantiles() -> Statistics:
    target = TargetStatistics(
        target="y",
        residual_sd=SD,
        r2=0.99,
        adjusted_r2=None,
        std_errors={"nid": [0.2, 0.3], "iid": [0.1, 0.1]},
    )
    return statistics(
        targets=[target],
        covariance="nid",
        errors_refused={"kernel": "the density has no bandwidth"},
        intervals_refused="intervals are those of squared loss",
    )


def test_a_summary_shows_the_errors_of_its_loss_and_says_what_they_are(
    client: TestClient, database: Database
) -> None:
    model_id = a_model(client, database, of_quantiles())

    told = client.get(f"/v1/models/{model_id}/summary").json()
    asked = client.get(f"/v1/models/{model_id}/summary?covariance=iid").json()

    assert told["covariance"] == "nid"
    assert "quantreg" in told["definition"]
    assert [row["std_error"] for row in told["targets"][0]["coefficients"]] == [0.2, 0.3]
    assert asked["definition"] == DEFINITIONS["iid"]
    assert [row["std_error"] for row in asked["targets"][0]["coefficients"]] == [0.1, 0.1]


@pytest.mark.parametrize(
    ("covariance", "reason"),
    [
        ("kernel", "the density has no bandwidth"),
        ("HC3", "no HC3 standard errors were stored: this fit has nid, iid"),
    ],
)
def test_errors_that_a_loss_has_not_are_refused_with_those_it_has(
    client: TestClient, database: Database, covariance: str, reason: str
) -> None:
    model_id = a_model(client, database, of_quantiles())

    told = client.get(f"/v1/models/{model_id}/summary", params={"covariance": covariance}).json()

    assert told["refused"] == reason
    assert told["definition"] is None


def test_a_loss_without_intervals_says_so(client: TestClient, database: Database) -> None:
    model_id = a_model(client, database, of_quantiles())

    body = {"rows": [{"x0": 1.0}], "interval": {"level": 0.9, "kind": "mean"}}
    response = client.post(f"/v1/models/{model_id}/predict", json=body)

    assert response.status_code == 409
    assert "intervals are those of squared loss" in response.json()["detail"]


@pytest.mark.parametrize("kind", ["prediction", "mean"])
def test_intervals_are_those_of_the_covariance(
    client: TestClient, database: Database, kind: str
) -> None:
    model_id = a_model(client, database, statistics())
    asked = {"X": [[4.0], [20.0]], "interval": {"level": 0.9, "kind": kind}}

    told = client.post(f"/v1/models/{model_id}/predict", json=asked).json()

    rows = np.array([[4.0, 1.0], [20.0, 1.0]])
    h = np.einsum("ni,ij,nj->n", rows, INVERSE, rows) + (kind == "prediction")
    reach = stats.t.ppf(0.95, 3) * SD * np.sqrt(h)
    middle = np.array([8.5, 40.5])
    assert told["y"] == [[8.5], [40.5]]
    assert np.ravel(told["interval"]["low"]) == pytest.approx(middle - reach)
    assert np.ravel(told["interval"]["high"]) == pytest.approx(middle + reach)


@pytest.mark.parametrize("known", [None, statistics(refused="a penalty biases the weights")])
def test_an_interval_that_does_not_exist_is_a_conflict_with_the_reason(
    client: TestClient, database: Database, known: Statistics | None
) -> None:
    model_id = a_model(client, database, known)

    response = client.post(f"/v1/models/{model_id}/predict", json={"X": [[4.0]], "interval": {}})

    assert response.status_code == 409
    assert "no interval" in response.json()["detail"]


def test_predictions_without_an_interval_hold_none(client: TestClient, model_id: str) -> None:
    told = client.post(f"/v1/models/{model_id}/predict", json={"X": [[4.0]]}).json()

    assert "interval" not in told


def test_diagnostics_are_computed_once_by_a_job_with_the_weights_of_the_model(
    client: TestClient, database: Database
) -> None:
    model_id = a_model(client, database, None)
    first = client.get(f"/v1/models/{model_id}/diagnostics", params={"wait": 0})
    again = client.get(f"/v1/models/{model_id}/diagnostics", params={"wait": 0})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    claim = claim_next(database)
    init = claim.hyperparameters.init
    assert not isinstance(init, str)
    assert (init.coef, init.intercept) == ([[2.0]], [0.5])
    assert claim.spec.priority == 9

    assert finish_question(database, claim)

    told = client.get(f"/v1/models/{model_id}/diagnostics", params={"wait": 0, "max_points": 1})
    assert told.status_code == 200, told.text
    assert told.json() == {**RESPONSES["Diagnostics"], "model_id": model_id}


def test_diagnostics_outlive_the_data_set_and_are_refused_without_it(
    client: TestClient, database: Database
) -> None:
    model_id = a_model(client, database, None)
    other = a_model(client, database, None)
    with answering(database):
        assert client.get(f"/v1/models/{model_id}/diagnostics").status_code == 200
    for one in (model_id, other):
        dataset = client.get(f"/v1/models/{one}").json()["provenance"]["dataset_id"]
        assert client.delete(f"/v1/datasets/{dataset}").status_code == 204

    known = client.get(f"/v1/models/{model_id}/diagnostics")
    unknown = client.get(f"/v1/models/{other}/diagnostics")

    assert known.status_code == 200
    assert unknown.status_code == 409
    assert "was deleted" in unknown.json()["detail"]


def test_diagnostics_that_failed_are_tried_again(client: TestClient, database: Database) -> None:
    model_id = a_model(client, database, None)
    with answering(database, **FAILED):
        failed = client.get(f"/v1/models/{model_id}/diagnostics")

    with answering(database):
        told = client.get(f"/v1/models/{model_id}/diagnostics")

    assert (failed.status_code, told.status_code) == (422, 200)


def test_diagnostics_of_a_model_whose_job_is_gone_say_what_is_not_known(
    client: TestClient, database: Database
) -> None:
    model_id = a_model(client, database, None)
    job = client.get(f"/v1/models/{model_id}").json()["provenance"]["job_id"]
    assert client.delete(f"/v1/jobs/{job}").status_code == 204

    with answering(database):
        told = client.get(f"/v1/models/{model_id}/diagnostics").json()

    assert "how they were weighted" in told["warnings"][0]


def test_no_client_can_take_the_place_of_a_models_diagnostics(
    client: TestClient, database: Database
) -> None:
    model_id = a_model(client, database, None)
    headers = {"Idempotency-Key": f"diagnostics {model_id} from 1"}

    response = client.post("/v1/jobs", json={"dataset": NOTEBOOK}, headers=headers)

    assert response.status_code == 422


def test_a_deleted_model_is_gone(client: TestClient, model_id: str) -> None:
    assert client.delete(f"/v1/models/{model_id}").status_code == 204

    for path in ("", "/summary", "/diagnostics"):
        assert client.get(f"/v1/models/{model_id}{path}").status_code == 404
    assert client.delete(f"/v1/models/{model_id}").status_code == 404
