"""Counters: in the transaction that they count, and longer-lived than what they count."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from descend.jobs import JobKind, JobState
from storage.counters import (
    CLAIM_WAIT,
    JOB_FAILURES,
    JOBS_ENDED,
    JOBS_REQUEUED,
    LEASES_LOST,
)
from storage.database import Database
from storage.reconcile import SILENT_SECONDS
from tests.storage.acts import cancel, claim, claimed, expire_lease, finish, rescue, submit


def counted(database: Database) -> dict[tuple[str, ...], float]:
    with database.read() as tx:
        return {(one.name, *one.labels): one.value for one in tx.fleet.read().counts}


def test_an_end_is_counted_once_and_outlives_the_job(database: Database) -> None:
    held = claimed(database)
    finish(database, held)
    finish(database, held)  # its commit's answer was lost

    with database.begin() as tx:
        tx.jobs.delete(held.job_id)

    assert counted(database)[JOBS_ENDED, JobKind.TRAIN, JobState.SUCCEEDED, "none"] == 1


def test_what_is_rolled_back_is_not_counted(database: Database) -> None:
    job, _ = submit(database)

    def break_off() -> None:
        with database.begin() as tx:
            tx.jobs.request_cancel(job.id)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        break_off()

    assert counted(database) == {}


def test_a_cancel_in_the_queue_is_an_end_and_one_while_running_is_not_yet(
    database: Database,
) -> None:
    running, (waiting, _) = claimed(database), submit(database)

    cancel(database, running.job_id)
    cancel(database, waiting.id)
    cancel(database, waiting.id)

    ends = {key: n for key, n in counted(database).items() if key[0] == JOBS_ENDED}
    assert ends == {(JOBS_ENDED, JobKind.TRAIN, JobState.CANCELLED, "none"): 1}


def test_a_lost_lease_is_counted_with_what_became_of_its_job(database: Database) -> None:
    submit(database)
    for _ in range(10):
        (held,) = claim(database)
        expire_lease(database, held.job_id)
        rescue(database)

    found = counted(database)
    assert found[LEASES_LOST,] == 10
    assert found[JOBS_REQUEUED, "lease_expired"] == 9
    assert found[JOB_FAILURES, "crashed"] == 1
    assert found[JOBS_ENDED, JobKind.TRAIN, JobState.QUARANTINED, "none"] == 1


def test_a_claim_is_counted_by_how_long_it_was_waited_for(database: Database) -> None:
    claimed(database)

    waits = {key: n for key, n in counted(database).items() if key[0] == CLAIM_WAIT}
    assert sum(waits.values()) == 1
    assert all(queue == "cpu" and float(end) < 60 for _, queue, end in waits)


def test_many_who_count_the_same_lose_nothing(database: Database) -> None:
    def count(_: int) -> None:
        with database.begin() as tx:
            tx.tally.add("b")
            tx.tally.add("a")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(200)))

    assert counted(database) == {("a",): 200, ("b",): 200}


def test_workers_that_were_killed_are_forgotten_after_a_day(database: Database) -> None:
    with database.begin() as tx:
        tx.workers.seen("w1", "here", pid=1, queues=["cpu"], stats={"slots_busy": 1})
        tx.workers.seen("w2", "here", pid=2, queues=["cpu"])
        day = round(1e6 * (SILENT_SECONDS + 1))
        late = text("UPDATE workers SET last_seen = last_seen - :day WHERE id = 'w2'")
        tx.connection.execute(late, {"day": day})

    with database.begin() as tx:
        tx.workers.forget_silent(SILENT_SECONDS)

    with database.read() as tx:
        (left,) = tx.fleet.read().workers
    assert (left.worker_id, left.queues, left.stats) == ("w1", ("cpu",), {"slots_busy": 1})


def test_a_look_at_the_fleet_takes_milliseconds_whatever_has_been_kept(
    sqlite_database: Database,
) -> None:
    """100,000 jobs, a tenth of them queued (the limit), the others ended."""
    job, _ = submit(sqlite_database)
    _multiply(sqlite_database, job.id)
    with sqlite_database.read() as tx:
        tx.fleet.read()  # the file is read once

    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        with sqlite_database.read() as tx:
            fleet = tx.fleet.read()
        seconds.append(time.perf_counter() - began)

    assert [(load.queue, load.jobs) for load in fleet.loads] == [("cpu", 10_001)]
    assert min(seconds) < 0.02, seconds


def _multiply(database: Database, job_id: str) -> None:
    with database.begin() as tx:
        copied = [
            column
            for (_, column, *_) in tx.connection.execute(text("PRAGMA table_info(jobs)"))
            if column not in {"id", "idempotency_key", "state", "finished_at"}
        ]
        tx.connection.execute(text(COPY.replace("names", ", ".join(copied))), {"id": job_id})


COPY = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO jobs (id, state, finished_at, names)
SELECT id || '-' || i, iif(i % 10, 'succeeded', 'queued'), iif(i % 10, changed_at, NULL), names
FROM jobs, n WHERE id = :id
"""
