"""Lists of jobs with their curves and counts, in any order that they keep."""

import time

import numpy as np
from starlette.testclient import TestClient

from service.settings import ServiceSettings
from storage.database import Database
from tests.service.conftest import NOTEBOOK, Finish


def submitted(client: TestClient, n: int = 1) -> list[str]:
    made = [client.post("/v1/jobs", json={"dataset": NOTEBOOK}) for _ in range(n)]
    return [response.json()["id"] for response in made]


def listed(client: TestClient, **params: object) -> list[dict[str, object]]:
    found: list[dict[str, object]] = client.get("/v1/jobs", params=params).json()["data"]
    return found


def test_a_sparkline_is_chosen_from_the_losses(client: TestClient, finish: Finish) -> None:
    short, middle, long, queued = submitted(client, 4)
    losses = {short: np.array([3.0, 2.0, 1.0]), middle: np.arange(900.0, 0.0, -1)}
    losses[middle][400] = 5000.0
    losses[long] = np.exp(-np.arange(60_000) / 8000.0)
    for job_id in (short, middle, long):
        assert finish(loss=losses[job_id]) == job_id

    for _ in range(2):  # the second time from memory
        curves = {job["id"]: job["sparkline"] for job in listed(client, include="sparkline")}
        assert curves[short] == [3.0, 2.0, 1.0]
        assert curves[queued] == []
        assert len(curves[middle]) == 32
        assert 5000.0 in curves[middle]  # the shape is kept
        evenly = np.linspace(0, 59_999, 32).astype(int)
        assert curves[long] == losses[long][evenly].tolist()
    assert all("sparkline" not in job or job["sparkline"] is None for job in listed(client))


def test_a_loss_that_is_not_finite_is_null(client: TestClient, finish: Finish) -> None:
    submitted(client)
    finish(loss=np.array([1.0, np.inf, np.nan]))

    (job,) = listed(client, include="sparkline")

    assert job["sparkline"] == [1.0, None, None]


def test_states_are_counted(client: TestClient, finish: Finish) -> None:
    ids = submitted(client, 3)
    finish()
    client.post(f"/v1/jobs/{ids[2]}/cancel")

    page = client.get("/v1/jobs", params={"include": "sparkline,counts", "limit": 1}).json()

    assert {state: n for state, n in page["counts"].items() if n} == {
        "queued": 1,
        "succeeded": 1,
        "cancelled": 1,
    }
    assert client.get("/v1/jobs").json()["counts"] is None
    assert client.get("/v1/jobs", params={"include": "everything"}).status_code == 422


def test_lists_are_paged_in_every_order(client: TestClient, finish: Finish) -> None:
    ids = submitted(client, 5)
    finish()
    client.post(f"/v1/jobs/{ids[3]}/cancel")
    finish()
    ended = [ids[0], ids[3], ids[1]]
    orders = {
        "-created": ids[::-1],
        "created": ids,
        "finished": ended,
        "-finished": ended[::-1],
    }

    for sort, expected in orders.items():
        seen: list[str] = []
        page = {"has_more": True, "last_id": None}
        while page["has_more"]:
            after = {"after": page["last_id"]} if page["last_id"] else {}
            page = client.get("/v1/jobs", params={"sort": sort, "limit": 2, **after}).json()
            seen += [job["id"] for job in page["data"]]
        assert seen == expected, sort

    response = client.get("/v1/jobs", params={"sort": "finished", "after": ids[4]})
    assert (response.status_code, response.json()["param"]) == (404, "after")


def test_of_ten_thousand_jobs_the_first_page_comes_soon(
    client: TestClient, settings: ServiceSettings, database: Database, finish: Finish
) -> None:
    (job_id,) = submitted(client)
    finish(1000)
    _multiply(database, job_id, 10_000)

    params = {"include": "sparkline,counts", "limit": 50}
    page = client.get("/v1/jobs", params=params)
    took = []
    for sort in ("-created", "-finished", "-created", "-finished", "-created"):
        began = time.perf_counter()
        page = client.get("/v1/jobs", params={**params, "sort": sort})
        took.append(time.perf_counter() - began)

    assert page.json()["counts"]["succeeded"] == 10_000
    assert len(page.json()["data"][0]["sparkline"]) == 32
    assert sorted(took)[2] < 0.1


def _multiply(database: Database, job_id: str, n: int) -> None:
    """Copy a job that has ended, with all that belongs to it."""
    tables = {
        "jobs": "id",
        "job_specs": "job_id",
        "job_events": "job_id",
        "history_chunks": "job_id",
    }
    with database.begin() as tx:
        raw = tx.connection.connection.driver_connection
        raw.execute("DROP TRIGGER jobs_submitted")
        for table, key in tables.items():
            names = [row[1] for row in raw.execute(f"PRAGMA table_info({table})")]
            chosen = ", ".join(
                "'job_' || printf('%032x', n)"
                if name == key
                else "NULL"
                if name == "idempotency_key"
                else name
                for name in names
            )
            numbers = "WITH RECURSIVE some (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM some"
            into = f"{numbers} LIMIT {n - 1}) INSERT INTO {table} ({', '.join(names)})"
            raw.execute(f"{into} SELECT {chosen} FROM {table}, some WHERE {key} = '{job_id}'")  # noqa: S608
