"""Plans, gradients and diagnostics: jobs that answer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from descend.jobs import QUEUES, JobError, JobState, StopReason
from service.examples import RESPONSES
from storage.database import Database
from tests.service.conftest import NOTEBOOK, claim_next, finish_question, wait_until

SPEC = {"dataset": NOTEBOOK, "hyperparameters": {"learning_rate": 0.01}}
FAILED = {
    "state": JobState.FAILED,
    "stop_reason": StopReason.ERROR,
    "result": None,
    "error": JobError(code="invalid_dataset", message="no column varies", param="features"),
}


@contextmanager
def answering(database: Database, **more: object) -> Iterator[None]:
    """A worker that answers the next question."""

    def work() -> None:
        def queued() -> bool:
            with database.read() as tx:
                return tx.jobs.has_queued(QUEUES)

        wait_until(queued)
        assert finish_question(database, claim_next(database), **more)

    worker = threading.Thread(target=work)
    worker.start()
    yield
    worker.join()


@pytest.mark.parametrize(("route", "example"), [("plans", "Plan"), ("gradients", "Gradients")])
def test_a_question_is_answered_within_the_wait(
    client: TestClient, database: Database, route: str, example: str
) -> None:
    with answering(database):
        response = client.post(f"/v1/{route}", json=SPEC)

    assert response.status_code == 200, response.text
    assert response.json() == RESPONSES[example]
    assert response.headers["location"].startswith("/v1/jobs/job_")


@pytest.mark.parametrize("route", ["plans", "gradients"])
def test_a_question_that_takes_longer_is_a_job_that_will_hold_the_answer(
    client: TestClient, database: Database, route: str
) -> None:
    response = client.post(f"/v1/{route}", json=SPEC, params={"wait": 0})

    job = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["kind"] == {"plans": "plan"}.get(route, route)
    assert (job["result"], job["spec"]["priority"]) == (None, 9)
    assert finish_question(database, claim_next(database))
    later = client.get(f"/v1/jobs/{job['id']}").json()
    assert later["stop_reason"] == "answered"
    assert later["result"]["object"] == job["kind"]
    assert later["progress"] == {"epoch": 1, "max_epochs": 1, "fraction": 1.0, "phase": None}


def test_a_question_asked_twice_under_one_key_is_one_job(client: TestClient) -> None:
    headers = {"Idempotency-Key": "once"}
    first = client.post("/v1/plans", json=SPEC, params={"wait": 0}, headers=headers)

    again = client.post("/v1/plans", json=SPEC, params={"wait": 0}, headers=headers)
    other = client.post("/v1/jobs", json=SPEC, headers=headers)

    assert again.json()["id"] == first.json()["id"]
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_key_reused"


def test_a_question_without_an_answer_is_refused_as_its_job_says(
    client: TestClient, database: Database
) -> None:
    with answering(database, **FAILED):
        response = client.post("/v1/plans", json=SPEC)

    problem = response.json()
    assert response.status_code == 422
    assert (problem["code"], problem["param"]) == ("invalid_dataset", "features")
    assert problem["detail"] == "no column varies"


def test_a_question_that_was_cancelled_is_a_conflict(
    client: TestClient, database: Database
) -> None:
    headers = {"Idempotency-Key": "once"}
    job = client.post("/v1/plans", json=SPEC, params={"wait": 0}, headers=headers).json()
    client.post(f"/v1/jobs/{job['id']}/cancel")

    response = client.post("/v1/plans", json=SPEC, headers=headers)

    assert response.status_code == 409


def test_jobs_are_listed_by_kind(client: TestClient, job_id: str) -> None:
    planned = client.post("/v1/plans", json=SPEC, params={"wait": 0}).json()["id"]

    trained, plans = client.get("/v1/jobs"), client.get("/v1/jobs", params={"kind": "plan"})

    assert [job["id"] for job in trained.json()["data"]] == [job_id]
    assert [job["id"] for job in plans.json()["data"]] == [planned]


def test_the_queue_limit_holds_for_questions(app: FastAPI, client: TestClient) -> None:
    limits = app.state.parts.settings.limits.model_copy(update={"queued_jobs": 1})
    app.state.parts.settings.limits = limits
    assert client.post("/v1/plans", json=SPEC, params={"wait": 0}).status_code == 202

    full = client.post("/v1/plans", json=SPEC, params={"wait": 0})

    assert full.json()["code"] == "queue_full"


def test_gradients_may_be_taken_at_the_weights_of_a_job(
    client: TestClient, database: Database, job_id: str, model_id: str
) -> None:
    asked = {**SPEC, "hyperparameters": {"init": job_id}}

    response = client.post("/v1/gradients", json=asked, params={"wait": 0})

    assert response.status_code == 202, response.text
    init = claim_next(database).hyperparameters.init
    assert not isinstance(init, str)
    assert (init.coef, init.intercept, init.features) == ([[2.0]], [0.5], ["x0"])


def test_a_job_without_weights_is_no_start(client: TestClient, job_id: str) -> None:
    asked = {**SPEC, "hyperparameters": {"init": job_id}}

    response = client.post("/v1/gradients", json=asked, params={"wait": 0})

    assert response.status_code == 422
    assert response.json()["param"] == "hyperparameters.init"
