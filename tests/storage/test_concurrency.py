"""Several threads and processes at once: what the database's locks are for."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from sqlalchemy import text

from descend.errors import QueueFull
from descend.ids import new_id
from descend.jobs import JobState
from storage.database import Database, Transaction
from storage.jobs import JobRepository
from tests.storage.acts import (
    a_dataset,
    cancel,
    claim,
    claimed,
    expire_lease,
    finish,
    get,
    report,
    rescue,
    submit,
)

T = TypeVar("T")

CLAIM_ALL = """
import sys
from storage.database import Database
database = Database(sys.argv[1])
while True:
    with database.begin() as tx:
        taken = tx.jobs.claim(sys.argv[2], 3, queues=["cpu"], lease_seconds=30)
    if not taken:
        break
    print(*(held.job_id for held in taken), sep="\\n")
"""


def at_once(n: int, act: Callable[[int], T]) -> list[T]:
    """Run an act in n threads that all begin together."""
    barrier = Barrier(n)

    def run(i: int) -> T:
        barrier.wait()
        return act(i)

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(run, range(n)))


def test_threads_that_claim_at_once_never_get_the_same_job(database: Database) -> None:
    ids = [submit(database)[0].id for _ in range(40)]

    taken = at_once(8, lambda i: [claim(database, worker=f"w{i}", limit=2) for _ in range(10)])

    got = [held.job_id for claims in taken for batch in claims for held in batch]
    assert Counter(got) == Counter(ids)


def test_processes_that_claim_at_once_never_get_the_same_job(
    database: Database, database_url: str
) -> None:
    ids = [submit(database)[0].id for _ in range(60)]

    workers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM_ALL, database_url, f"w{i}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(3)
    ]
    got = [line for worker in workers for line in worker.communicate(timeout=60)[0].split()]

    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert Counter(got) == Counter(ids)


def test_on_postgresql_no_claim_or_rescue_waits_for_another(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    first, second = submit(database)[0].id, submit(database)[0].id
    dead = [claimed(database, priority=9).job_id for _ in range(2)]
    for job_id in dead:
        expire_lease(database, job_id)

    with database.begin() as tx:
        mine = tx.jobs.claim("w1", 1, queues=["cpu"], lease_seconds=30)
        rescued = tx.jobs.rescue(limit=1)
        theirs = claim(database, worker="w2")  # in a transaction of its own, beside this one
        also_rescued = rescue(database)

    assert [mine[0].job_id, theirs[0].job_id] == [first, second]
    assert sorted(rescued + also_rescued) == sorted(dead)
    database.close()


def test_fifty_submissions_with_one_key_make_one_job(database: Database) -> None:
    answers = at_once(50, lambda _: submit(database, key="k"))

    with database.read() as tx:
        counted = tx.connection.execute(
            text("SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM datasets)")
        ).one()
    assert len({job.id for job, _ in answers}) == 1
    assert sum(created for _, created in answers) == 1
    assert tuple(counted) == (1, 1)


def test_of_a_cancel_and_a_finish_at_once_the_state_is_never_a_lie(database: Database) -> None:
    for _ in range(10):
        held = claimed(database)

        answers = at_once(
            2,
            lambda i, held=held: (  # type: ignore[misc]
                finish(database, held) if i else cancel(database, held.job_id)
            ),
        )

        promised, state = answers[0], get(database, held.job_id).state
        assert not isinstance(promised, bool)
        if promised.intent == "cancel":  # the cancel was accepted: 202
            assert state is JobState.CANCELLED
        else:
            assert state is promised.state is JobState.SUCCEEDED


def test_reports_and_a_cancel_at_once_lose_nothing(database: Database) -> None:
    held = claimed(database)

    at_once(
        4, lambda i: cancel(database, held.job_id) if i == 0 else report(database, held, 10 * i)
    )

    job = get(database, held.job_id)
    assert job.intent == "cancel"
    assert job.progress.epoch in {10, 20, 30}


class Unfenced(JobRepository):
    """The negative control: any claim is as good as the last."""

    @staticmethod
    def mine(fence):  # type: ignore[no-untyped-def]
        from storage.tables import jobs

        return jobs.c.fence >= fence


def test_without_the_fence_a_zombie_is_believed(database: Database, database_url: str) -> None:
    unfenced = Database(database_url, jobs=Unfenced)
    zombie = claimed(database)
    with database.begin() as tx:
        tx.jobs.release(zombie.job_id, zombie.fence, reason="lost")
    (owner,) = claim(database, worker="w2")

    with unfenced.begin() as tx:
        beat = tx.jobs.beat("w1", {zombie.job_id: zombie.fence}, lease_seconds=30)
    believed = [finish(unfenced, zombie), finish(unfenced, owner)]
    unfenced.close()

    assert beat.lost == frozenset()
    assert believed == [True, True]


def test_acts_done_together_are_kept_or_undone_each_by_itself(database: Database) -> None:
    def write(i: int) -> str:
        dataset = a_dataset().model_copy(update={"id": new_id("ds")})

        def act(tx: Transaction) -> str:
            tx.datasets.add(dataset, inline=b"rows", artefact=None)
            if i % 4 == 3:
                raise QueueFull
            return dataset.id

        try:
            return database.together(act)
        except QueueFull:
            return "refused"

    outcomes = at_once(12, lambda i: [write(i) for _ in range(5)])

    ids = {outcome for each in outcomes for outcome in each} - {"refused"}
    assert [each.count("refused") for each in outcomes] == [0, 0, 0, 5] * 3
    with database.read() as tx:
        assert {dataset.id for dataset in tx.datasets.page(limit=100).data} == ids
