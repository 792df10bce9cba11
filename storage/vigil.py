"""Whether this process has been awake for long enough to say that another is dead.

A machine that was stopped (SIGSTOP, a laptop's lid, a virtual machine that moved), or a clock that
was set, leaves every lease behind it old, and every holder about to renew. Who looks first must not
believe what it sees before the others have had a lease's time.
"""

import time
from collections.abc import Callable

__all__ = ["Vigil"]

NOTICED_SECONDS = 1.0  # a busy machine is late by less, now and then


class Vigil:
    """The time that this process has been watching without a lapse, lease by lease.

    A lapse counts where it is longer than half a lease: a holder renews many times in a lease, so
    a shorter one makes no living holder's lease run out.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.missed = 0.0  # seconds that passed unseen, for who subtracts them; it sets 0 again
        self._monotonic, self._wall = monotonic, wall
        self._since = monotonic()
        self._lapses: list[tuple[float, float]] = []
        self._woke = (monotonic(), wall())
        self._saw: tuple[float, float] | None = None

    def begin_again(self) -> None:
        """The database was away: nobody could renew."""
        self._since = self._monotonic()

    def woke(self, slept: float) -> None:
        """Say that no more than about `slept` seconds should have passed since the last call.

        By both clocks: the monotonic one stands still while a laptop sleeps.
        """
        now = (self._monotonic(), self._wall())
        elapsed, by_wall = now[0] - self._woke[0], now[1] - self._woke[1]
        self._woke = now
        unseen = max(elapsed, by_wall) - slept
        if unseen > NOTICED_SECONDS:
            self.missed += unseen
        self._lapse(max(unseen, abs(by_wall - elapsed)))

    def saw(self, clock: float) -> None:
        """Say what the database's clock shows, in seconds: it may be another machine's."""
        now = self._monotonic()
        if self._saw is not None:
            self._lapse(abs((clock - self._saw[1]) - (now - self._saw[0])))
        self._saw = (now, clock)

    def lasts(self, lease_seconds: float) -> bool:
        """Tell whether it has lasted for such a lease."""
        now = self._monotonic()
        return now - self._since >= lease_seconds and not any(
            now - at < lease_seconds < 2 * seconds for at, seconds in self._lapses
        )

    def _lapse(self, seconds: float) -> None:
        """Keep a lapse for as long as it may matter: to leases of up to twice its length."""
        now = self._monotonic()
        self._lapses = [one for one in self._lapses if now - one[0] < 2 * one[1]]
        # A vigil's own noise is no lapse of any lease that can be asked for (0.5 s and more).
        if seconds > 0.2:
            self._lapses.append((now, seconds))
