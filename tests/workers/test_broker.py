"""Whatever stands on the broker ends no worker, and the next ring is heard."""

import json
import time

import pytest

from descend.jobs import WAKE_TASK
from service.doorbell import Doorbell
from tests.chaos.stage import Lesson, Stage
from tests.servers import Program, until

QUEUE = "descend.cpu"
A_RING = {
    "body": "W1siY3B1Il0sIHt9LCB7fV0=",
    "content-encoding": "utf-8",
    "content-type": "application/json",
    "headers": {"task": WAKE_TASK, "id": "1", "lang": "py"},
    "properties": {
        "delivery_tag": "tag",
        "delivery_info": {"exchange": "", "routing_key": QUEUE},
        "body_encoding": "base64",
    },
}


def changed(**parts: object) -> str:
    return json.dumps({**A_RING, **parts})


def of_properties(**parts: object) -> str:
    return changed(properties={**A_RING["properties"], **parts})  # type: ignore[dict-item]


BAD = [
    "no JSON",
    "",
    b"\xff\xfe",
    "[" * 100_000,
    "null",
    "5",
    '"text"',
    "[]",
    "{}",
    '{"properties": 5}',
    changed(properties={}),
    changed(properties=None),
    changed(headers=None),
    changed(headers=5),
    changed(headers={}),
    changed(headers={"task": None, "id": None}),
    changed(headers={"task": ["a"], "id": "1"}),
    changed(headers={"task": "unknown", "id": "1"}),
    changed(headers={"task": WAKE_TASK, "id": "1", "eta": "never"}),
    changed(headers={"task": WAKE_TASK, "id": "1", "expires": "never"}),
    changed(headers={"task": WAKE_TASK, "id": {"a": 1}}),
    changed(body=5),
    changed(body="not base64"),
    changed(body="e30="),
    changed(**{"content-type": "application/x-python-serialize"}),
    changed(**{"content-encoding": "no-such"}),
    changed(**{"content-type": 5}),
    of_properties(body_encoding="rot13"),
    of_properties(delivery_tag=None),
    of_properties(delivery_tag={"a": 1}),
    of_properties(delivery_info=5),
    of_properties(delivery_info={}),
    of_properties(priority="high"),
]


@pytest.fixture
def listener(own_stage: Stage) -> Program:
    """A worker that hears of a job by a ring, or in a minute."""
    hired = own_stage.hire(DESCEND_POLL_SECONDS="60")
    own_stage.broker.flush()
    return hired


def test_no_element_of_the_list_ends_a_worker(own_stage: Stage, listener: Program) -> None:
    with own_stage.broker.client() as client:
        for element in BAD:
            client.lpush(QUEUE, element)
            until(lambda: client.llen(QUEUE) == 0, what=f"{element!r} is taken")
    assert hears(own_stage)
    assert listener.process.poll() is None
    assert listener.output.count("ring_unreadable") >= 10


def test_neither_does_a_key_of_another_type_nor_what_was_never_acknowledged(
    own_stage: Stage, listener: Program
) -> None:
    with own_stage.broker.client() as client:
        client.hset("unacked", mapping={"junk": "no JSON", "more": "[1, 2, 3]"})
        client.zadd("unacked_index", {"junk": 1.0, "more": 2.0})
        client.set(QUEUE, "no list")
        until(lambda: "ResponseError" in listener.output, what="the worker stumbles over it")
        until(lambda: "ring_unreadable" in listener.output, what="and over what it is to restore")
        client.delete(QUEUE)

    assert hears(own_stage)
    assert listener.process.poll() is None


def hears(stage: Stage) -> bool:
    """Ring for a job, and see it end long before anybody would look for it unasked."""
    bell = Doorbell(stage.broker.url)
    job_id = stage.submit(Lesson(epochs=10))
    began = time.monotonic()
    while not stage.job(job_id).state.is_terminal:
        bell.ring("cpu")  # a worker that connects again may miss one
        time.sleep(0.2)
        assert time.monotonic() - began < 20
    bell.close()
    return True
