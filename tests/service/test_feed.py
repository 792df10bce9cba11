"""One reader for all viewers, and no memory for those who do not read."""

import asyncio
from collections.abc import AsyncIterator

from starlette.testclient import TestClient

from service import feed as feeds
from service.feed import Feed
from service.joblog import JobLogs
from service.places import JobPlace
from storage.database import Database
from tests.service.conftest import CountingDatabase
from tests.service.test_events import assert_tiled, submitted, training
from tests.streams import Message, messages


def parsed(content: bytes) -> list[Message]:
    return list(messages(iter(content.decode().split("\n"))))


async def drained(frames: AsyncIterator[bytes]) -> bytes:
    return b"".join([frame async for frame in frames])


def test_a_viewer_that_does_not_read_costs_no_memory_and_misses_nothing(
    client: TestClient, database: Database
) -> None:
    job_id = submitted(client)
    job = training(database, 4000)

    async def watch() -> tuple[bytes, bytes, int]:
        feed = Feed(JobLogs(database))
        slow, quick = feed.follow(job_id, JobPlace()), feed.follow(job_id, JobPlace())
        begin = await anext(slow)
        reading = asyncio.create_task(drained(quick))
        channel = feed._channels[job_id]
        for _ in range(2 * feeds.KEPT_FRAMES):
            told = channel.told
            await asyncio.to_thread(job.report, 100)
            while channel.told == told:
                await channel.changed.wait()
        kept = len(channel._frames)
        await asyncio.to_thread(job.finish)
        return begin + await drained(slow), await reading, kept

    slow, quick, kept = asyncio.run(watch())

    assert kept == feeds.KEPT_FRAMES
    for found in (parsed(slow), parsed(quick)):
        assert_tiled(found, 4000)
        assert found[-1].data["data"]["state"] == "succeeded"
    rows_at_once = [
        m.data["data"]["stop"] - m.data["data"]["start"]
        for m in parsed(slow)
        if m.event == "history"
    ]
    assert max(rows_at_once) > 100 * feeds.KEPT_FRAMES  # read from the log, in one piece


def test_who_comes_after_the_end_is_told_the_end_last(
    client: TestClient, database: Database
) -> None:
    """And not how far the job was before it, for which the channel is still open to others."""
    job_id = submitted(client)
    job = training(database, 100)

    async def watch() -> bytes:
        feed = Feed(JobLogs(database))
        early = feed.follow(job_id, JobPlace())
        await anext(early)
        channel = feed._channels[job_id]
        await asyncio.to_thread(job.report, 50)
        while not channel.now:
            await channel.changed.wait()
        await asyncio.to_thread(job.finish)
        while not channel.ended:
            await channel.changed.wait()
        late = await drained(feed.follow(job_id, JobPlace()))
        await early.aclose()
        return late

    found = parsed(asyncio.run(watch()))

    assert_tiled(found, 100)
    assert found[-1].event == "state"
    assert found[-1].data["data"]["state"] == "succeeded"


def test_two_hundred_viewers_read_no_more_than_one(
    client: TestClient, counting: CountingDatabase
) -> None:
    job_id = submitted(client)
    job = training(counting, 500)
    job.report(300)

    async def watch(viewers: int) -> int:
        feed = Feed(JobLogs(counting))
        watching = [
            asyncio.create_task(drained(feed.follow(job_id, JobPlace()))) for _ in range(viewers)
        ]
        before = counting.reads
        await asyncio.sleep(1.0)
        reads = counting.reads - before
        feed.close()
        await asyncio.gather(*watching)
        return reads

    # A look each tenth of a second, and one reading for those who came late.
    assert asyncio.run(watch(200)) <= 14


def test_while_nobody_watches_nothing_is_read(
    client: TestClient, counting: CountingDatabase
) -> None:
    job_id = submitted(client)

    async def watch() -> int:
        feed = Feed(JobLogs(counting))
        viewer = feed.follow(job_id, JobPlace())
        await anext(viewer)
        await viewer.aclose()
        await asyncio.sleep(0.3)
        before = counting.reads
        await asyncio.sleep(0.5)
        return counting.reads - before

    assert asyncio.run(watch()) == 0


def test_a_deleted_job_ends_its_streams(client: TestClient, database: Database) -> None:
    job_id = submitted(client)

    async def watch() -> bytes:
        feed = Feed(JobLogs(database))
        viewer = feed.follow(job_id, JobPlace())
        await anext(viewer)
        with database.begin() as tx:
            tx.jobs.request_cancel(job_id)
            tx.jobs.delete(job_id)
        return await asyncio.wait_for(drained(viewer), 5)

    assert b"succeeded" not in asyncio.run(watch())
