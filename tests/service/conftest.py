"""A real database, a real application; for some tests a real server or broker."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from pathlib import Path
from typing import ClassVar

import httpx2
import numpy as np
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from descend.history import History
from descend.ids import new_id
from descend.jobs import QUEUES, JobKind, Metrics, StopReason
from descend.models import LinearModel, Provenance
from service.app import create_app
from service.examples import RESPONSES
from service.settings import ServiceSettings
from storage.database import Database, Transaction
from storage.ingest_pool import IngestPool, _Child
from storage.jobs import Claim
from storage.kernels import kernel_environment
from storage.migrate import migrate
from tests.prepared import FD, Fork, prepared
from tests.storage import acts

NOTEBOOK = {"X": [[1.0], [2.0], [3.0]], "y": [2.0, 4.0, 6.0]}
DEADLINE_SECONDS = 20.0
LOCAL = "http://localhost"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the schema and no rows, to copy: migrating takes longer than most tests."""
    folder = tmp_path_factory.mktemp("schema")
    migrate(f"sqlite:///{folder / 'descend.db'}")
    return folder / "descend.db"


@pytest.fixture
def settings(tmp_path: Path, empty_database: Path) -> ServiceSettings:
    shutil.copy(empty_database, tmp_path / "descend.db")
    return ServiceSettings(data=tmp_path)


class LastingPool(IngestPool):
    """Leaves its idle children to the next test's pool: one takes half a second to start."""

    _left: ClassVar[dict[int, list[_Child]]] = {}  # by what they may allocate

    def _start(self) -> _Child:
        left = self._left.get(self._memory_bytes)
        if not left:
            return super()._start()
        child = left.pop()
        with self._lock:
            self._all.add(child)
        return child

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
            self._all.difference_update(idle)
        self._left.setdefault(self._memory_bytes, []).extend(idle)
        super().close()

    @classmethod
    def end(cls) -> None:
        for child in chain(*cls._left.values()):
            child.end()
        cls._left.clear()


@pytest.fixture(scope="session", autouse=True)
def lasting_children() -> Iterator[None]:
    yield
    LastingPool.end()


@pytest.fixture
def app(settings: ServiceSettings) -> FastAPI:
    files = LastingPool(
        processes=settings.ingest_processes,
        memory_bytes=settings.ingest_memory_bytes,
        seconds=settings.ingest_seconds,
    )
    return create_app(settings, files=files)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url=LOCAL) as connected:
        yield connected


@pytest.fixture
def database(settings: ServiceSettings) -> Iterator[Database]:
    """A second connection, as a worker has it."""
    opened = Database(settings.url)
    yield opened
    opened.close()


@pytest.fixture
def job_id(client: TestClient) -> str:
    """A queued job."""
    response = client.post("/v1/jobs", json={"dataset": NOTEBOOK})
    assert response.status_code == 202, response.text
    job_id: str = response.json()["id"]
    return job_id


Finish = Callable[..., str]


@pytest.fixture
def finish(database: Database) -> Finish:
    """Do what a worker does: claim the next job and end it with a history of n epochs."""

    def finish(n_epochs: int = 5, *, loss: np.ndarray | None = None) -> str:
        job_id = finish_next(database, 1.0 / np.arange(1.0, n_epochs + 1) if loss is None else loss)
        assert job_id is not None
        return job_id

    return finish


def claim_next(database: Database) -> Claim:
    with database.begin() as tx:
        (claim,) = tx.jobs.claim("wrk_test", 1, queues=QUEUES, lease_seconds=30)
    return claim


def finish_next(database: Database, losses: np.ndarray) -> str | None:
    with database.begin() as tx:
        claims = tx.jobs.claim("wrk_test", 1, queues=QUEUES, lease_seconds=30)
    for claim in claims:
        if claim.kind is not JobKind.TRAIN:
            assert finish_question(database, claim)
            return claim.job_id
        assert acts.finish(
            database,
            claim,
            epochs_done=min(len(losses), claim.hyperparameters.max_epochs),
            history=history_of(losses),
            model=model_of(claim.targets, claim.features, claim.job_id),
            metrics=Metrics(n_samples=3, epochs=len(losses)),
            engine="eager",
            device="cpu",
        )
        return claim.job_id
    return None


