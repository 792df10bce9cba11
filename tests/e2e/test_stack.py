"""The launcher with real processes: refusals, restarts, kills, and what is left behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import descend
from descend.client import Client
from descend.jobs import JobState
from descend.processes import born, reap_orphans
from tests.e2e.conftest import start_stack, stop_stack
from tests.servers import Broker, free_port, until

LESSON = {"learning_rate": 0.01, "max_epochs": 1000, "standardize": False, "tol": 0}
CHECKOUT = Path(descend.__file__).resolve().parents[1]


@contextmanager
def running_stack(data: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process, url = start_stack(data, *options)
    try:
        yield process, url
    finally:
        if process.poll() is None:
            stop_stack(process)


def refused(*arguments: str) -> tuple[int, str]:
    """Run `descend up`, expecting it to end by itself; return its exit code and its words."""
    answer = subprocess.run(
        [sys.executable, "-P", "-m", "descend.cli", "up", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return answer.returncode, " ".join(answer.stderr.split())


def recorded(data: Path) -> dict[str, int]:
    """Map each child's name to its process, as the launcher wrote it down."""
    state = json.loads((data / "stack.json").read_text())
    return {one["name"]: one["pid"] for one in state["processes"]}


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Which of these still run; psutil compares start times, so no stranger is taken for one."""
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def train_lesson(url: str) -> str:
    with Client(url) as client:
        run = client.train([[1.0], [2.0], [3.0]], [2.0, 4.0, 6.0], **LESSON)
        return run.wait(timeout_seconds=60).id


def test_a_second_start_finds_the_earlier_jobs_and_models(tmp_path: Path) -> None:
    with running_stack(tmp_path) as (_, url):
        job_id = train_lesson(url)

    with running_stack(tmp_path) as (_, url), Client(url) as client:
        run = client.run(job_id)

        assert run.state is JobState.SUCCEEDED
        assert len(run.history) == 1000
        assert run.model.predict([[4.0]])[0, 0] == pytest.approx(7.9495482554751)


def test_a_backup_taken_while_it_runs_is_a_folder_that_can_be_started(tmp_path: Path) -> None:
    data, copy, restored = tmp_path / "data", tmp_path / "copy.tar", tmp_path / "restored"
    with running_stack(data) as (_, url):
        job_id = train_lesson(url)

        subprocess.run(
            [sys.executable, "-m", "descend.cli", "backup", copy, "--data", data], check=True
        )

    restored.mkdir()
    subprocess.run(["tar", "-xf", copy, "-C", restored], check=True)
    with running_stack(restored) as (_, url), Client(url) as client:
        assert client.run(job_id).model.coef[0][0] == pytest.approx(1.97078250602932)


def test_a_backup_of_nothing_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "descend.cli", "backup", tmp_path / "copy.tar"]

    answer = subprocess.run([*command, "--data", tmp_path / "nothing"], check=False)

    assert answer.returncode != 0
    assert not (tmp_path / "copy.tar").exists()


def test_ctrl_c_in_mid_training_ends_every_process_in_ten_seconds_and_loses_no_job(
    tmp_path: Path,
) -> None:
    with running_stack(tmp_path) as (process, url), Client(url) as client:
        endless = LESSON | {"max_epochs": 10_000_000}
        run = client.train([[1.0], [2.0], [3.0]], [2.0, 4.0, 6.0], **endless)
        until(lambda: run.refresh().progress.epoch > 0)
        family = psutil.Process(process.pid).children(recursive=True)
        began = time.monotonic()

        code = stop_stack(process)

        assert code == 0
        assert time.monotonic() - began < 10
        until(lambda: alive(family) == [], seconds=3)
        assert not (tmp_path / "stack.json").exists()

    with running_stack(tmp_path) as (_, url), Client(url) as client:
        again = client.run(run.id)
        until(lambda: again.refresh().attempt == 2)
        assert again.job.progress.epoch > 0
        again.cancel()
        assert again.wait(timeout_seconds=20, check=False).state is JobState.CANCELLED


def test_what_a_killed_launcher_leaves_does_not_block_the_next_start(tmp_path: Path) -> None:
    port = str(free_port())
    process, url = start_stack(tmp_path, "--port", port)
    job_id = train_lesson(url)
    orphans = [psutil.Process(pid) for pid in recorded(tmp_path).values()]

    process.kill()
    process.communicate()

    assert len(alive(orphans)) == 3
    with running_stack(tmp_path, "--port", port) as (_, again), Client(again) as client:
        assert again == url
        assert alive(orphans) == []
        assert client.job(job_id).state is JobState.SUCCEEDED


def test_a_configured_broker_and_database_are_used_in_place_of_embedded_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker().start()
    try:
        monkeypatch.setenv("DESCEND_BROKER_URL", broker.url)
        monkeypatch.setenv("DESCEND_DATABASE_URL", f"sqlite:///{tmp_path}/elsewhere.db")

        with running_stack(tmp_path / "data") as (_, url):
            assert set(recorded(tmp_path / "data")) == {"api", "worker-1"}
            assert train_lesson(url)
            assert broker.client().exists("_kombu.binding.descend.cpu")

        assert broker.answers()
        assert (tmp_path / "elsewhere.db").exists()
        assert not (tmp_path / "data" / "descend.db").exists()
    finally:
        broker.kill()


def test_two_workers_serve_one_stack_that_no_other_user_can_read_or_ring(tmp_path: Path) -> None:
    data = tmp_path / "data of somebody"
    before = os.umask(0)
    try:
        with running_stack(data, "--workers", "2") as (_, url):
            assert {"worker-1", "worker-2"} <= set(recorded(data))
            assert train_lesson(url)
            broker = psutil.Process(recorded(data)["broker"])
            open_to_others = [p for p in (data, *data.rglob("*")) if p.stat().st_mode & 0o077]

            assert open_to_others == []
            assert [c for c in broker.net_connections("inet") if c.status == "LISTEN"] == []
    finally:
        os.umask(before)
    assert not (data / "broker.sock").exists()


def test_a_second_stack_on_the_same_folder_is_refused_with_the_reason(tmp_path: Path) -> None:
    with running_stack(tmp_path) as (process, url):
        code, words = refused("--port", "0", "--data", str(tmp_path))

        assert code == 2
        assert f"a stack already runs on the folder {tmp_path}" in words
        assert f"process {process.pid} at {url}" in words
        assert train_lesson(url)


def test_a_port_in_use_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        code, words = refused("--port", port, "--data", str(tmp_path))

    assert code == 2
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in words
    assert not (tmp_path / "logs").exists()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    code, words = refused("--port", "0", "--data", str(tmp_path / "file" / "data"))

    assert code == 2
    assert f"cannot use the folder {tmp_path / 'file' / 'data'}: Not a directory" in words


def test_an_address_that_others_reach_is_refused_without_a_key(tmp_path: Path) -> None:
    code, words = refused("--host", "192.0.2.1", "--port", "0", "--data", str(tmp_path))

    assert code == 2
    assert "DESCEND_API_KEY_FILE" in words


def test_a_database_that_cannot_be_migrated_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "descend.db").write_bytes(b"this is no database" * 100)

    code, words = refused("--port", "0", "--data", str(tmp_path))

    assert code == 3
    assert "the database cannot be migrated" in words
    assert "restore the last backup" in words
    assert "Traceback" not in words
    assert not (tmp_path / "stack.json").exists()


@pytest.mark.parametrize(
    ("name", "blow"),
    [("api", signal.SIGKILL), ("broker", signal.SIGKILL), ("worker-1", signal.SIGSTOP)],
)
def test_a_child_that_is_dead_or_deaf_is_started_again_and_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, blow: signal.Signals
) -> None:
    monkeypatch.setenv("DESCEND_DEAF_SECONDS", "2")
    with running_stack(tmp_path) as (_, url):
        pid = recorded(tmp_path)[name]

        os.kill(pid, blow)

        until(lambda: recorded(tmp_path)[name] != pid)
        until(lambda: born(recorded(tmp_path)[name]) is not None)
        assert born(pid) is None
        assert train_lesson(url)


def test_a_package_that_hides_ours_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "__init__.py").touch()

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    code, words = refused("--port", "0")

    assert code == 3
    assert f"the package 'service' would come from {tmp_path / 'service'}" in words


def test_where_only_the_client_is_installed_docker_compose_is_named(tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "descend", tmp_path / "descend")
    alone = (
        f"import sys; sys.path = [{str(tmp_path)!r}] + [p for p in sys.path"
        f" if p not in ('', {str(CHECKOUT)!r})]; from descend.cli import main; main()"
    )

    answer = subprocess.run(
        [sys.executable, "-c", alone, "up"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 3
    assert "docker compose up" in " ".join(answer.stderr.split())


@contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_only_the_very_process_that_was_recorded_is_reaped(tmp_path: Path) -> None:
    record = tmp_path / "stack.json"
    with sleeper() as ours, sleeper() as stranger:
        processes = [
            {"name": "api", "pid": ours.pid, "born": born(ours.pid)},
            {"name": "broker", "pid": stranger.pid, "born": f"{born(stranger.pid)}0"},
        ]
        record.write_text(json.dumps({"processes": processes}))

        reap_orphans(record)

        assert ours.wait(timeout=5) == -signal.SIGTERM
        assert stranger.poll() is None
        assert not record.exists()
