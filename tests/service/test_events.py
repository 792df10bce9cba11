"""Logs of jobs: what is told, once each, as a list and as a stream, whatever happens between."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np
import pytest
from starlette.testclient import TestClient

from descend.history import History
from descend.jobs import Metrics
from service.settings import ServiceSettings
from storage.database import Database
from storage.jobs import Claim, Report
from tests.service.conftest import (
    NOTEBOOK,
    Finish,
    claim_next,
    history_of,
    process_serving,
    serving,
    wait_until,
)
from tests.storage import acts
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
        assert acts.finish(
            self.database,
            self.claim,
            epochs_done=len(self.losses),
            history=self._rows(left),
            model=None,
            metrics=Metrics(n_samples=3, epochs=len(self.losses)),
        )

    def _rows(self, rows: int) -> History:
        whole = history_of(self.losses[: self.done + rows])
        return whole.take(np.arange(self.done, self.done + rows))


def submitted(client: httpx2.Client | TestClient, **more: object) -> str:
    return str(client.post("/v1/jobs", json={"dataset": NOTEBOOK, **more}).json()["id"])


def training(database: Database, n: int) -> Training:
    return Training(database, claim_next(database), 1.0 / np.arange(1.0, n + 1))


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


def test_the_log_of_all_jobs_is_the_same_as_a_list_and_as_a_stream(
    served: httpx2.Client, database: Database, finish: Finish
) -> None:
    for _ in range(4):
        submitted(served)
    for _ in range(4):
        finish()

    stream = following(served, "/v1/events", last="0")
    streamed = [next(stream).data for _ in range(12)]
    stream.close()
    whole = served.get("/v1/events", params={"last_event_id": "0", "limit": 100}).json()
    newest = served.get("/v1/events", params={"limit": 5}).json()

    assert whole["data"] == streamed
    assert newest["data"] == streamed[-5:]
    assert served.get("/v1/events", params={"kind": "plan"}).json()["data"] == []
    assert served.get("/v1/events", params={"last_event_id": newest["last_id"]}).json() == {
        "object": "list",
        "data": [],
        "has_more": False,
        "last_id": newest["last_id"],
        "ended": False,
    }


def test_changes_of_all_jobs_come_once_through_disconnects(
    served: httpx2.Client, finish: Finish
) -> None:
    """Streams that begin with now: even one that was told nothing goes on from where it was."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            submitted(served)
            finish()

    worker = threading.Thread(target=work)
    worker.start()
    found: list[Message] = []
    for _ in range(4):
        stream = following(served, "/v1/events", last=found[-1].id if found else None)
        found += [next(stream) for _ in range(11)]
        stream.close()
    done.set()
    worker.join()

    first, last = found[0].id, found[-1].id
    whole, at = [], first
    while last not in whole:
        page = served.get("/v1/events", params={"last_event_id": at, "limit": 7}).json()
        whole += [event["id"] for event in page["data"]]
        at = page["last_id"]
    assert [m.id for m in found[1:]] == whole[: whole.index(last) + 1]


def test_a_stream_goes_on_after_the_api_was_restarted(
    settings: ServiceSettings, database: Database
) -> None:
    with serving(settings) as client:
        job_id = submitted(client)
        job = training(database, 500)
        job.report(100)
        stream = following(client, f"/v1/jobs/{job_id}/events")
        found = [next(stream) for _ in range(4)]
        stream.close()
    job.report(200)
    with serving(settings) as client:
        threading.Timer(0.3, job.finish).start()
        last = told(found)[-1].id
        found += following(client, f"/v1/jobs/{job_id}/events", last=last)

    assert_tiled(found, 500)
    assert [m.data["data"]["state"] for m in found if m.event == "state"] == [
        "queued",
        "running",
        "succeeded",
    ]


def test_a_stopping_server_ends_its_streams(settings: ServiceSettings) -> None:
    with process_serving(settings) as (client, process):
        job_id = submitted(client)
        stream = following(client, f"/v1/jobs/{job_id}/events")
        next(stream)
        began = time.monotonic()
        process.terminate()
        rest = list(stream)

    assert all(m.event == "progress" for m in rest)
    assert time.monotonic() - began < 1.5


