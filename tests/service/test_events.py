"""Logs of jobs: what is told, once each, as a list and as a stream, whatever happens between."""

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import numpy as np
import pytest
from starlette.testclient import TestClient

from descend.history import History
from descend.jobs import QUEUES, JobState, Metrics, StopReason
from service.settings import ServiceSettings
from storage.database import Database
from storage.jobs import Claim, Outcome, Report
from tests.service.conftest import NOTEBOOK, history_of, serving
from tests.streams import Message, following, told


@pytest.fixture
def served(settings: ServiceSettings) -> Iterator[httpx2.Client]:
    with serving(settings) as client:
        yield client


@dataclass
class Training:
    """A job as its worker holds it: rows are reported when a test says so."""

    database: Database
    claim: Claim
    losses: np.ndarray
    done: int = 0

    def report(self, rows: int, *, warnings: tuple[str, ...] = ()) -> None:
        with self.database.begin() as tx:
            report = Report(
                job_id=self.claim.job_id,
                fence=self.claim.fence,
                epochs_done=self.done + rows,
                history=self._rows(rows),
                warnings=warnings,
            )
            assert tx.jobs.report(report)
        self.done += rows

    def finish(self) -> None:
        left = len(self.losses) - self.done
        with self.database.begin() as tx:
            outcome = Outcome(
                job_id=self.claim.job_id,
                fence=self.claim.fence,
                state=JobState.SUCCEEDED,
                stop_reason=StopReason.MAX_EPOCHS,
                epochs_done=len(self.losses),
                history=self._rows(left),
                metrics=Metrics(n_samples=3, epochs=len(self.losses)),
            )
            assert tx.jobs.finish(outcome)

    def _rows(self, rows: int) -> History:
        whole = history_of(self.losses[: self.done + rows])
        return whole.take(np.arange(self.done, self.done + rows))


def submitted(client: httpx2.Client | TestClient, **more: object) -> str:
    return str(client.post("/v1/jobs", json={"dataset": NOTEBOOK, **more}).json()["id"])


def training(database: Database, n: int) -> Training:
    with database.begin() as tx:
        (claim,) = tx.jobs.claim("wrk_test", 1, queues=QUEUES, lease_seconds=30)
    return Training(database, claim, 1.0 / np.arange(1.0, n + 1))


def ranges(found: list[Message]) -> list[tuple[int, int]]:
    return [
        (m.data["data"]["start"], m.data["data"]["stop"]) for m in found if m.event == "history"
    ]


def assert_tiled(found: list[Message], n: int) -> None:
    """Every row once, in order."""
    edges = ranges(found)
    assert [start for start, _ in edges] == [0, *(stop for _, stop in edges[:-1])]
    assert edges[-1][1] == n


def test_a_stream_tells_all_that_happened_and_ends_with_the_job(
    served: httpx2.Client, database: Database
) -> None:
    job_id = submitted(served)
    job = training(database, 300)
    job.report(100, warnings=("a column is constant",))
    job.finish()

    found = list(following(served, f"/v1/jobs/{job_id}/events"))

    states = [m.data["data"]["state"] for m in found if m.event == "state"]
    assert states == ["queued", "running", "succeeded"]
    assert [m.data["data"]["message"] for m in found if m.event == "warning"] == [
        "a column is constant"
    ]
    assert_tiled(found, 300)
    assert found[-1].data["data"]["metrics"]["epochs"] == 300
    assert all(m.data["id"] == m.id and m.data["type"] == m.event for m in found)


def test_a_list_tells_the_same_as_the_stream(served: httpx2.Client, database: Database) -> None:
    job_id = submitted(served)
    job = training(database, 150_000)
    job.report(140_000)
    job.finish()

    stream = [m.data for m in following(served, f"/v1/jobs/{job_id}/events")]
    listed = []
    page = {"has_more": True, "last_id": "0-0-0"}
    while page["has_more"]:
        page = served.get(
            f"/v1/jobs/{job_id}/events", params={"last_event_id": page["last_id"], "limit": 2}
        ).json()
        listed += page["data"]

    assert listed == stream
    assert page["ended"]
    assert max(len(e["data"]["epoch"]) for e in listed if e["type"] == "history") == 200


def test_a_viewer_hears_of_a_job_while_it_runs(served: httpx2.Client, database: Database) -> None:
    job_id = submitted(served)
    stream = following(served, f"/v1/jobs/{job_id}/events")

    assert next(stream).data["data"]["state"] == "queued"
    assert next(stream).data["data"]["queue_position"] == 1
    job = training(database, 20)
    assert next(stream).data["data"]["state"] == "running"
    assert next(stream).event == "progress"
    job.report(7)
    assert next(stream).data["data"]["epoch"] == [0, 1, 2, 3, 4, 5, 6]
    assert next(stream).data["data"]["progress"]["epoch"] == 7
    job.finish()
    assert [m.event for m in stream] == ["history", "state"]


def test_through_three_disconnects_every_event_comes_once(
    served: httpx2.Client, database: Database
) -> None:
    job_id = submitted(served)
    job = training(database, 4000)
    random.seed(4)
    cuts = sorted(random.sample(range(3, 40), 3))

    def report() -> None:
        while job.done < 3900:
            job.report(30)
        job.finish()

    worker = threading.Thread(target=report)
    worker.start()
    found: list[Message] = []
    for cut in [*cuts, 10**9]:
        last = told(found)[-1].id if found else None
        for message in following(served, f"/v1/jobs/{job_id}/events", last=last):
            found.append(message)
            if len(found) >= cut:
                break
    worker.join()

    ids = [m.id for m in told(found)]
    assert len(ids) == len(set(ids))
    assert_tiled(found, 4000)
    assert [m.data["data"]["state"] for m in found if m.event == "state"] == [
        "queued",
        "running",
        "succeeded",
    ]
