import asyncio
import time

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from descend.errors import Unavailable
from descend.ids import new_id
from service.watcher import Watcher
from tests.service.conftest import NOTEBOOK, CountingDatabase


@pytest.fixture
def job_ids(client: TestClient) -> list[str]:
    made = [client.post("/v1/jobs", json={"dataset": NOTEBOOK}) for _ in range(10)]
    return [response.json()["id"] for response in made]


def test_many_waiters_share_one_look(counting: CountingDatabase, job_ids: list[str]) -> None:
    async def wait() -> None:
        watcher = Watcher(counting, most_waiting=1000)
        await asyncio.gather(*(watcher.ended(job_ids[i % 10], seconds=1) for i in range(500)))

    asyncio.run(wait())

    # A look after 2 % of the time, 5 ms at least: some 100 in the first second, for all 500.
    assert 5 <= counting.reads <= 200


def test_while_nobody_waits_nothing_is_read(counting: CountingDatabase, job_ids: list[str]) -> None:
    async def wait_then_rest() -> int:
        watcher = Watcher(counting, most_waiting=10)
        await watcher.ended(job_ids[0], seconds=0.05)
        await asyncio.sleep(0.1)  # the look that was under way ends
        reads = counting.reads
        await asyncio.sleep(0.3)
        return counting.reads - reads

    assert asyncio.run(wait_then_rest()) == 0


def test_the_end_is_noticed_soon_and_by_all(counting: CountingDatabase, job_ids: list[str]) -> None:
    async def cancel_while_waiting() -> float:
        watcher = Watcher(counting, most_waiting=10)
        waiters = [asyncio.create_task(watcher.ended(job_ids[0], seconds=30)) for _ in range(3)]
        await asyncio.sleep(0.2)
        start = time.monotonic()
        with counting.begin() as tx:
            tx.jobs.request_cancel(job_ids[0])
        await asyncio.gather(*waiters)
        return time.monotonic() - start

    assert asyncio.run(cancel_while_waiting()) < 5


def test_a_job_that_is_gone_is_not_waited_for(counting: CountingDatabase) -> None:
    async def wait() -> None:
        await Watcher(counting, most_waiting=10).ended(new_id("job"), seconds=30)

    start = time.monotonic()
    asyncio.run(wait())

    assert time.monotonic() - start < 5


def test_there_is_room_again_when_waiters_have_left(
    counting: CountingDatabase, job_ids: list[str]
) -> None:
    async def fill() -> None:
        watcher = Watcher(counting, most_waiting=1)
        first = asyncio.create_task(watcher.ended(job_ids[0], seconds=30))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="too many"):
            await watcher.ended(job_ids[1], seconds=1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

        await watcher.ended(job_ids[1], seconds=0.01)
        assert watcher.waiting == 0

    asyncio.run(fill())


def test_closing_lets_all_go(counting: CountingDatabase, job_ids: list[str]) -> None:
    async def close_while_waiting() -> None:
        watcher = Watcher(counting, most_waiting=10)
        waiter = asyncio.create_task(watcher.ended(job_ids[0], seconds=30))
        async with asyncio.timeout(5):
            while watcher.waiting == 0:
                await asyncio.sleep(0)
        watcher.close()
        await asyncio.wait_for(waiter, 5)
        await asyncio.wait_for(watcher.ended(job_ids[1], seconds=30), 5)
        assert watcher.waiting == 0

    asyncio.run(close_while_waiting())


def test_whoever_waits_is_let_go_when_the_look_fails(
    counting: CountingDatabase, job_ids: list[str]
) -> None:
    with counting.begin() as tx:
        tx.connection.execute(text("ALTER TABLE jobs RENAME COLUMN state TO condition"))

    async def wait() -> None:
        await Watcher(counting, most_waiting=10).ended(job_ids[0], seconds=30)

    start = time.monotonic()
    asyncio.run(wait())

    assert time.monotonic() - start < 5
