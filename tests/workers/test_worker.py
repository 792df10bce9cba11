"""One worker with real processes: what it is made of, and what it does with jobs."""

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
import torch

from descend.jobs import Job, JobState, StopReason
from storage.artefacts import LocalArtefacts
from storage.ingest import JsonTable
from tests.chaos.stage import LEASE_SECONDS, Lesson, Stage
from tests.servers import Program, is_alive, until

SHORT = Lesson(epochs=1000)
LONG = Lesson.lasting(seconds=2)
ENDLESS = Lesson.lasting(seconds=60)


@pytest.fixture
def worker(stage: Stage) -> Program:
    return stage.workers[0]


def fork_server(worker: Program) -> psutil.Process:
    """The only child with children; multiprocessing's resource tracker has none."""
    children = psutil.Process(worker.pid).children()
    return until(lambda: next((child for child in children if child.children()), None))


def the_runner(worker: Program) -> int:
    return until(worker.runners, what="a runner")[-1]


def holds_torch(pid: int) -> bool:
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def spools(stage: Stage) -> list[Path]:
    return list((stage.folder / "data" / "spool").glob("wrk_*"))


def reasons(job: Job) -> list[str]:
    return [move.reason for move in job.transitions]


# What it is made of


def test_torch_is_in_the_fork_server_and_the_runner_and_not_in_the_worker(worker: Program) -> None:
    assert not holds_torch(worker.pid)
    assert holds_torch(fork_server(worker).pid)
    assert holds_torch(the_runner(worker))
    assert "torch_not_preloaded" not in worker.output


def test_the_fork_server_has_one_thread_and_so_has_the_runner(worker: Program) -> None:
    assert fork_server(worker).num_threads() == 1
    assert psutil.Process(the_runner(worker)).num_threads() == 1


def test_the_fork_server_is_out_of_reach_of_the_workers_signals(worker: Program) -> None:
    server = fork_server(worker)

    assert os.getsid(server.pid) != os.getsid(worker.pid)
    for pid in (server.pid, the_runner(worker)):
        status = Path(f"/proc/{pid}/status").read_text()
        ignored = int(status.split("SigIgn:\t")[1].split()[0], 16)
        for number in (signal.SIGINT, signal.SIGTERM):
            assert ignored & 1 << (number - 1)


def test_the_worker_has_a_spool_of_its_own(stage: Stage) -> None:
    (folder,) = spools(stage)

    assert (folder / "owner").exists()


# What it does with jobs


def test_jobs_trained_together_have_the_bits_of_jobs_trained_alone(stage: Stage) -> None:
    lessons = [Lesson(epochs=1000 + 37 * seed, seed=seed) for seed in range(8)]

    job_ids = stage.submit_together(lessons)
    for job_id in job_ids:
        stage.await_end(job_id)

    assert stage.violations(job_ids) == []
    started = {stage.job(job_id).started_at for job_id in job_ids}
    assert len(started) == 1  # by one claim


def test_a_ring_is_heard_at_once(stage: Stage) -> None:
    """With the poll alone a job waits for half a second, as often as not."""
    from service.doorbell import Doorbell

    bell = Doorbell(stage.broker.url)
    waits = []
    for seed in range(5):
        job_id = stage.submit(Lesson(epochs=10, seed=seed))
        bell.ring("cpu")
        stage.await_end(job_id)
        job = stage.job(job_id)
        assert job.started_at is not None
        waits.append((job.started_at - job.created_at).total_seconds())
    bell.close()

    assert sorted(waits)[2] < 0.2


def test_a_cancelled_job_ends_within_two_seconds_and_its_neighbour_goes_on(stage: Stage) -> None:
    cancelled, neighbour = stage.submit_together([ENDLESS, LONG])
    stage.await_progress(cancelled)

    stage.cancel(cancelled)
    began = time.monotonic()
    job = stage.await_end(cancelled)
    seconds = time.monotonic() - began
    stage.await_end(neighbour)

    assert seconds < 2
    assert (job.state, job.stop_reason) == (JobState.CANCELLED, StopReason.CANCELLED)
    with stage.database.read() as tx:
        assert tx.jobs.history(cancelled).total == job.progress.epoch > 0
    assert stage.claims(neighbour) == [1]
    assert stage.violations([neighbour]) == []


