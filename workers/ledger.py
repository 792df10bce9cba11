"""What a worker holds and what it owes to the database: claims, leases, results not yet written.

A database that is away costs time and nothing else: what is owed is paid when it is back, under
the same fence, so that a commit whose answer was lost is recognised and not repeated.
"""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog

from descend.errors import StorageFull, Unavailable
from descend.jobs import QUESTIONS, JobKind, JobPhase
from storage.counters import EPOCHS, Tally
from storage.database import Database
from storage.leases import Beat, Claim, Report, Turn
from storage.reconcile import rescue
from storage.vigil import Vigil
from workers.frames import On
from workers.payments import Held, Payment, Release, epochs_done, note, pay
from workers.settings import WorkerSettings

__all__ = ["Ledger"]

PAID_AT_ONCE = 256
LONGEST_PAUSE_SECONDS = 1.0
FRESH_SECONDS = 12.0  # a worker tells how it is doing every five seconds
LIVE_SECONDS = 30.0

log = structlog.get_logger()
T = TypeVar("T")


class Ledger:
    """The database as one worker sees it; every call comes from the supervisor's thread."""

    def __init__(
        self,
        database: Database,
        worker_id: str,
        settings: WorkerSettings,
        *,
        touch: Callable[[], None] = lambda: None,
    ) -> None:
        self.held: dict[str, Held] = {}
        self.tally = Tally()  # what no row of a job holds; written with the next sign of life
        self._database = database
        self._worker_id = worker_id
        self._settings = settings
        self._touch = touch  # after each answer, or none: to wait for a database is no hanging
        self._owed: deque[Payment] = deque()
        self.vigil = Vigil()
        self._compared = False  # with the kernels of the workers beside it
        self._renewed = time.monotonic()
        self._pause_seconds = 0.0
        self._retry_at = 0.0

    @property
    def owes(self) -> bool:
        return bool(self._owed)

    @property
    def retry_at(self) -> float:
        """When to try the database again; in the past while it answers."""
        return self._retry_at

    def fenced_off(self, now: float) -> bool:
        """Tell whether the leases may be gone: no renewal for 60 % of their time.

        By the monotonic clock: the wall clock may jump, and the database's is out of reach just
        when this matters.
        """
        return bool(self.held) and now - self._renewed > 0.6 * self._settings.lease_seconds

    def held_under(self, job_id: str, fence: int) -> Held | None:
        held = self.held.get(job_id)
        return held if held is not None and held.fence == fence else None

    def asked(self) -> bool:
        """Tell whether a question waits."""
        return bool(self._ask(lambda: self._queued(QUESTIONS)))

    def claim(
        self, limit: int, *, kinds: Collection[JobKind] = tuple(JobKind), n_idle: int = 1
    ) -> list[Claim]:
        """Claim up to `limit` jobs; looking at an empty queue takes no write lock.

        Where others are idle, of this worker's `n_idle` runners or elsewhere, only a share.

        Trainings first, whatever the priority: a question has a place elsewhere when all slots
        are taken, and asking again and again would keep a large training waiting for ever.
        """
        started = time.monotonic()
        claims = self._claimed_of(limit, frozenset(kinds) - QUESTIONS, n_idle)
        claims = claims or self._claimed_of(limit, frozenset(kinds) & QUESTIONS, n_idle)
        if claims and not self.held:
            self._renewed = started
        for claim in claims:
            data = replace(claim.dataset, inline=None)
            light = replace(claim, dataset=data, validation=None, checkpoint=None)
            named = log.bind(
                job_id=claim.job_id, attempt=claim.attempt, fence=claim.fence, queue=claim.queue
            )
            held = Held(light, claim.epochs_done, claim.epochs_done, named)
            self.held[claim.job_id] = held
            named.info("claimed", kind=claim.kind, epochs_done=claim.epochs_done)
        return claims

    def turn(self, fences: Mapping[str, int], to: On, *, was_on: Collection[str]) -> None:
        """Note what a runner does about its jobs: what it was on, and is no more, waits."""
        phases = dict.fromkeys(was_on, JobPhase.WAITING) | dict.fromkeys(to.job_ids, to.phase)
        for job_id, phase in phases.items():
            held = self.held_under(job_id, fences.get(job_id, 0))
            if held is not None:
                held.turn(phase)

    def beat(self) -> Beat | None:
        """Renew every lease; the answer names what is lost, cancelled and expired.

        None: the database is away. The time is taken before the statement, as the lease may count
        from any moment of it.
        """
        started = time.monotonic()
        fences = {job_id: held.fence for job_id, held in self.held.items()}
        turned = [held for held in self.held.values() if held.phase is not held.told]
        beat = self._ask(lambda: self._beaten(fences, turned))
        if beat is not None:
            self._renewed, self.vigil.missed = started, 0.0
            for one in turned:
                one.told = one.phase
            for job_id in beat.lost:
                held = self.held.pop(job_id, None)
                (held.log if held else log).warning("lease_lost", job_id=job_id)
        return beat

    def owe(self, payment: Payment) -> None:
        self._owed.append(payment)

    def pay(self) -> list[Payment]:
        """Write what is owed, in one transaction; return the payments that a fence refused."""
        if not self._owed or time.monotonic() < self._retry_at:
            return []
        batch = [self._owed[i] for i in range(min(PAID_AT_ONCE, len(self._owed)))]
        answers = self._ask(lambda: self._paid(batch))
        if answers is None:
            return []
        refused = []
        for payment, accepted in zip(batch, answers, strict=True):
            self._owed.popleft()
            if not accepted:
                refused.append(payment)
            if not accepted or not isinstance(payment, Report):
                note(payment, self._forget(payment), accepted=accepted)
        return refused

    def release_all(self, reason: str) -> None:
        """Give everything back at once: this worker failed, through no fault of any job.

        What else is owed is given up: it may be what cannot be paid. Never raises: whatever ended
        the worker may end this too, and then the leases run out.
        """
        held = self.held.values()
        self._owed = deque(Release(one.claim.job_id, one.fence, reason) for one in held)
        try:
            for _ in range(0, len(self._owed), PAID_AT_ONCE):
                self.pay()
        except Exception:
            log.exception("jobs_not_released")

    def rescue(self) -> bool:
        """Give jobs of lost workers back to the queue; tell whether there were any.

        Not before this worker and the database have been there for a whole lease: after a lapse
        of either every worker's leases are old, and all of them are about to be renewed.
        """
        rescued = self._ask(lambda: rescue(self._database, self.vigil))
        if rescued:
            log.warning("rescued", job_ids=rescued)
        return bool(rescued)

    def announce(self, stats: Mapping[str, float], *, kernel: str) -> None:
        """Say that this worker lives, how it is doing, and what it has counted.

        The first time it also looks whether others of its queues compute with other kernels.
        """
        if self._ask(lambda: self._seen(stats, kernel)):
            self.tally.clear()
            if not self._compared:
                self._compared = self._ask(lambda: self._compare(kernel)) or False

    def sign_off(self) -> None:
        """Take this worker off the list of the living."""
        self._ask(self._forgotten)

    def _forget(self, payment: Payment) -> Held | None:
        held = self.held_under(payment.job_id, payment.fence)
        if held is not None:
            del self.held[payment.job_id]
        return held

    def _ask(self, question: Callable[[], T]) -> T | None:
        try:
            answer = question()
        except (Unavailable, StorageFull) as error:
            self._pause_seconds = min(max(0.05, 2 * self._pause_seconds), LONGEST_PAUSE_SECONDS)
            self._retry_at = time.monotonic() + self._pause_seconds
            self.vigil.begin_again()
            log.warning("database_away", code=error.code, reason=error.message)
            return None
        finally:
            self._touch()
        self._pause_seconds = 0.0
        return answer

    def _queued(self, kinds: Collection[JobKind]) -> bool:
        with self._database.read() as tx:
            return tx.jobs.has_queued(self._settings.queues, kinds=kinds)

    def idle_elsewhere(self, queue: str) -> int:
        """Count the slots of other workers that could take jobs of this queue, and find none."""
        return self._ask(lambda: self._idle_elsewhere(queue)) or 0

    def _idle_elsewhere(self, queue: str) -> int:
        with self._database.read() as tx:
            if tx.jobs.has_queued([queue]):
                return 0  # they are about to
            return tx.workers.idle_slots(queue, within_seconds=FRESH_SECONDS, but=self._worker_id)

    def _claimed_of(self, limit: int, kinds: Collection[JobKind], n_idle: int) -> list[Claim]:
        return (self._ask(lambda: self._claimed(limit, kinds, n_idle)) or []) if kinds else []

    def _claimed(self, limit: int, kinds: Collection[JobKind], n_idle: int) -> list[Claim]:
        if not self._queued(kinds):
            return []
        with self._database.begin() as tx:
            others = max(
                tx.workers.idle_slots(queue, within_seconds=FRESH_SECONDS, but=self._worker_id)
                for queue in self._settings.queues
            )
            return tx.jobs.claim(
                self._worker_id,
                limit,
                queues=self._settings.queues,
                kinds=kinds,
                lease_seconds=self._settings.lease_seconds,
                shares=n_idle + others,
            )

    def _beaten(self, fences: dict[str, int], turned: Sequence[Held]) -> Beat:
        """Whoever is fenced off is told so by the beat, which comes after."""
        with self._database.begin() as tx:
            for one in turned:
                tx.jobs.turn(Turn(one.claim.job_id, one.fence, one.phase, one.worked_seconds))
            return tx.jobs.beat(
                self._worker_id,
                fences,
                lease_seconds=self._settings.lease_seconds,
                missed_seconds=self.vigil.missed,
            )

    def _paid(self, batch: Sequence[Payment]) -> list[bool]:
        reached: dict[str, int] = {}
        with self._database.begin() as tx:
            answers = [pay(tx.jobs, payment) for payment in batch]
            for payment, accepted in zip(batch, answers, strict=True):
                held = self.held_under(payment.job_id, payment.fence)
                if accepted and held is not None and (done := epochs_done(payment)):
                    counted = reached.get(payment.job_id, held.epochs_counted)
                    tx.tally.add(EPOCHS, n=max(0, done - counted))
                    reached[payment.job_id] = done
        for job_id, done in reached.items():
            self.held[job_id].epochs_counted = done
        return answers

    def _seen(self, stats: Mapping[str, float], kernel: str) -> bool:
        with self._database.begin() as tx:
            self.tally.move_to(tx.tally)
            tx.workers.seen(
                self._worker_id,
                socket.gethostname(),
                pid=os.getpid(),
                queues=self._settings.queues,
                stats=stats,
                kernel=kernel,
            )
        return True

    def _compare(self, kernel: str) -> bool:
        with self._database.read() as tx:
            others = tx.workers.other_kernels(
                kernel, queues=self._settings.queues, within_seconds=LIVE_SECONDS
            )
        for worker_id, other in others.items():
            log.warning(
                "worker_of_other_kernel",
                kernel=kernel,
                other_worker_id=worker_id,
                other_kernel=other,
                meaning="the same job may get other last bits there: start both with the same"
                " OPENBLAS_CORETYPE, MKL_CBWR and ATEN_CPU_CAPABILITY, or on like processors",
            )
        return True

    def _forgotten(self) -> None:
        with self._database.begin() as tx:
            self.tally.move_to(tx.tally)
            tx.workers.forget(self._worker_id)
