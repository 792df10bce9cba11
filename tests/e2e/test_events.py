"""A real worker's job, followed from its submission to its end."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.streams import Message, following, told

SPEC = {
    "dataset": {
        "X": [[float(i % 17), float(i % 5)] for i in range(200)],
        "y": [1.0] * 100 + [2.0] * 100,
    },
    "hyperparameters": {"batch_size": 20, "learning_rate": 0.001, "max_epochs": 3000, "tol": 0},
}


@pytest.fixture
def http(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, timeout=60) as client:
        yield client


def test_a_training_is_told_whole_through_disconnects_as_list_and_stream(
    http: httpx2.Client,
) -> None:
    job_id = http.post("/v1/jobs", json=SPEC).json()["id"]
    path = f"/v1/jobs/{job_id}/events"

    found: list[Message] = []
    for cut in (2, 5, 8, 10**9):
        last = told(found)[-1].id if told(found) else None
        for message in following(http, path, last=last):
            found.append(message)
            if len(found) >= cut:
                break

    ids = [m.id for m in told(found)]
    assert len(ids) == len(set(ids))
    states = [m.data["data"]["state"] for m in found if m.event == "state"]
    assert states == ["queued", "running", "succeeded"]
    rows = [m.data["data"] for m in found if m.event == "history"]
    assert [r["start"] for r in rows] == [0, *(r["stop"] for r in rows[:-1])]
    history = http.get(f"/v1/jobs/{job_id}/history").json()
    assert rows[-1]["stop"] == history["total"] == 3000
    shown = {e: loss for r in rows for e, loss in zip(r["epoch"], r["train_loss"], strict=True)}
    assert shown.items() <= dict(zip(history["epoch"], history["train_loss"], strict=True)).items()
    of_job = []
    for message in following(http, "/v1/events", last="0"):
        if message.data["job_id"] == job_id:
            of_job.append(message.data["data"]["state"])
        if of_job[-1:] == ["succeeded"]:
            break
    assert of_job == states
