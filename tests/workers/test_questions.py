"""A question is answered while every slot trains: a worker has a place for it."""

import os
import signal

import psutil
import pytest

from descend.jobs import Job, JobState
from tests.chaos.stage import Lesson, Stage
from tests.servers import Program, until

SMALL = Lesson(epochs=100)
LONG = Lesson.lasting(seconds=4)
ENDLESS = Lesson.lasting(seconds=60)
AT_ONCE_SECONDS = 5.0  # on a busy machine; alone it takes a fifth of a second and the poll


@pytest.fixture
def worker(own_stage: Stage) -> Program:
    return own_stage.hire()


def training(stage: Stage) -> str:
    job_id = stage.submit(ENDLESS)
    stage.await_progress(job_id)
    return job_id


def the_one_that_answers(stage: Stage, worker: Program) -> int:
    """Ask, while one runner trains; return the pid of the other that this brings."""
    trainers = set(worker.runners())
    stage.await_end(stage.ask(SMALL), seconds=AT_ONCE_SECONDS)
    (answering,) = set(worker.runners()) - trainers
    return answering


def is_answered(job: Job) -> bool:
    return job.state is JobState.SUCCEEDED and bool(job.result)


def test_a_plan_is_answered_while_a_training_goes_on(own_stage: Stage, worker: Program) -> None:
    trained = training(own_stage)
    epochs = own_stage.job(trained).progress.epoch

    answered = own_stage.await_end(own_stage.ask(SMALL), seconds=AT_ONCE_SECONDS)

    assert is_answered(answered)
    assert own_stage.job(trained).state is JobState.RUNNING
    own_stage.await_progress(trained, epochs + 1)
    assert own_stage.claims(trained) == [1]


def test_no_training_takes_the_place_of_a_question(own_stage: Stage, worker: Program) -> None:
    training(own_stage)
    second = own_stage.submit(LONG)

    answers = [own_stage.await_end(own_stage.ask(SMALL), seconds=AT_ONCE_SECONDS) for _ in "12"]

    assert all(is_answered(job) for job in answers)
    assert own_stage.job(second).state is JobState.QUEUED
    assert len(worker.runners()) == 2


def test_the_runner_for_questions_ends_when_nobody_asks(own_stage: Stage, worker: Program) -> None:
    training(own_stage)
    (trainer,) = worker.runners()

    own_stage.await_end(own_stage.ask(SMALL), seconds=AT_ONCE_SECONDS)
    both = worker.runners()
    until(lambda: worker.runners() == [trainer], seconds=20, what="one runner is left")

    assert len(both) == 2


def test_a_question_that_brings_its_runner_down_does_not_touch_the_training(
    own_stage: Stage, worker: Program
) -> None:
    trained = training(own_stage)
    answering = the_one_that_answers(own_stage, worker)
    os.kill(answering, signal.SIGSTOP)

    asked = own_stage.ask(SMALL)
    until(lambda: own_stage.job(asked).state is JobState.RUNNING, what="it is claimed")
    os.kill(answering, signal.SIGKILL)
    job = own_stage.await_end(asked)

    assert is_answered(job)
    assert "runner killed by signal SIGKILL" in [move.reason for move in job.transitions]
    assert own_stage.claims(trained) == [1]
    assert own_stage.job(trained).state is JobState.RUNNING


def test_sigterm_drains_the_training_and_the_question(own_stage: Stage, worker: Program) -> None:
    trained = training(own_stage)
    answering = the_one_that_answers(own_stage, worker)
    os.kill(answering, signal.SIGSTOP)
    asked = own_stage.ask(SMALL)
    until(lambda: own_stage.job(asked).state is JobState.RUNNING, what="it is claimed")

    runners = worker.runners()
    worker.signal(signal.SIGTERM)
    status = worker.wait()

    assert status == 0
    assert len(runners) == 2
    assert not any(psutil.pid_exists(pid) for pid in runners)
    assert {own_stage.job(job_id).state for job_id in (trained, asked)} == {JobState.QUEUED}
    assert {own_stage.crashes(job_id) for job_id in (trained, asked)} == {0}
