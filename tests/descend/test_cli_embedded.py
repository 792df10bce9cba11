"""`descend train` with nothing running: a server for the length of the command, and no longer."""

import json
import socket
import subprocess
from pathlib import Path

import pytest

from descend.commands.servers import DEFAULT_URL
from tests.descend.conftest import PROGRAM, Command, environment
from tests.e2e.conftest import start_stack, stop_stack
from tests.servers import is_alive, until


def usual_port_is_taken() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(DEFAULT_URL.rpartition(":")[2]))) == 0


pytestmark = pytest.mark.skipif(usual_port_is_taken(), reason=f"something serves {DEFAULT_URL}")
TRAIN = ("train", "cars.csv", "--target", "mpg", "--optimizer", "exact")


def test_train_starts_a_server_uses_it_and_stops_it(run: Command, folder: Path) -> None:
    first = run(*TRAIN)
    second = run(*TRAIN, "--json")

    assert first.code == 0, first.err
    assert "No server is running: starting one in .descend" in first.err
    assert "succeeded (solved)" in first.out
    assert "The server has stopped" in first.err
    assert (second.code, second.err) == (0, "")
    assert json.loads(second.out)["state"] == "succeeded"
    assert not (folder / ".descend" / "stack.json").exists()
    assert "descend up" in run("jobs").err


def test_two_at_once_in_one_folder_share_a_server(folder: Path) -> None:
    both = [
        subprocess.Popen(
            [PROGRAM, *TRAIN, "--json"],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]

    ends = [process.communicate(timeout=120) for process in both]

    assert [process.returncode for process in both] == [0, 0], ends
    assert [json.loads(out)["state"] for out, _ in ends] == ["succeeded"] * 2
    assert not (folder / ".descend" / "stack.json").exists()


def test_train_uses_the_stack_that_runs_in_the_folder(run: Command, folder: Path) -> None:
    process, url = start_stack(folder / ".descend")
    try:
        ended = run(*TRAIN)
        status = run("status", "--json")
    finally:
        stop_stack(process)

    assert ended.code == 0, ended.err
    assert "starting one" not in ended.err
    assert json.loads(status.out)["url"] == url


def test_interrupted_it_stops_its_server_and_keeps_the_job(folder: Path, run: Command) -> None:
    endless = ("--epochs", "1e7", "--tol", "0", "--lr", "1e-9")
    process = subprocess.Popen(
        [PROGRAM, "train", "cars.csv", "--target", "mpg", *endless],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = [process.stderr.readline() for _ in range(2)]
    record = json.loads((folder / ".descend" / "stack.json").read_text())

    process.send_signal(2)
    _, err = process.communicate(timeout=30)

    job_id = said[1].split()[0]
    assert process.returncode == 130
    assert f"{job_id} is kept" in err
    for one in record["processes"]:
        until(lambda pid=one["pid"]: not is_alive(pid), what=f"{one['name']} has ended")


def test_detach_starts_no_server_that_would_end_at_once(run: Command) -> None:
    ended = run(*TRAIN, "--detach")

    assert ended.code == 3
    assert "Start one, and leave it running: descend up" in ended.err


def test_a_key_is_sent_and_never_shown(
    run: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "dsc_0a0b0c0d_" + "7" * 64
    (folder / "key").write_text(f"{key}\n")
    monkeypatch.setenv("DESCEND_API_KEY_FILE", str(folder / "key"))
    process, url = start_stack(folder / "keyed")
    try:
        of_file = run("jobs", "--url", url, "--key-file", "key")
        of_variable = run("jobs", env={"DESCEND_URL": url, "DESCEND_API_KEY": key})
        without = run("jobs", env={"DESCEND_URL": url})
        wrong = run("jobs", env={"DESCEND_URL": url, "DESCEND_API_KEY": key[:-1] + "8"})
    finally:
        stop_stack(process)

    ends = [of_file, of_variable, without, wrong]
    assert [one.code for one in ends] == [0, 0, 2, 2]
    assert "DESCEND_API_KEY" in without.err
    assert key[:-1] not in "".join(one.out + one.err for one in ends)
