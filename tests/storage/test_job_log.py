"""The log of all jobs: in an order that no late commit can break."""

import threading

from sqlalchemy import text

from descend.jobs import JobKind, JobState, StopReason
from storage.database import Database
from storage.job_log import Change, ChangePlace
from storage.jobs import Outcome
from tests.storage.acts import cancel, claim, claimed, crash, finish, submit


def following(database: Database, after: ChangePlace, limit: int = 100) -> list[Change]:
    return [change for _, change in places(database, after, limit)]


def places(
    database: Database, after: ChangePlace, limit: int = 100
) -> list[tuple[ChangePlace, Change]]:
    with database.read() as tx:
        return tx.logs.changes(JobKind.TRAIN, after, limit=limit)


def test_every_change_of_state_is_told_in_order_with_its_attempt(database: Database) -> None:
    held = claimed(database)
    crash(database, held)
    again = claim(database)[0]
    finish(database, again)

    found = following(database, ChangePlace())

    assert [(c.data.state, c.data.attempt) for c in found] == [
        (JobState.QUEUED, 0),
        (JobState.RUNNING, 1),
        (JobState.QUEUED, 1),
        (JobState.RUNNING, 2),
        (JobState.SUCCEEDED, 2),
    ]
    assert [c.data.stop_reason for c in found] == [None] * 4 + [StopReason.MAX_EPOCHS]


def test_reading_by_parts_tells_the_same(database: Database) -> None:
    for _ in range(5):
        finish(database, claimed(database))

    at, parts = ChangePlace(), []
    while found := places(database, at, limit=2):
        parts += found
        at = found[-1][0]

    assert parts == places(database, ChangePlace())
    assert len(parts) == 15
    with database.read() as tx:
        assert tx.logs.latest(JobKind.TRAIN, limit=4) == parts[-4:]
        assert tx.logs.changes(JobKind.PLAN, ChangePlace(), limit=9) == []


def test_the_place_of_a_deleted_job_is_never_given_again(sqlite_database: Database) -> None:
    finish(sqlite_database, claimed(sqlite_database))
    (*_, (place, change)) = places(sqlite_database, ChangePlace())
    with sqlite_database.begin() as tx:
        tx.jobs.delete(change.job_id)

    job, _ = submit(sqlite_database)

    assert [c.job_id for c in following(sqlite_database, place)] == [job.id]


def test_what_is_committed_late_is_told_after_what_was_told_before(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    late = claimed(database)
    (*_, (start, _)) = places(database, ChangePlace())
    told: list[str] = []
    finished, told_once = threading.Event(), threading.Event()

    def finish_slowly() -> None:
        with database.begin() as tx:
            tx.jobs.finish(
                Outcome(
                    job_id=late.job_id,
                    fence=late.fence,
                    state=JobState.FAILED,
                    stop_reason=StopReason.ERROR,
                    epochs_done=1,
                )
            )
            finished.set()
            told_once.wait(10)

    slow = threading.Thread(target=finish_slowly)
    slow.start()
    finished.wait(10)
    quick, _ = submit(database)
    first = places(database, start)
    told_once.set()
    slow.join()
    rest = places(database, first[-1][0] if first else start)
    database.close()

    told = [change.job_id for _, change in first + rest]
    assert told == [late.job_id, quick.id]


def test_a_restored_database_tells_new_changes_after_old_ones(postgresql_url: str) -> None:
    """Numbers of transactions begin anew: places from before would be ahead of all to come."""
    from storage.migrate import migrate

    database = Database(postgresql_url)
    job, _ = submit(database)
    with database.begin() as tx:
        tx.connection.execute(text("UPDATE job_events SET place = place + 1000000"))
    migrate(postgresql_url)

    cancel(database, job.id)

    assert [c.data.state for c in following(database, ChangePlace())] == [
        JobState.QUEUED,
        JobState.CANCELLED,
    ]
    database.close()
