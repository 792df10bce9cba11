"""The SQL moves jobs along the contract's TRANSITIONS: all of them, and no other."""

from sqlalchemy import text

from descend.jobs import TRANSITIONS, JobState, StopReason
from storage.database import Database
from tests.storage.acts import (
    cancel,
    claim,
    claimed,
    crash,
    expire_lease,
    finish,
    give_back,
    release,
    rescue,
    submit,
)


def edges(database: Database) -> set[tuple[str, str]]:
    with database.read() as tx:
        rows = tx.connection.execute(
            text("SELECT from_state, to_state FROM job_events WHERE from_state IS NOT NULL")
        )
        return {(row.from_state, row.to_state) for row in rows}


def drive_every_transition(database: Database) -> None:
    for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED):
        finish(database, claimed(database), state=state, stop_reason=StopReason.ERROR)
    cancel(database, submit(database)[0].id)
    release(database, claimed(database))
    give_back(database, claim(database)[0])
    (dead,) = claim(database)
    expire_lease(database, dead.job_id)
    rescue(database)
    for _ in range(3):
        crash(database, claim(database)[0])


def test_every_transition_of_the_table_is_reached_and_no_other(database: Database) -> None:
    drive_every_transition(database)

    assert edges(database) == {
        (before.value, after.value) for before, onward in TRANSITIONS.items() for after in onward
    }


def test_every_change_of_state_has_its_event_with_the_fence_it_was_made_under(
    database: Database,
) -> None:
    held = claimed(database)
    release(database, held)
    finish(database, claim(database, worker="w2")[0])

    with database.read() as tx:
        events = tx.connection.execute(
            text("SELECT to_state, fence, owner FROM job_events ORDER BY seq")
        ).all()

    assert [tuple(event) for event in events] == [
        ("queued", 0, None),
        ("running", 1, "w1"),
        ("queued", 2, "w1"),
        ("running", 3, "w2"),
        ("succeeded", 3, "w2"),
    ]
