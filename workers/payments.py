"""Jobs that a worker holds, and what it owes to the database about them."""

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog

from descend.jobs import JobPhase
from storage.jobs import JobRepository
from storage.leases import REBALANCED, Claim, Outcome, Report

__all__ = [
    "Crash",
    "GivenBack",
    "Held",
    "Payment",
    "Release",
    "Wish",
    "epochs_done",
    "note",
    "pay",
]

log = structlog.get_logger()


class Wish(StrEnum):
    """Why a job that trains should not."""

    CANCEL = "cancel"
    EXPIRE = "expire"


@dataclass(eq=False)
class Held:
    """A job that this worker has the lease of. The claim is kept without its bulk.

    Attributes:
        phase: what a runner does with it, as far as it said.
        began: when the work on it began, by the monotonic clock; None while it waits.
        told: the phase that the database knows.
    """

    claim: Claim
    epochs_done: int
    epochs_counted: int
    log: Any
    wish: Wish | None = None
    phase: JobPhase = JobPhase.WAITING
    began: float | None = None
    told: JobPhase = JobPhase.WAITING

    @property
    def fence(self) -> int:
        return self.claim.fence

    @property
    def worked_seconds(self) -> float | None:
        return None if self.began is None else time.monotonic() - self.began

    def turn(self, phase: JobPhase) -> None:
        """A runner begins to work on it, goes on to another part of it, or lets it wait."""
        self.phase = phase
        if phase is JobPhase.WAITING:
            self.began = None
        elif self.began is None:
            self.began = time.monotonic()


@dataclass(frozen=True)
class Release:
    """The job goes back to the queue, through no fault of its own."""

    job_id: str
    fence: int
    reason: str
    report: Report | None = None
    delay_seconds: float = 0.0


@dataclass(frozen=True)
class GivenBack:
    """The job goes back to the queue as if it had not been claimed: it had not begun."""

    job_id: str
    fence: int
    reason: str = REBALANCED


@dataclass(frozen=True)
class Crash:
    """The job goes back to the queue and is counted a crash."""

    job_id: str
    fence: int
    reason: str


Payment = Report | Outcome | Release | GivenBack | Crash


def note(payment: Payment, held: Held | None, *, accepted: bool) -> None:
    """Log how a claim ended; the chaos suite reads from these lines who was believed."""
    name = type(payment).__name__.lower() if accepted else "fenced"
    told = held.log if held is not None else log.bind(job_id=payment.job_id, fence=payment.fence)
    match payment:
        case Outcome():
            code = payment.error.code if payment.error else None
            told.info(name, state=payment.state, stop_reason=payment.stop_reason, code=code)
        case Release() | GivenBack() | Crash():
            told.info(name, reason=payment.reason)
        case Report():
            told.info(name)


def epochs_done(payment: Payment) -> int | None:
    match payment:
        case Report() | Outcome():
            return payment.epochs_done
        case Release(report=Report() as report):
            return report.epochs_done
    return None


def pay(jobs: JobRepository, payment: Payment) -> bool:
    match payment:
        case Report():
            return jobs.report(payment)
        case Outcome():
            return jobs.finish(payment)
        case Release():
            return jobs.release(
                payment.job_id,
                payment.fence,
                reason=payment.reason,
                report=payment.report,
                delay_seconds=payment.delay_seconds,
            )
        case GivenBack():
            return jobs.give_back(payment.job_id, payment.fence)
        case Crash():
            return jobs.crashed(payment.job_id, payment.fence, reason=payment.reason) is not None
