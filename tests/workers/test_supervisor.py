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
from workers.spool import Spool, read_file, write_file
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


def reported(supervisor: Supervisor, theirs: Connection, *entries: Entry, number: int) -> None:
    write_report(supervisor._spool.folder / f"report-1-{number}", entries, step_seconds=0.0)
    frames.send(theirs, frames.Reported(number=number))


def damaged(supervisor: Supervisor, *, number: int, **changed: object) -> None:
    """Change the first entry of a report that lies in the spool."""
    path = supervisor._spool.folder / f"report-1-{number}"
    whole, blobs = read_file(path)
    whole["entries"][0] |= changed
    path.unlink()
    write_file(path, whole, blobs)


@pytest.mark.parametrize(
    ("fate", "changed", "said"),
    [
        (Fate.RUNNING, {"resolved": {"learning_rate": 1e301}}, "Hyperparameters.learning_rate"),
        (Fate.FAILED, {"metrics": {"n_samples": "x"}}, "Metrics.n_samples"),
        (Fate.SUCCEEDED, {"stop_reason": "converged"}, "a success without weights"),
        (Fate.FAILED, {}, "an ended job without a reason"),
    ],
)
def test_an_entry_that_cannot_be_read_fails_its_job_at_once_and_leaves_its_neighbour_alone(
    supervisor: Supervisor,
    ends: tuple[Runner, Connection],
    sqlite_database: Database,
    fate: Fate,
    changed: dict[str, object],
    said: str,
) -> None:
    runner, theirs = ends
    bad, good = (submit(sqlite_database)[0].id for _ in range(2))
    supervisor._hand_over(runner, supervisor._ledger.claim(2))
    entries = [Entry(bad, 1, fate, 0), Entry(good, 1, Fate.RUNNING, 7)]

    reported(supervisor, theirs, *entries, number=0)
    damaged(supervisor, number=0, **changed)
    supervisor._read(runner)
    supervisor._settle()
    failed, neighbour = get(sqlite_database, bad), get(sqlite_database, good)

    assert (failed.state, failed.stop_reason) == (JobState.FAILED, StopReason.ERROR)
    assert failed.error is not None
    assert failed.error.code == "internal_error"
    assert said in failed.error.message
    assert (neighbour.state, neighbour.attempt) == (JobState.RUNNING, 1)
    assert neighbour.progress.epoch == 7
    assert runner in supervisor._crew
    assert good in runner.jobs


def test_a_runner_lets_go_of_a_job_whose_entry_could_not_be_read(
    supervisor: Supervisor, ends: tuple[Runner, Connection], sqlite_database: Database
) -> None:
    runner, theirs = ends
    bad, good = (submit(sqlite_database)[0].id for _ in range(2))
    supervisor._hand_over(runner, supervisor._ledger.claim(2))
    reported(supervisor, theirs, Entry(bad, 1, Fate.RUNNING, 0), number=0)
    damaged(supervisor, number=0, warnings=5)
    supervisor._read(runner)
    supervisor._settle()
    order, drop = (frames.receive_from_worker(theirs) for _ in range(2))

    reported(supervisor, theirs, Entry(bad, 1, Fate.DROPPED, 3), number=1)
    supervisor._read(runner)
    supervisor._settle()

    assert order == frames.Train(number=1)
    assert drop == frames.Drop(job_id=bad, fence=1)
    assert list(runner.jobs) == [good]
    assert get(sqlite_database, bad).state is JobState.FAILED
    assert get(sqlite_database, good).state is JobState.RUNNING


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
