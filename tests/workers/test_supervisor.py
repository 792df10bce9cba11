"""The supervisor and a runner, frame by frame: real pipe, real spool, real rows."""

import multiprocessing
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from descend.jobs import JobError, JobKind, JobState, StopReason
from storage.database import Database
from tests.storage.acts import get, submit
from workers import frames
from workers.crew import Crew
from workers.process import Runner
from workers.reports import Entry, Fate, write_report
from workers.settings import WorkerSettings
from workers.spool import Spool
from workers.supervisor import Supervisor


@pytest.fixture
def supervisor(sqlite_database: Database, tmp_path: Path) -> Iterator[Supervisor]:
    settings = WorkerSettings(data=tmp_path)
    made = Supervisor(sqlite_database, settings)
    made._spool = Spool(tmp_path / "spool", made.worker_id)
    made._crew = Crew(settings, made._spool.folder, worker_id=made.worker_id)
    yield made
    made._spool.close()
    made._ear.close()
    made._bell.close()


@pytest.fixture
def ends(supervisor: Supervisor) -> Iterator[tuple[Runner, Connection]]:
    """A ready runner as the supervisor holds it, and the runner's own end of the pipe."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=signal.pause)
    process.start()
    runner = Runner(process, ours, 1, heard=time.monotonic(), patience_seconds=60, ready=True)
    supervisor._crew._runners.append(runner)
    yield runner, theirs
    process.kill()
    process.join()
    ours.close()
    theirs.close()


def look(supervisor: Supervisor) -> None:
    supervisor.ring()
    supervisor._look(time.monotonic())


def test_a_runner_has_no_new_order_before_it_said_that_the_last_one_is_served(
    supervisor: Supervisor, ends: tuple[Runner, Connection], sqlite_database: Database
) -> None:
    runner, theirs = ends
    first, second = (submit(sqlite_database)[0].id for _ in range(2))
    supervisor._hand_over(runner, supervisor._ledger.claim(1))
    failed = Entry(
        first,
        1,
        Fate.FAILED,
        0,
        stop_reason=StopReason.ERROR,
        error=JobError(code="internal_error", message="no"),
    )
    write_report(supervisor._spool.folder / "report-1-0", [failed], step_seconds=0.0)

    frames.send(theirs, frames.Reported(number=0))
    supervisor._read(runner)
    look(supervisor)
    before_it_is_idle = get(sqlite_database, second).state
    frames.send(theirs, frames.Idle(retire=False))
    supervisor._read(runner)
    look(supervisor)

    assert before_it_is_idle is JobState.QUEUED
    assert get(sqlite_database, second).state is JobState.RUNNING
    assert [frames.receive_from_worker(theirs) for _ in range(2)] == [
        frames.Train(number=1),
        frames.Train(number=2),
    ]


def test_a_slot_takes_a_training_before_a_question_that_came_first(
    supervisor: Supervisor, ends: tuple[Runner, Connection], sqlite_database: Database
) -> None:
    question = submit(sqlite_database, kind=JobKind.PLAN, priority=9)[0].id
    training = submit(sqlite_database, priority=0)[0].id

    look(supervisor)

    assert get(sqlite_database, training).state is JobState.RUNNING
    assert get(sqlite_database, question).state is JobState.QUEUED


def test_a_slot_takes_a_question_where_no_training_waits(
    supervisor: Supervisor, ends: tuple[Runner, Connection], sqlite_database: Database
) -> None:
    question = submit(sqlite_database, kind=JobKind.PLAN)[0].id

    look(supervisor)

    assert get(sqlite_database, question).state is JobState.RUNNING


def test_a_drain_waits_for_its_runners_without_spinning(
    supervisor: Supervisor, ends: tuple[Runner, Connection], sqlite_database: Database
) -> None:
    runner, _ = ends
    submit(sqlite_database)
    look(supervisor)
    supervisor._beat(time.monotonic())
    supervisor.ring()
    ringing = supervisor._next_event()

    supervisor.drain()
    supervisor._enforce(time.monotonic())

    assert runner.busy
    assert ringing <= time.monotonic() < supervisor._next_event()
