"""Faults with real processes: no job is lost, none is finished twice, and every weight and loss is
bitwise that of a run to which nothing happened.
"""

import os
import signal
import time
from dataclasses import replace

from descend.errors import Unavailable
from descend.jobs import Job, JobState
from tests.chaos.stage import UNFENCED, Lesson, Stage
from tests.servers import Postgres, Program, is_alive, until

LESSON = Lesson.lasting(seconds=1.5)
LONG = Lesson.lasting(seconds=2.2)
LONGER = Lesson.lasting(seconds=3)
SHORT = Lesson(epochs=4000)


# A worker that nothing here may bring down; it was started while there was no broker.


def test_a_worker_starts_and_works_without_a_broker(survivor: Stage) -> None:
    job_id = survivor.submit(LESSON)

    job = survivor.await_end(job_id)

    assert (job.state, job.progress.epoch) == (JobState.SUCCEEDED, LESSON.epochs)
    assert survivor.claims(job_id) == [1]
    assert survivor.violations() == []


def test_flushing_the_broker_loses_no_job(survivor: Stage) -> None:
    survivor.broker.start()
    running = survivor.submit(LESSON)
    survivor.await_progress(running)
    waiting = survivor.submit(SHORT)

    survivor.broker.flush()

    for job_id in (running, waiting):
        survivor.await_end(job_id)
    assert survivor.claims(running) == [1]
    assert survivor.violations() == []


def test_a_broker_that_dies_and_comes_back_disturbs_nobody(survivor: Stage) -> None:
    running = survivor.submit(LESSON)
    survivor.await_progress(running)

    survivor.broker.kill()
    waiting = survivor.submit(SHORT)
    survivor.broker.start()

    for job_id in (running, waiting):
        survivor.await_end(job_id)
    assert survivor.claims(running) == [1]
    assert survivor.violations() == []


def test_a_killed_runner_costs_what_it_did_since_its_checkpoint(survivor: Stage) -> None:
    (worker,) = survivor.workers
    job_id = survivor.submit(LESSON)
    survivor.await_progress(job_id, epochs=LESSON.epochs // 2)

    os.kill(the_runner(worker), signal.SIGKILL)
    job = survivor.await_end(job_id)

    assert "runner killed by signal SIGKILL" in reasons(job)
    first, second = survivor.begun_at(job_id)
    assert first == 0 < second
    assert survivor.violations() == []
    assert worker.process.poll() is None


# Workers that die, or are stopped.


def test_a_killed_worker_leaves_no_runner_and_a_drained_one_no_lease(stage: Stage) -> None:
    killed = stage.hire()
    job_id = stage.submit(LONG)
    stage.await_progress(job_id)
    runner = the_runner(killed)

    killed.signal(signal.SIGKILL)
    killed.wait()
    until(lambda: not is_alive(runner), seconds=5, what="the runner dies with its worker")
    drained = stage.hire(DESCEND_CHECKPOINT_SECONDS="60")  # it saves in the drain, or never
    until(lambda: len(stage.begun_at(job_id)) == 2, what="the job is rescued")
    stage.await_progress(job_id, epochs=stage.begun_at(job_id)[1] + 1)
    seconds = drain(drained)
    job = stage.job(job_id)
    stage.hire()
    stage.await_end(job_id)

    assert seconds < 5
    assert (job.state, reasons(job)[-1]) == (JobState.QUEUED, "drained")
    assert reasons(job).count("lease expired") == 1
    first, second, third = stage.begun_at(job_id)
    assert first == 0 <= second < third
    assert stage.violations() == []


def test_a_worker_that_was_stopped_past_its_lease_is_not_believed(stage: Stage) -> None:
    stage.hire_two()
    job_id, stopped = stop_past_the_lease(stage)

    stage.await_end(job_id)

    await_its_defeat(stopped, job_id)
    assert stage.violations() == []


def test_without_the_fence_the_stopped_worker_is_believed_and_the_verdict_says_so(
    stage: Stage,
) -> None:
    """The negative control: if the fence were not looked at, the checks here would turn red."""
    stage.hire_two(program=UNFENCED)
    job_id, _ = stop_past_the_lease(stage)

    stage.await_end(job_id)

    until(stage.violations, what="a violation")
    (violation,) = [found for found in stage.violations() if "finished under fence" in found]
    assert violation.endswith(f"last claimed under {stage.claims(job_id)[-1]}")


# PostgreSQL.


def test_on_postgresql_a_worker_that_was_stopped_is_not_believed_either(
    postgres_stage: Stage,
) -> None:
    job_id, stopped = stop_past_the_lease(postgres_stage)

    postgres_stage.await_end(job_id)

    await_its_defeat(stopped, job_id)
    assert postgres_stage.violations() == []


def test_postgresql_may_crash_in_mid_training(postgres_stage: Stage, postgres: Postgres) -> None:
    stage = postgres_stage
    job_ids = [stage.submit(LESSON), stage.submit(replace(LESSON, seed=1))]
    stage.await_progress(job_ids[0])

    postgres.restart_immediately()
    until(lambda: answers(stage), what="PostgreSQL answers the test")

    for job_id in job_ids:
        stage.await_end(job_id)
    assert stage.violations() == []
    assert all(worker.process.poll() is None for worker in stage.workers)


def test_a_worker_that_cannot_renew_pauses_its_runner_and_goes_on_when_it_can(
    postgres_stage: Stage, postgres: Postgres
) -> None:
    stage = postgres_stage
    job_id = stage.submit(LONGER)
    stage.await_progress(job_id)
    holder = stage.owner(job_id)

    postgres.down()
    until(lambda: '"runner_paused"' in holder.output, what="the runner is paused")
    postgres.up()
    stage.await_end(job_id)

    assert stage.claims(job_id) == [1]
    assert stage.violations() == []


def stop_past_the_lease(stage: Stage) -> tuple[str, Program]:
    """SIGSTOP whoever trains; SIGCONT when the other worker has claimed the job.

    The stopped worker's runner trains on meanwhile, so it is ahead of the new one by a lease.
    """
    job_id = stage.submit(LONG)
    stage.await_progress(job_id)
    holder = stage.owner(job_id)
    holder.signal(signal.SIGSTOP)
    until(lambda: len(stage.claims(job_id)) == 2, what="another worker claims it")
    holder.signal(signal.SIGCONT)
    return job_id, holder


def await_its_defeat(stopped: Program, job_id: str) -> None:
    """Its heartbeat or its report was refused."""

    def told() -> bool:
        lines = [line for line in stopped.output.splitlines() if job_id in line]
        return any('"event": "lease_lost"' in line or '"fenced"' in line for line in lines)

    until(told, what="the stopped worker learns of its loss")


def drain(worker: Program) -> float:
    began = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    return time.monotonic() - began


def the_runner(worker: Program) -> int:
    return until(worker.runners, what="a runner")[-1]


def reasons(job: Job) -> list[str]:
    return [move.reason for move in job.transitions]


def answers(stage: Stage) -> bool:
    try:
        stage.database.check()
    except Unavailable:
        return False
    return True
