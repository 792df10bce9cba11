"""Who was not awake, or whose clock leapt, does not say that others are dead."""

from dataclasses import dataclass

import pytest

from storage.vigil import Vigil

LEASE = 30.0


@dataclass
class Clocks:
    """A machine's two clocks and the database's, set by hand."""

    monotonic: float = 100.0
    wall: float = 1e9
    database: float = 2e9

    def pass_by(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds
        self.database += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def vigil(clocks: Clocks) -> Vigil:
    return Vigil(lambda: clocks.monotonic, lambda: clocks.wall)


def watch(vigil: Vigil, clocks: Clocks, seconds: float) -> None:
    """Be awake once a second."""
    for _ in range(round(seconds)):
        clocks.pass_by(1.0)
        vigil.woke(1.0)
        vigil.saw(clocks.database)


def test_it_lasts_when_it_has_lasted_for_a_lease(vigil: Vigil, clocks: Clocks) -> None:
    watch(vigil, clocks, LEASE - 1)
    almost = vigil.lasts(LEASE)
    watch(vigil, clocks, 1)

    assert not almost
    assert vigil.lasts(LEASE)
    assert not vigil.lasts(LEASE + 1)


def stop(clocks: Clocks) -> None:
    clocks.pass_by(LEASE)


def suspend(clocks: Clocks) -> None:
    clocks.wall += LEASE
    clocks.database += LEASE


def set_the_databases_clock(clocks: Clocks) -> None:
    clocks.database += LEASE


def set_it_back(clocks: Clocks) -> None:
    clocks.database -= LEASE


@pytest.mark.parametrize("lapse", [stop, suspend, set_the_databases_clock, set_it_back])
def test_after_a_lapse_it_takes_a_lease_again(vigil: Vigil, clocks: Clocks, lapse) -> None:  # type: ignore[no-untyped-def]
    watch(vigil, clocks, 2 * LEASE)

    lapse(clocks)
    watch(vigil, clocks, LEASE - 1)
    almost = vigil.lasts(LEASE)
    watch(vigil, clocks, 2)

    assert not almost
    assert vigil.lasts(LEASE)


def test_a_lapse_is_none_to_a_lease_of_more_than_twice_its_length(
    vigil: Vigil, clocks: Clocks
) -> None:
    watch(vigil, clocks, 2 * LEASE)

    clocks.pass_by(10.0)
    watch(vigil, clocks, 1)

    assert vigil.lasts(LEASE)
    assert not vigil.lasts(15.0)


def test_a_database_that_was_away_begins_it_again(vigil: Vigil, clocks: Clocks) -> None:
    watch(vigil, clocks, 2 * LEASE)

    vigil.begin_again()

    assert not vigil.lasts(1.0)


@pytest.mark.parametrize("lapse", [stop, suspend])
def test_the_time_that_was_missed_is_told(vigil: Vigil, clocks: Clocks, lapse) -> None:  # type: ignore[no-untyped-def]
    watch(vigil, clocks, 10)
    before = vigil.missed

    lapse(clocks)
    watch(vigil, clocks, 5)

    assert before == 0.0
    assert vigil.missed == pytest.approx(LEASE)
