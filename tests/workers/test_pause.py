"""A worker claims again when there is room, and not long after."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workers.pause import PROBE_BYTES, TRIES_AT_ONCE, Pause


@contextmanager
def no_room() -> Iterator[None]:
    """As on a disk with less room than a probe takes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PROBE_BYTES - 1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_pause_lasts_until_there_is_room(tmp_path: Path) -> None:
    pause = Pause()

    pause.begin()
    with no_room():
        while_full = [pause.is_over(tmp_path) for _ in range(3)]

    assert while_full == [False, False, False]
    assert pause.lasts
    assert pause.is_over(tmp_path)
    assert not pause.lasts
    assert list(tmp_path.iterdir()) == []


def test_the_next_look_is_within_a_second_however_long_there_was_no_room(tmp_path: Path) -> None:
    pause = Pause()
    pause.begin()

    with no_room():
        for _ in range(100):
            pause.is_over(tmp_path)

    assert pause.until < time.monotonic() + 1


def test_where_the_probe_finds_room_and_the_work_does_not_the_pauses_grow(tmp_path: Path) -> None:
    pause, seconds = Pause(), []

    for _ in range(TRIES_AT_ONCE + 10):
        pause.begin()
        seconds.append(pause.until - time.monotonic())
        pause.is_over(tmp_path)

    assert max(seconds[:TRIES_AT_ONCE]) < 1
    assert 100 < seconds[-1] <= 300
    pause.end()
    pause.begin()
    assert pause.until < time.monotonic() + 1
