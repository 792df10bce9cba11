"""An API that dies after it has committed and before it has rung, or answered."""

from pathlib import Path

import httpx2
import pytest

from descend.jobs import JobState
from tests.chaos.api_dies_at_ring import KILLED
from tests.chaos.stage import Lesson, Stage
from tests.servers import api, ending

LESSON = Lesson(epochs=8000)
KEY = {"Idempotency-Key": "once"}


def body(lesson: Lesson) -> dict[str, object]:
    return {
        "dataset": lesson.data().model_dump(exclude_none=True),
        "hyperparameters": lesson.hyperparameters().model_dump(exclude_defaults=True),
    }


def test_a_job_whose_api_died_before_the_ring_is_there_once_and_ends(
    survivor: Stage, tmp_path: Path
) -> None:
    env = survivor.env()
    dying, url = api(env, tmp_path / "a.log", program=("-m", "tests.chaos.api_dies_at_ring"))
    with ending(dying), pytest.raises(httpx2.TransportError):
        httpx2.post(f"{url}/v1/jobs", json=body(LESSON), headers=KEY)
    assert dying.wait() == KILLED
    with survivor.database.read() as tx:
        (committed,) = [job.id for job in tx.jobs.page().data if job.id not in survivor.lessons]

    living, url = api(env, tmp_path / "b.log")
    with ending(living), httpx2.Client(base_url=url) as client:
        again = client.post("/v1/jobs", json=body(LESSON), headers=KEY).json()
        ended = client.get(f"/v1/jobs/{again['id']}", params={"wait": 30}).json()

    assert again["id"] == committed
    assert ended["state"] == JobState.SUCCEEDED
    survivor.lessons[again["id"]] = LESSON
    assert survivor.violations([again["id"]]) == []
