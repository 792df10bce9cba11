"""A deep queue is counted now and then; one that is nearly full, every time."""

from storage.room import Room

KEY = ("cpu", 5)


def test_a_deep_queue_far_from_its_limit_is_counted_once_in_a_while() -> None:
    room, counts = Room(), []

    def count() -> tuple[int, int]:
        counts.append(1)
        return 1000, 900

    answers = [room.counted(KEY, max_queued=10_000, count=count) for _ in range(3)]

    assert answers == [(1000, 900), (1001, 901), (1002, 902)]
    assert len(counts) == 1


def test_near_the_limit_every_submission_counts() -> None:
    room, counts = Room(), []

    def count() -> tuple[int, int]:
        counts.append(1)
        return 8_500, 8_000

    for _ in range(3):
        room.counted(KEY, max_queued=10_000, count=count)

    assert len(counts) == 3
