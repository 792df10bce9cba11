"""Turns are handed on in order, and given up in time."""

import threading
import time

import pytest

from descend.errors import Unavailable
from storage.turns import Turns


def until(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_turns_come_in_the_order_of_asking() -> None:
    turns, served = Turns(), []

    def act(i: int) -> None:
        with turns.turn(10):
            served.append(i)

    threads = [threading.Thread(target=act, args=(i,)) for i in range(8)]
    with turns.turn(10):
        for i, thread in enumerate(threads):
            thread.start()
            until(lambda n=i + 1: len(turns._waiting) == n)
    for thread in threads:
        thread.join()

    assert served == list(range(8))


def test_a_turn_that_does_not_come_in_time_is_given_up() -> None:
    turns = Turns()

    with turns.turn(1):
        with pytest.raises(Unavailable), turns.turn(0.01):
            pass
        assert not turns._waiting

    with turns.turn(0.01):
        pass


def test_a_turn_that_ends_in_an_error_is_handed_on() -> None:
    turns = Turns()

    with pytest.raises(ZeroDivisionError), turns.turn(1):
        raise ZeroDivisionError

    with turns.turn(0.01):
        pass


def test_only_one_has_the_turn_at_any_time() -> None:
    turns, inside, most = Turns(), [0], [0]

    def act() -> None:
        for _ in range(200):
            with turns.turn(10):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=act) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (inside, most) == ([0], [1])
