"""A sign of life through a pipe, and how its absence is counted."""

import os

import pytest

from descend.pulse import STARTING_SECONDS, Pulse, Silence


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watched(clock: Clock, seconds: float, *, deaf_seconds: float = 30, touched: bool) -> Silence:
    """Look every half second, as long as that."""
    silence = Silence(deaf_seconds, clock)
    silence.look(touched=touched)
    for _ in range(round(seconds / 0.5)):
        clock.now += 0.5
        silence.look(touched=False)
    return silence


def test_a_silence_is_borne_for_thirty_seconds_and_not_longer(clock: Clock) -> None:
    assert not watched(clock, 30, touched=True).is_too_long
    assert watched(clock, 30.5, touched=True).is_too_long


def test_a_touch_ends_a_silence(clock: Clock) -> None:
    silence = watched(clock, 29, touched=True)

    silence.look(touched=True)
    clock.now += 2
    silence.look(touched=False)

    assert silence.seconds < 30
    assert not silence.is_too_long


def test_who_has_not_been_touched_yet_may_take_its_time_to_start(clock: Clock) -> None:
    assert not watched(clock, STARTING_SECONDS, touched=False).is_too_long
    assert watched(clock, STARTING_SECONDS + 1, touched=False).is_too_long


def test_time_in_which_nobody_looked_does_not_count(clock: Clock) -> None:
    silence = watched(clock, 20, touched=True)

    clock.now += 8 * 3600  # the lid was closed
    silence.look(touched=False)

    assert not silence.is_too_long


def test_a_touch_reaches_who_listens_and_never_blocks_nor_raises() -> None:
    ours, theirs = os.pipe()
    pulse = Pulse(theirs)

    for _ in range(100_000):  # more than a pipe holds
        pulse.touch()
    heard = os.read(ours, 2**20)
    os.close(ours)
    pulse.touch()  # to nobody

    assert len(heard) >= 4096
    assert pulse.touches == 100_001
    assert not os.get_inheritable(theirs)
    os.close(theirs)


def test_a_pulse_that_nobody_listens_to_counts_all_the_same() -> None:
    pulse = Pulse()

    pulse.touch()

    assert pulse.touches == 1