def test_a_hung_runner_does_not_keep_a_cancel_waiting(stage: Stage, worker: Program) -> None:
    job_id = stage.submit(ENDLESS)
    stage.await_progress(job_id)
    os.kill(the_runner(worker), signal.SIGSTOP)

    stage.cancel(job_id)
    job = stage.await_end(job_id, seconds=10)

    assert job.state is JobState.CANCELLED


def test_a_job_past_its_timeout_expires(stage: Stage) -> None:
    job_id = stage.submit(ENDLESS, timeout_seconds=1)

    job = stage.await_end(job_id)

    assert (job.state, job.stop_reason) == (JobState.EXPIRED, StopReason.TIMED_OUT)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_job_for_a_device_that_is_not_there_fails_with_its_code(stage: Stage) -> None:
    job_id = stage.submit(SHORT, device="cuda")

    job = stage.await_end(job_id)

    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == "device_unavailable"


def test_data_that_cannot_train_fails_with_its_code_and_the_neighbour_goes_on(
    stage: Stage,
) -> None:
    neighbour = stage.submit(SHORT)
    job_id = stage.submit(SHORT, features=["x0", "absent"])

    job = stage.await_end(job_id)
    stage.await_end(neighbour)

    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.code, job.error.param) == ("invalid_dataset", "absent")
    assert stage.violations([neighbour]) == []


def test_data_in_the_artefact_store_is_read_from_its_file(stage: Stage) -> None:
    found = JsonTable.of(SHORT.data()).ingested(name=None)
    assert found.inline is not None
    LocalArtefacts(stage.folder / "data" / "artefacts").put("datasets/1", found.inline)

    job_id = stage.submit(SHORT, artefact="datasets/1")
    lost = stage.submit(SHORT, artefact="datasets/2")
    stage.await_end(job_id)
    job = stage.await_end(lost)

    assert stage.violations([job_id]) == []
    assert job.error is not None
    assert job.error.code == "corrupt_artefact"


def test_an_unexpected_error_is_told_by_an_id_whose_traceback_is_in_the_log_alone(
    stage: Stage, worker: Program
) -> None:
    (stage.folder / "data" / "artefacts" / "datasets" / "folder").mkdir(parents=True)

    job = stage.await_end(stage.submit(SHORT, artefact="datasets/folder"))

    assert job.error is not None
    assert job.error.code == "internal_error"
    assert "Error" not in job.error.message.replace("unexpected error", "")
    error_id = job.error.detail["error_id"]
    (line,) = [line for line in worker.output.splitlines() if f'"error_id": "{error_id}"' in line]
    told = json.loads(line)
    assert told["exception"][0]["frames"]
    assert told["attempts"] == {job.id: 1}


def test_a_hung_runner_is_killed_and_its_job_starts_again(stage: Stage, worker: Program) -> None:
    job_id = stage.submit(LONG)
    stage.await_progress(job_id)

    os.kill(the_runner(worker), signal.SIGSTOP)
    job = stage.await_end(job_id)

    assert "runner hung" in reasons(job)
    assert stage.violations([job_id]) == []


def test_the_death_of_the_fork_server_is_not_counted_against_a_job(
    stage: Stage, worker: Program
) -> None:
    job_id = stage.submit(LONG)
    stage.await_progress(job_id)
    runner = the_runner(worker)

    fork_server(worker).kill()
    job = stage.await_end(job_id)

    assert "the fork server died" in reasons(job)
    assert not is_alive(runner)
    assert stage.violations([job_id]) == []


def test_three_crashes_quarantine_a_job_and_leave_its_neighbour_alone(
    stage: Stage, worker: Program
) -> None:
    """The second crash was one too many to be believed: each then runs alone."""
    poison, neighbour = stage.submit_together([ENDLESS, Lesson.lasting(seconds=0.5)])
    for attempt in (1, 2, 3):

        def on_it(attempt: int = attempt) -> bool:
            job = stage.job(poison)
            running = job.state is JobState.RUNNING and job.attempt == attempt
            # Of this attempt: what a checkpoint brought is there with the claim.
            return running and job.estimated_finish is not None

        until(on_it, what=f"attempt {attempt}")
        os.kill(the_runner(worker), signal.SIGKILL)

    job = stage.await_end(poison)
    stage.await_end(neighbour)

    assert (job.state, job.stop_reason) == (JobState.QUARANTINED, StopReason.CRASHED)
    assert job.error is not None
    assert "SIGKILL" in job.error.message
    assert stage.violations([neighbour]) == []


