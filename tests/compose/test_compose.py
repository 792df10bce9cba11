"""`make compose-test`: the images and the compose file with a real Docker engine.

Uses the engine that DOCKER_HOST names. Everything it makes carries a project name of its own and
is taken down again; the images stay, so that the next build is quick.
"""

import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from descend.client import Client, Run
from descend.errors import Unauthorized
from descend.jobs import JobState
from tests.house.sources import ROOT
from tests.servers import free_port, until

pytestmark = pytest.mark.compose

LESSON = {"learning_rate": 0.01, "max_epochs": 1000, "standardize": False, "tol": 0}
X, Y = [[1.0], [2.0], [3.0]], [2.0, 4.0, 6.0]
# In the worker container: end the process that tini started, as an out-of-memory kill would.
KILL_WORKER = """
import os, signal
from pathlib import Path
for entry in Path("/proc").glob("[0-9]*"):
    words = (entry / "cmdline").read_bytes().split(b"\\0")
    parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
    if words[1:3] == [b"-m", b"workers"] and parent == "1":
        os.kill(int(entry.name), signal.SIGKILL)
        print("killed", entry.name)
"""
WHO_AM_I = """
import json, os
from pathlib import Path
status = dict(line.split(":\\t", 1) for line in Path("/proc/1/status").read_text().splitlines()
              if ":\\t" in line)
try:
    Path("/app/written").touch()
    writable = True
except OSError:
    writable = False
print(json.dumps({"uid": os.getuid(), "writable": writable, "caps": int(status["CapEff"], 16),
                  "no_new_privs": status["NoNewPrivs"].strip()}))
"""
NO_TORCH = "import importlib.util as u; print(u.find_spec('torch'))"


@dataclass(frozen=True)
class Deployment:
    project: str
    folder: Path
    port: int
    key: str

    def compose(self, *arguments: str, capture: bool = True) -> str:
        command = ["docker", "compose", "--env-file", self.folder / "env", "-p", self.project]
        answer = subprocess.run(
            [*command, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE if capture else None,
            text=True,
            check=True,
        )
        return answer.stdout or ""

    def inside(self, service: str, program: str) -> str:
        return self.compose("exec", "-T", service, "python", "-c", program).strip()

    def container(self, service: str) -> dict[str, object]:
        state = self.compose("ps", "--format", "json", service).splitlines()[0]
        return dict(json.loads(state))

    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{self.port}", api_key=self.key)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("secrets")
    key = f"dsc_test_{secrets.token_hex(24)}"
    for name, secret in {"api_key": key, "database_password": secrets.token_hex(24)}.items():
        (folder / name).write_text(secret)
        (folder / name).chmod(0o444)
    port = free_port()
    (folder / "env").write_text(f"DESCEND_SECRETS={folder}\nDESCEND_PORT={port}\n")
    deployment = Deployment(f"descend-test-{secrets.token_hex(3)}", folder, port, key)
    try:
        with timed("build"):
            deployment.compose("build", capture=False)
        with timed("up"):
            deployment.compose("up", "--detach", "--wait", "--no-build", capture=False)
        yield deployment
    except subprocess.CalledProcessError:
        deployment.compose("logs", "--no-color", "--tail", "60", capture=False)
        raise
    finally:
        with timed("down"):
            deployment.compose("down", "--volumes", "--timeout", "30", capture=False)


class timed:  # noqa: N801  reads as a verb
    """Print how long a block took."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        self.began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        print(f"\n[compose-test] {self.what}: {time.monotonic() - self.began:.1f} s")  # noqa: T201


def long_job(client: Client, *, epochs: int) -> Run:
    return client.train(X, Y, **LESSON | {"max_epochs": epochs, "learning_rate": 1e-5})


def epochs_of(client: Client, *, seconds: float) -> int:
    """How many take so long here: to reach into a container takes a second."""
    begun = time.monotonic()
    long_job(client, epochs=100_000).wait(timeout_seconds=120)
    return min(10_000_000, int(100_000 * seconds / (time.monotonic() - begun)))


def test_the_notebook_job_is_trained_over_http_with_the_key(deployed: Deployment) -> None:
    with deployed.client() as client, timed("notebook job"):
        run = client.train(X, Y, **LESSON).wait(timeout_seconds=60)

        assert run.history.total == 1000
        assert run.history.train_loss[0] == pytest.approx(18.666666666666668, rel=1e-14)
        assert run.model.coef[0][0] == pytest.approx(1.97078250602932, abs=1e-13)
        assert run.model.intercept[0] == pytest.approx(0.06641823135781, abs=1e-13)
        assert run.model.predict([[4.0]])[0, 0] == pytest.approx(7.9495482554751, abs=1e-12)


def test_an_exact_fit_has_its_standard_errors(deployed: Deployment) -> None:
    """They are computed by the service, in an image of its own."""
    with deployed.client() as client:
        run = client.train([[1.0], [2.0], [3.0], [4.0]], [2.0, 4.1, 5.9, 8.2], optimizer="exact")
        told = client.summary(run.wait(timeout_seconds=60).job.model_id or "")

    (slope, _) = told.targets[0].coefficients
    assert told.refused is None
    assert slope.estimate == pytest.approx(2.04, abs=1e-12)
    assert slope.std_error == pytest.approx(0.06480740698407846, rel=1e-9)


def test_without_the_key_nothing_is_answered(deployed: Deployment) -> None:
    with Client(f"http://127.0.0.1:{deployed.port}") as client, pytest.raises(Unauthorized):
        client.train(X, Y, **LESSON)


@pytest.mark.parametrize("service", ["api", "worker"])
def test_the_program_has_no_rights_and_cannot_change_itself(
    deployed: Deployment, service: str
) -> None:
    found = json.loads(deployed.inside(service, WHO_AM_I))

    assert found == {"uid": 10001, "writable": False, "caps": 0, "no_new_privs": "1"}


def test_there_is_no_torch_in_the_service(deployed: Deployment) -> None:
    assert deployed.inside("api", NO_TORCH) == "None"


def test_a_job_outlives_the_kill_of_its_workers_process(deployed: Deployment) -> None:
    with deployed.client() as client:
        epochs = epochs_of(client, seconds=8)
        undisturbed = long_job(client, epochs=epochs).wait(timeout_seconds=120)
        run = long_job(client, epochs=epochs)
        until(lambda: run.refresh().progress.fraction > 0.3, seconds=60)

        killed = deployed.inside("worker", KILL_WORKER)
        at_epoch = run.refresh().progress.epoch

        assert killed.startswith("killed")
        with timed(f"recovery of the job killed at epoch {at_epoch:,}"):
            run.wait(timeout_seconds=180)
        assert run.state is JobState.SUCCEEDED
        assert run.job.attempt == 2
        assert run.model.coef == undisturbed.model.coef
        assert run.history.train_loss.tolist() == undisturbed.history.train_loss.tolist()
        assert deployed.container("worker")["State"] == "running"


def test_what_is_stored_outlives_the_containers(deployed: Deployment) -> None:
    with deployed.client() as client:
        job_id = client.train(X, Y, **LESSON).wait(timeout_seconds=60).id

    deployed.compose("down", "--timeout", "30")
    deployed.compose("up", "--detach", "--wait", "--no-build")

    with deployed.client() as client:
        assert client.job(job_id).state is JobState.SUCCEEDED
