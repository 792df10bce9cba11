"""The statements that run all day find their rows through an index."""

from collections.abc import Iterator

import pytest
from sqlalchemy import event

from descend.jobs import QUESTIONS, JobKind
from storage.database import Database
from storage.job_log import ChangePlace
from tests.storage.acts import claim, claimed, expire_lease, get, rescue, submit


@pytest.fixture
def asked(sqlite_database: Database) -> Iterator[list[str]]:
    """What is executed, as SQLite plans it."""
    plans: list[str] = []

    def explain(connection, cursor, statement, parameters, *_):  # type: ignore[no-untyped-def]
        if statement.startswith(("SELECT", "UPDATE", "WITH", "DELETE")):
            rows = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in rows)

    engines = (sqlite_database._writer, sqlite_database._reader)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", explain)
    yield plans
    for engine in engines:
        event.remove(engine, "before_cursor_execute", explain)


AS_INTENDED = {
    "SCAN jobs USING INDEX jobs_leased",
    "SCAN job_events USING INDEX job_events_by_place",
    "SCAN waiting",  # at most as many as one claim may take; and so is what is made from it
    "SCAN placed",
    "SCAN CONSTANT ROW",
}


def scans(plans: list[str]) -> list[str]:
    """Tables that are read whole; walking the queued or the leased jobs' own index is as intended.

    So is walking the log from its end, for as many changes as are asked for.
    """
    return [
        plan
        for plan in plans
        if plan.startswith("SCAN")
        and not plan.startswith("SCAN (subquery")
        and "jobs_queued" not in plan
        and plan not in AS_INTENDED
    ]


def test_no_statement_of_the_hot_paths_reads_a_whole_table(
    sqlite_database: Database, asked: list[str]
) -> None:
    held = claimed(sqlite_database)
    job, _ = submit(sqlite_database, key="k")
    submit(sqlite_database, key="k")
    with sqlite_database.begin() as tx:
        tx.jobs.beat("w1", {held.job_id: held.fence}, lease_seconds=30)
    with sqlite_database.read() as tx:
        tx.jobs.has_queued(["cpu"])
        tx.jobs.states([held.job_id])
        tx.jobs.history(held.job_id)
        tx.jobs.queue_depth()
        tx.jobs.oldest_queued_seconds("cpu")
        tx.logs.logs([held.job_id])
        tx.logs.changes(JobKind.TRAIN, ChangePlace(1), limit=10)
        tx.logs.latest(JobKind.TRAIN, limit=1)
    get(sqlite_database, job.id)
    expire_lease(sqlite_database, held.job_id)
    rescue(sqlite_database)
    claim(sqlite_database, limit=64)

    assert scans(asked) == []
    assert any("USING COVERING INDEX jobs_queued" in plan for plan in asked)
    assert any("USING INDEX jobs_leased" in plan for plan in asked)


def test_looking_for_questions_reads_no_row_of_a_training(
    sqlite_database: Database, asked: list[str]
) -> None:
    submit(sqlite_database)
    asked.clear()

    with sqlite_database.read() as tx:
        found = tx.jobs.has_queued(["cpu"], kinds=QUESTIONS)

    assert not found
    assert [plan for plan in asked if "jobs" in plan] == [
        "SCAN jobs USING COVERING INDEX jobs_queued"
    ]
