"""A worker whose supervisor hangs ends itself; one that waits in order does not."""

import resource
import threading
from pathlib import Path

from descend.jobs import JobState
from descend.pulse import Pulse
from tests.chaos.stage import Lesson, Stage
from tests.servers import ending, worker
from workers.watchdog import Watchdog

STUCK = ("-m", "tests.workers.stuck")
LESSON = Lesson(epochs=1000)


def test_a_worker_that_cannot_write_waits_and_one_that_hangs_says_where_and_ends(
    own_stage: Stage,
) -> None:
    """A row that is silent is no sign: it cannot be written while a disk is full."""
    hired = own_stage.hire(program=STUCK, DESCEND_DEAF_SECONDS="1")
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(hired.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    job_id = own_stage.submit(LESSON)

    assert not threading.Event().wait(2.5)
    waits = hired.process.poll() is None
    resource.prlimit(hired.pid, resource.RLIMIT_FSIZE, unlimited)
    ended = own_stage.await_end(job_id, 10)
    (own_stage.folder / "data" / "stuck").touch()
    status = hired.wait(10)

    assert waits
    assert ended.state is JobState.SUCCEEDED
    assert status != 0
    (told,) = own_stage._logged("supervisor_hangs")
    assert any("workers/stuck.py" in place for place in told["at"])


def test_a_worker_whose_log_is_on_a_full_disk_works_and_ends_when_its_supervisor_fails(
    own_stage: Stage,
) -> None:
    with ending(worker(own_stage.env(), Path("/dev/full"))) as unheard:
        job_id = own_stage.submit(LESSON)
        ended = own_stage.await_end(job_id, 30)
        with own_stage.database.begin() as tx:
            tx.connection.exec_driver_sql("ALTER TABLE workers RENAME COLUMN last_seen TO gone")
        status = unheard.wait()

    assert ended.state is JobState.SUCCEEDED
    assert status == 1


def test_a_thread_that_touches_is_left_alone_and_one_that_stops_is_not() -> None:
    pulse, stop, noticed = Pulse(), threading.Event(), threading.Event()

    def touch() -> None:
        while not stop.wait(0.05):
            pulse.touch()
        noticed.wait(10)

    thread = threading.Thread(target=touch)
    dog = Watchdog(pulse, thread, deaf_seconds=0.5, on_failure=noticed.set)
    thread.start()
    dog.start()
    left_alone = not noticed.wait(1.5)

    stop.set()

    assert left_alone
    assert noticed.wait(5)
    thread.join()
    dog.close()


def test_a_watchdog_that_is_closed_ends_nobody() -> None:
    pulse, noticed = Pulse(), threading.Event()
    pulse.touch()
    dog = Watchdog(pulse, threading.current_thread(), deaf_seconds=0.1, on_failure=noticed.set)

    dog.start()
    dog.close()
    dog._thread.join(5)

    assert not noticed.is_set()
    assert not dog._thread.is_alive()
