"""What a server says of jobs whose fate is known: real broker, real worker, real API."""

import json
import os
import signal
from collections.abc import Iterator

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from descend.jobs import JobState
from service.metric_names import BUILT_IN, FLEET, PROCESS
from tests.chaos.stage import Lesson, Stage
from tests.servers import Program, api, ending, until

SHORT = Lesson(epochs=50)
LONG = Lesson.lasting(seconds=20)

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(client: httpx2.Client) -> Values:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(values: Values, name: str, **labels: str) -> float:
    return values.get((name, frozenset(labels.items())), 0.0)


def total(values: Values, name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(n for (found, own), n in values.items() if found == name and wanted <= own)


@pytest.fixture
def hired(own_stage: Stage) -> Program:
    return own_stage.hire()


@pytest.fixture
def server(own_stage: Stage) -> Iterator[tuple[Program, httpx2.Client]]:
    program, url = api(own_stage.env(), own_stage.folder / "api.log")
    with ending(program), httpx2.Client(base_url=url, timeout=30) as client:
        yield program, client


def test_what_became_of_jobs_is_counted_and_stays_counted_when_they_are_deleted(
    own_stage: Stage, hired: Program, server: tuple[Program, httpx2.Client]
) -> None:
    _, client = server
    diverging = {"dataset": {"X": [[1.0], [2.0], [3.0]], "y": [2.0, 4.0, 6.0]}} | {
        "hyperparameters": {"optimizer": "sgd", "learning_rate": 50.0, "standardize": False}
    }
    ended = [own_stage.submit(SHORT)]
    ended.append(client.post("/v1/jobs?wait=30", json=diverging).json()["id"])
    running = own_stage.submit(LONG)
    own_stage.await_progress(running)
    client.post(f"/v1/jobs/{running}/cancel")

    states = [own_stage.await_end(job_id).state for job_id in [*ended, running]]
    before = scraped(client)
    for job_id in [*ended, running]:
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    hired.signal(signal.SIGTERM)
    hired.wait()
    after = until(lambda: _without_workers(client), what="the worker has signed off")

    assert states == [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED]
    for values in (before, after):
        for state in states:
            assert total(values, "descend_jobs_ended_total", kind="train", state=state) == 1
        assert value(values, "descend_job_failures_total", code="diverged") == 1
        assert value(values, "descend_claim_wait_seconds_count", queue="cpu") == 3
        assert value(values, "descend_jobs", queue="cpu", state="queued") == 0
    assert total(before, "descend_epochs_total") >= SHORT.epochs + 1
    assert total(after, "descend_epochs_total") == total(before, "descend_epochs_total")
    assert value(before, "descend_workers", queue="cpu") == 1
    assert value(before, "descend_worker_last_seen_seconds", queue="cpu") < 15
    assert total(before, "descend_slots") == 1


def _without_workers(client: httpx2.Client) -> Values | None:
    values = scraped(client)
    return values if value(values, "descend_workers", queue="cpu") == 0 else None


def test_a_killed_runner_is_counted_by_its_cause_and_its_job_as_queued_again(
    own_stage: Stage, hired: Program, server: tuple[Program, httpx2.Client]
) -> None:
    _, client = server
    job_id = own_stage.submit(LONG)
    own_stage.await_progress(job_id)

    (runner,) = hired.runners()
    os.kill(runner, signal.SIGKILL)

    def told() -> bool:
        return value(scraped(client), "descend_runner_restarts_total", cause="killed") == 1

    until(told, what="the worker tells of its runner")
    assert value(scraped(client), "descend_jobs_requeued_total", cause="runner_lost") == 1
    assert value(scraped(client), "descend_leases_lost_total") == 0


def test_a_queue_that_nobody_serves_shows_its_age(
    own_stage: Stage, server: tuple[Program, httpx2.Client]
) -> None:
    _, client = server
    own_stage.submit_together([SHORT, SHORT])

    def old() -> bool:
        return value(scraped(client), "descend_queue_oldest_seconds", queue="cpu") > 0.5

    until(old, what="the queue's age grows")
    values = scraped(client)
    assert value(values, "descend_jobs", queue="cpu", state="queued") == 2
    assert value(values, "descend_workers", queue="cpu") == 0


def test_a_server_shows_exactly_the_metrics_of_the_catalogue(
    server: tuple[Program, httpx2.Client],
) -> None:
    _, client = server

    families = {
        family.name: family.type
        for family in text_string_to_metric_families(client.get("/metrics").text)
    }

    wanted = {metric.family: metric.type for metric in [*FLEET.values(), *PROCESS.values()]}
    built_in = {name.removesuffix("_total") for name in BUILT_IN}
    assert {name: kind for name, kind in families.items() if name in wanted} == wanted
    assert set(families) - set(wanted) == built_in


def test_a_request_and_its_job_can_be_followed_through_the_logs(
    own_stage: Stage, hired: Program, server: tuple[Program, httpx2.Client]
) -> None:
    program, client = server
    sent = client.post(
        "/v1/jobs?wait=30",
        json={"dataset": {"X": [[1.0], [2.0]], "y": [7654.25, 4.0]}, "name": "no-such-word"},
        headers={"x-request-id": "the-request"},
    )
    client.get("/healthz")
    job_id = sent.json()["id"]

    def told() -> list[dict[str, object]]:
        return [line for line in _lines(hired) if line["event"] == "outcome"]

    (outcome,) = until(told, what="the worker notes the end")
    (request,) = [line for line in _lines(program) if line["event"] == "request"]
    assert request["request_id"] == "the-request"
    assert request["job_id"] == job_id == outcome["job_id"]
    assert request["route"] == "/v1/jobs"
    assert request["status"] == sent.status_code
    assert request["process"] == "api"
    assert {"attempt": 1, "fence": 1, "queue": "cpu"}.items() <= outcome.items()
    assert outcome["worker_id"] in own_stage.ids_of(hired)
    for text in (program.output, hired.output):
        assert "7654.25" not in text
        assert "no-such-word" not in text


def _lines(program: Program) -> list[dict[str, object]]:
    """Every line is JSON: whatever is not fails here."""
    return [json.loads(line) for line in program.output.splitlines()]
