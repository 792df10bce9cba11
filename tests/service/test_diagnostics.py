"""Diagnostics are computed by one job, whoever else asks at the same time."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from service.settings import ServiceSettings
from storage.database import Database
from tests.service.conftest import NOTEBOOK, model_trained_on, serving, store_model

N_CLIENTS = 8


@pytest.fixture
def server(settings: ServiceSettings, database_url: str) -> Iterator[httpx2.Client]:
    with serving(settings, DESCEND_DATABASE_URL=database_url) as client:
        yield client


@pytest.fixture
def path(server: httpx2.Client, database_url: str) -> str:
    """Where the diagnostics of a model are."""
    dataset = server.post("/v1/datasets", json=NOTEBOOK).json()
    database = Database(database_url)
    model_id = store_model(database, model_trained_on(dataset["id"]))
    database.close()
    return f"/v1/models/{model_id}/diagnostics?wait=0"


def asked_at_once(server: httpx2.Client, path: str) -> list[httpx2.Response]:
    start = threading.Barrier(N_CLIENTS)

    def ask(_: int) -> httpx2.Response:
        with httpx2.Client(base_url=server.base_url, timeout=60) as client:
            client.get("/healthz")  # connected before the others begin
            start.wait()
            return client.get(path)

    with ThreadPoolExecutor(N_CLIENTS) as pool:
        return list(pool.map(ask, range(N_CLIENTS)))


def test_after_a_cancel_all_that_ask_at_once_are_given_one_new_job(
    server: httpx2.Client, path: str
) -> None:
    for _ in range(10):
        cancelled = server.get(path).json()["id"]
        server.post(f"/v1/jobs/{cancelled}/cancel")

        responses = asked_at_once(server, path)

        assert [response.status_code for response in responses] == [202] * N_CLIENTS
        (made,) = {response.json()["id"] for response in responses}
        assert made != cancelled
