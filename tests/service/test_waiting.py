"""More requests want to wait than may: what has made a job says so, and nothing is made twice."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
import pytest

from descend import Client, JobSpec
from service.settings import ServiceSettings
from storage.database import Database
from tests.service.conftest import NOTEBOOK, model_trained_on, serving, store_model, wait_until

SPEC = {"dataset": NOTEBOOK}


@contextmanager
def one_waiting(client: httpx2.Client) -> Iterator[None]:
    """Have one request wait for a job, for the length of a block."""
    job_id = client.post("/v1/jobs", json={**SPEC, "name": "waited for"}).json()["id"]
    url = str(client.base_url.join(f"/v1/jobs/{job_id}?wait=60"))
    waiting = threading.Thread(target=httpx2.get, args=[url], kwargs={"timeout": 70})
    waiting.start()
    wait_until(lambda: "\ndescend_long_polls 1" in client.get("/metrics").text)
    yield
    client.post(f"/v1/jobs/{job_id}/cancel")
    waiting.join()


@pytest.fixture
def server(settings: ServiceSettings) -> Iterator[httpx2.Client]:
    """A server at which only one request may wait for a job."""
    with serving(settings, DESCEND_MOST_WAITING="1") as client:
        yield client


@pytest.fixture
def full(server: httpx2.Client) -> Iterator[httpx2.Client]:
    """The server, with that one waiting."""
    with one_waiting(server):
        yield server


def of_all_kinds(client: httpx2.Client) -> int:
    kinds = ("train", "plan", "gradients", "diagnostics")
    return sum(len(client.get("/v1/jobs", params={"kind": kind}).json()["data"]) for kind in kinds)


def submitted(client: httpx2.Client) -> httpx2.Response:
    return client.post("/v1/jobs?wait=20", json=SPEC)


def retried(client: httpx2.Client) -> httpx2.Response:
    parent = client.post("/v1/jobs", json=SPEC).json()["id"]
    client.post(f"/v1/jobs/{parent}/cancel")
    return client.post(f"/v1/jobs/{parent}/retry?wait=20")


def planned(client: httpx2.Client) -> httpx2.Response:
    return client.post("/v1/plans", json=SPEC)


def differentiated(client: httpx2.Client) -> httpx2.Response:
    return client.post("/v1/gradients", json=SPEC)


@pytest.mark.parametrize("ask", [submitted, retried, planned, differentiated])
def test_what_made_a_job_answers_with_it_at_once(
    full: httpx2.Client, ask: Callable[[httpx2.Client], httpx2.Response]
) -> None:
    start = time.monotonic()

    response = ask(full)

    assert response.status_code == 202, response.text
    assert response.json()["state"] == "queued"
    assert response.headers["location"] == f"/v1/jobs/{response.json()['id']}"
    assert response.headers["retry-after"] == "1"
    assert time.monotonic() - start < 10


def test_diagnostics_answer_with_the_job_that_computes_them(
    server: httpx2.Client, database: Database
) -> None:
    dataset = server.post("/v1/datasets", json=NOTEBOOK).json()
    model_id = store_model(database, model_trained_on(dataset["id"]))

    with one_waiting(server):
        response = server.get(f"/v1/models/{model_id}/diagnostics")

    assert response.status_code == 202, response.text
    assert response.headers["location"] == f"/v1/jobs/{response.json()['id']}"
    assert response.headers["retry-after"] == "1"


def test_reading_is_refused_for_nothing_was_done(full: httpx2.Client) -> None:
    job_id = full.post("/v1/jobs", json=SPEC).json()["id"]

    response = full.get(f"/v1/jobs/{job_id}?wait=20")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"


def test_a_client_that_submits_once_has_one_job(full: httpx2.Client) -> None:
    before = of_all_kinds(full)

    with Client(str(full.base_url)) as client:
        run = client.submit(JobSpec.model_validate(SPEC), wait_seconds=20)

    assert run.state == "queued"
    assert of_all_kinds(full) == before + 1


def test_a_client_that_asks_until_the_answer_is_there_leaves_pauses(full: httpx2.Client) -> None:
    with Client(str(full.base_url)) as client, pytest.raises(TimeoutError):
        client.plan(dataset=full.post("/v1/datasets", json=NOTEBOOK).json()["id"], wait_seconds=2)

    asked = [line for line in full.get("/metrics").text.splitlines() if 'route="/v1/plans"' in line]
    counted = next(line for line in asked if line.startswith("descend_http_requests_total"))
    assert float(counted.split()[-1]) <= 4