def finish_question(database: Database, claim: Claim, **more: object) -> bool:
    """Answer with the example of the documentation."""
    given = {
        "stop_reason": StopReason.ANSWERED,
        "epochs_done": 1,
        "model": None,
        "result": json.dumps(RESPONSES[claim.kind.value.capitalize()]),
    }
    return acts.finish(database, claim, **(given | more))


def history_of(losses: np.ndarray) -> History:
    n = len(losses)
    return History(
        epoch=np.arange(n, dtype=np.int64),
        train_loss=losses,
        eval_loss=np.full(n, np.nan),
        learning_rate=np.full(n, 0.01),
        grad_norm=np.sqrt(np.abs(losses)),
        gap=np.abs(losses) / 2,
        total=n,
    )


def model_of(targets: tuple[str, ...], features: tuple[str, ...], job_id: str) -> LinearModel:
    return LinearModel(
        features=list(features),
        targets=list(targets),
        coef=[[float(place + 2) for place in range(len(features))] for _ in targets],
        intercept=[0.5] * len(targets),
        metrics={"train_loss": 0.25},
        provenance=Provenance(
            job_id=job_id,
            dataset_id="ds_0193b3a49c7d7c3e8a5b1d2e3f405162",
            dataset_sha256="0" * 64,
            code_version="0.1.0",
            torch_version="2.13.0",
            device="cpu",
            dtype="float64",
            seed=0,
            engine="eager",
        ),
    )


def model_trained_on(dataset_id: str) -> LinearModel:
    """A model of the notebook's columns, whose job is deleted but not its data."""
    model = model_of(("y",), ("x0",), new_id("job"))
    assert model.provenance is not None
    provenance = model.provenance.model_copy(update={"dataset_id": dataset_id})
    return model.model_copy(update={"provenance": provenance})


def store_model(database: Database, model: LinearModel) -> str:
    """Keep a model of any shape, as if a job had made it."""
    model_id = new_id("mdl")
    with database.begin() as tx:
        tx.models.add(model, model_id=model_id, job_id=new_id("job"))
    return model_id


@pytest.fixture
def model_id(client: TestClient, job_id: str, finish: Finish) -> str:
    """A model y = 2 x0 + 0.5."""
    finish()
    model_id: str = client.get(f"/v1/jobs/{job_id}/model").json()["id"]
    return model_id


@contextmanager
def serving(settings: ServiceSettings, **environment: str) -> Iterator[httpx2.Client]:
    """Run `python -m service` on a free port of this machine."""
    with process_serving(settings, **environment) as (client, _):
        yield client


@contextmanager
def process_serving(
    settings: ServiceSettings, *, stderr: int | None = None, **environment: str
) -> Iterator[tuple[httpx2.Client, subprocess.Popen[bytes] | Fork]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = _started(
            listening.fileno(),
            stderr,
            {
                **kernel_environment(),
                "DESCEND_DATA": str(settings.data),
                "PATH": "/usr/bin:/bin",
                **environment,
            },
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        with httpx2.Client(base_url=url, timeout=30) as connected:
            wait_until(lambda: answers(connected) or process.poll() is not None)
            yield connected, process
    finally:
        process.terminate()
        assert process.wait(timeout=10) == 0
        if isinstance(process, subprocess.Popen) and process.stderr is not None:
            process.stderr.close()


def _started(
    listening: int, stderr: int | None, environment: Mapping[str, str]
) -> subprocess.Popen[bytes] | Fork:
    """Start it as users do where what it says is asked for; else a fork does as well."""
    if stderr is None:
        with Path(os.devnull).open() as nothing:
            return prepared("service", "service.__main__").start(
                "--fd", FD, env=environment, files=[nothing.fileno(), 1, 2], passed=[listening]
            )
    return subprocess.Popen(
        [sys.executable, "-m", "service", "--fd", str(listening)],
        env=environment,
        pass_fds=(listening,),
        stderr=stderr,
    )


def answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx2.TransportError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.01)


class CountingDatabase(Database):
    """The real one; it counts how often it is read."""

    reads = 0

    def read(self) -> AbstractContextManager[Transaction]:
        self.reads += 1
        return super().read()


@pytest.fixture
def counting(settings: ServiceSettings) -> Iterator[CountingDatabase]:
    database = CountingDatabase(settings.url)
    yield database
    database.close()