def test_fifty_viewers_all_see_the_last_point_from_one_reader(
    settings: ServiceSettings, served: httpx2.Client, database: Database
) -> None:
    job_id = submitted(served)
    job = training(database, 1000)

    def watch() -> list[Message]:
        with httpx2.Client(base_url=served.base_url, timeout=30) as client:
            return list(following(client, f"/v1/jobs/{job_id}/events"))

    with ThreadPoolExecutor(50) as pool:
        watching = [pool.submit(watch) for _ in range(50)]
        while job.done < 900:
            job.report(50)
            time.sleep(0.02)
        job.finish()
        seen = [viewer.result() for viewer in watching]

    for found in seen:
        assert_tiled(found, 1000)
        assert found[-1].data["data"]["state"] == "succeeded"


def test_after_one_viewer_saw_the_end_the_next_is_told_it_too(
    served: httpx2.Client, database: Database
) -> None:
    job_id = submitted(served)
    path = f"/v1/jobs/{job_id}/events"
    job = training(database, 100)
    with ThreadPoolExecutor(1) as viewers:
        first = viewers.submit(lambda: list(following(served, path)))
        job.report(50)
        job.finish()
        seen = told(first.result())

    again = told(list(following(served, path, last=seen[0].id)))

    assert again[-1] == seen[-1]
    assert_tiled(again, 100)


def test_who_asks_for_a_stream_that_was_told_whole_is_sent_away(
    client: TestClient, finish: Finish
) -> None:
    job_id = submitted(client)
    finish()
    page = client.get(f"/v1/jobs/{job_id}/events").json()

    again = client.get(
        f"/v1/jobs/{job_id}/events",
        headers={"accept": "text/event-stream", "last-event-id": page["last_id"]},
    )

    assert page["ended"]
    assert again.status_code == 204


def test_a_stream_of_a_part_of_the_history_begins_there(
    client: TestClient, database: Database
) -> None:
    job_id = submitted(client)
    training(database, 100).finish()

    events = client.get(f"/v1/jobs/{job_id}/events", params={"start": 40}).json()["data"]

    (points,) = [event["data"] for event in events if event["type"] == "history"]
    assert (points["start"], points["stop"], points["epoch"][0]) == (40, 100, 40)
    assert "eval_loss" not in points or points["eval_loss"] is None


def test_what_is_no_id_of_an_event_is_refused(client: TestClient, job_id: str) -> None:
    for path in (f"/v1/jobs/{job_id}/events", "/v1/events"):
        for wrong in ("x", "1-2", "1-2-3-4", "-1-0-0"):
            response = client.get(path, params={"last_event_id": wrong})
            assert response.status_code == 422
            assert response.json()["param"] == "last_event_id"
            sent = client.get(path, headers={"last-event-id": wrong})
            assert (sent.status_code, sent.json()["param"]) == (404, "last_event_id")


def test_a_job_that_is_not_there_has_no_log(client: TestClient) -> None:
    for accept in ("application/json", "text/event-stream"):
        response = client.get(f"/v1/jobs/job_{'0' * 32}/events", headers={"accept": accept})
        assert (response.status_code, response.json()["code"]) == (404, "job_not_found")


def test_beyond_the_limit_streams_are_refused_and_those_that_end_make_room(
    settings: ServiceSettings,
) -> None:
    with serving(settings, DESCEND_MOST_STREAMS="2") as client:
        path = f"/v1/jobs/{submitted(client)}/events"
        streams = [following(client, path) for _ in range(2)]
        for stream in streams:
            next(stream)

        refused = client.get("/v1/events", headers={"accept": "text/event-stream"})
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "5"

        streams[0].close()

        def admitted() -> bool:
            accept = {"accept": "text/event-stream"}
            with client.stream("GET", path, headers=accept) as response:
                return response.status_code == 200

        wait_until(admitted)
        streams[1].close()


def test_where_a_key_is_set_streams_need_it(settings: ServiceSettings, tmp_path: Path) -> None:
    key = "dsc_1_0123456789abcdef"
    (tmp_path / "key").write_text(key)
    with serving(settings, DESCEND_API_KEY_FILE=str(tmp_path / "key")) as client:
        for path in (f"/v1/jobs/job_{'0' * 32}/events", "/v1/events"):
            for accept in ("application/json", "text/event-stream"):
                response = client.get(path, headers={"accept": accept})
                assert response.status_code == 401
        bearer = {"accept": "text/event-stream", "authorization": f"Bearer {key}"}
        with client.stream("GET", "/v1/events", headers=bearer) as response:
            assert response.status_code == 200