def test_a_spool_that_cannot_be_written_costs_time_and_no_crash(stage: Stage) -> None:
    job_id = stage.submit(LONG)
    stage.await_progress(job_id)
    (folder,) = spools(stage)

    moved = folder.rename(folder.parent / "gone")
    until(lambda: "the spool could not be written" in reasons(stage.job(job_id)))
    moved.rename(folder)
    job = stage.await_end(job_id)

    assert not [reason for reason in reasons(job) if "killed" in reason]
    assert stage.violations([job_id]) == []


# How it ends


def test_a_hung_runner_dies_with_its_worker(own_stage: Stage) -> None:
    worker = own_stage.hire()
    own_stage.await_progress(own_stage.submit(ENDLESS))
    runner, server = the_runner(worker), fork_server(worker)
    os.kill(runner, signal.SIGSTOP)

    worker.signal(signal.SIGKILL)
    worker.wait()

    until(lambda: not is_alive(runner), seconds=5, what="the runner is gone")
    until(lambda: not is_alive(server.pid), seconds=5, what="the fork server is gone")
    assert worker.process.returncode == -signal.SIGKILL


def test_a_worker_whose_supervisor_fails_ends_with_an_error_and_cleans_up(
    own_stage: Stage,
) -> None:
    killed = own_stage.hire()
    killed.signal(signal.SIGKILL)
    killed.wait()
    left_by_the_killed_one = spools(own_stage)
    worker = own_stage.hire()

    with own_stage.database.begin() as tx:
        tx.connection.exec_driver_sql("ALTER TABLE workers RENAME COLUMN last_seen TO gone")
        tx.connection.exec_driver_sql("ALTER TABLE jobs RENAME COLUMN lease TO gone")
    status = worker.wait()

    assert len(left_by_the_killed_one) == 1
    assert status == 1
    assert '"supervisor_failed"' in worker.output
    assert spools(own_stage) == []


def test_jobs_of_a_worker_whose_supervisor_fails_go_back_without_a_crash(own_stage: Stage) -> None:
    worker = own_stage.hire()
    job_id = own_stage.submit(ENDLESS)
    own_stage.await_progress(job_id)

    with own_stage.database.begin() as tx:
        tx.connection.exec_driver_sql("ALTER TABLE workers RENAME COLUMN last_seen TO gone")
    status = worker.wait()
    job = own_stage.job(job_id)

    assert status == 1
    assert (job.state, reasons(job)[-1]) == (JobState.QUEUED, "its worker failed")
    assert own_stage.crashes(job_id) == 0


def test_a_pause_of_everything_takes_no_job_from_a_worker_that_lives(own_stage: Stage) -> None:
    own_stage.hire_two()
    job_id = own_stage.submit(ENDLESS)
    own_stage.await_progress(job_id)
    holder = own_stage.owner(job_id)
    (other,) = [one for one in own_stage.workers if one is not holder]
    time.sleep(LEASE_SECONDS)  # the other has watched for long enough to rescue

    for _ in range(2):
        stop(holder, other)
        time.sleep(1.5 * LEASE_SECONDS)  # time itself is the accident
        other.signal(signal.SIGCONT)
        time.sleep(0.5 * LEASE_SECONDS)  # the other looks first
        resume(holder)
        own_stage.await_progress(job_id, own_stage.job(job_id).progress.epoch + 1)

    assert own_stage.claims(job_id) == [1]


def test_a_pause_of_everything_does_not_count_to_the_timeout(own_stage: Stage) -> None:
    worker = own_stage.hire()
    job_id = own_stage.submit(ENDLESS, timeout_seconds=5)
    own_stage.await_progress(job_id)

    stop(worker)
    time.sleep(6.0)  # time itself is the accident
    resume(worker)

    job = own_stage.await_end(job_id)
    assert job.state is JobState.EXPIRED
    assert job.started_at is not None
    assert job.finished_at is not None
    assert (job.finished_at - job.started_at).total_seconds() > 5 + 6 - 1


def stop(*workers: Program) -> None:
    for worker in workers:
        worker.signal(signal.SIGSTOP)
        for runner in worker.runners():
            os.kill(runner, signal.SIGSTOP)


def resume(worker: Program) -> None:
    for runner in worker.runners():
        os.kill(runner, signal.SIGCONT)
    worker.signal(signal.SIGCONT)
