"""The runners of one worker: one for each slot, and one for questions while all of them train."""

import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from descend.jobs import QUESTIONS, JobKind
from workers.process import Runner, RunnerOptions, start_runner
from workers.settings import WorkerSettings

__all__ = ["Crew"]

WAKING_SECONDS = 60.0  # to import what the fork server may not hold, and say "ready"
LONGEST_PAUSE_SECONDS = 10.0
STARTS_BEFORE_GIVING_UP = 10
NEWS_SECONDS = 0.5
NOT_ASKED_SECONDS = 10.0  # then the runner for questions ends; another starts in 50 to 90 ms

log = structlog.get_logger()


class Crew:
    """Hires and dismisses; what a runner does is the supervisor's business."""

    def __init__(self, settings: WorkerSettings, spool: Path, *, worker_id: str) -> None:
        self._worker_id = worker_id
        self._runners: list[Runner] = []
        self._settings = settings
        self._spool = spool
        self._n_hired = 0
        self._n_failed = 0
        self._hire_at = 0.0
        self._told_idle = 0
        self._changed: float | None = None

    def __iter__(self) -> Iterator[Runner]:
        """Iterate over a copy: runners end while one looks at them."""
        return iter(tuple(self._runners))

    def __contains__(self, runner: Runner) -> bool:
        return runner in self._runners

    def __len__(self) -> int:
        return len(self._runners)

    @property
    def idle(self) -> list[Runner]:
        """Those that wait for an order; who takes any kind of job comes first."""
        return [one for one in (*self._slots, *self._asked) if one.idle]

    @property
    def hire_at(self) -> float:
        """When to hire next: now if a place is free and the last start did not fail."""
        return self._hire_at if len(self._slots) < self._settings.slots else float("inf")

    @property
    def hire_for_questions_at(self) -> float:
        """When a question that waits may have a runner: not while a slot could answer it soon."""
        busy = sum(runner.serving for runner in self._slots) >= self._settings.slots
        return self._hire_at if busy and not self._asked else float("inf")

    @property
    def not_asked_at(self) -> float:
        """When the runner for questions has waited for long enough."""
        idle = [runner.heard for runner in self._asked if runner.idle]
        return min(idle, default=float("inf")) + NOT_ASKED_SECONDS

    def hire(self, now: float) -> None:
        """Start what is missing, end what is not needed.

        Blocks while the fork server still imports torch (3 s, once).
        """
        while now >= self.hire_at:
            self._start(now, frozenset(JobKind))
        if now >= self.not_asked_at:
            for runner in self._asked:
                self.dismiss(runner)

    def hire_for_questions(self, now: float) -> None:
        """Start a runner that takes no training: it is free when somebody asks."""
        self._start(now, QUESTIONS)

    def stats(self) -> dict[str, float]:
        """Say how it is doing, in numbers for the worker's row."""
        slots = self._slots
        busy = sum(runner.serving for runner in slots)
        self._told_idle = len(slots) - busy
        memory = [runner.gpu for runner in self._runners if runner.gpu is not None]
        return {
            "slots_busy": busy,
            "slots_idle": len(slots) - busy,
            "gpu_used_bytes": max((one.used_bytes for one in memory), default=0),
            "gpu_total_bytes": max((one.total_bytes for one in memory), default=0),
        }

    @property
    def news_at(self) -> float:
        """When to tell that a slot became idle, or busy: not at every job of a stream of them."""
        n_idle = sum(not runner.serving for runner in self._slots)
        if n_idle == self._told_idle:
            self._changed = None
            return float("inf")
        self._changed = self._changed or time.monotonic()
        return self._changed + NEWS_SECONDS

    def start_failed(self, reason: str) -> None:
        """Wait a little longer each time.

        Raises:
            RuntimeError: when there were too many: the worker cannot work and should say so.
        """
        self._n_failed += 1
        if self._n_failed >= STARTS_BEFORE_GIVING_UP:
            raise RuntimeError(f"no runner could be started: {reason}")
        self._hire_at = time.monotonic() + min(0.1 * 2**self._n_failed, LONGEST_PAUSE_SECONDS)
        log.error("runner_not_started", reason=reason, n_failed=self._n_failed)

    def started(self, runner: Runner) -> None:
        runner.ready = True
        self._n_failed = 0

    def dismiss(self, runner: Runner, *, kill: bool = True) -> int | None:
        """End a runner, remove what it left in the spool, return its exit code."""
        self._runners.remove(runner)
        exit_code = runner.bury(kill=kill)
        for report in self._spool.glob(f"report-{runner.serial}-*"):
            report.unlink(missing_ok=True)
        return exit_code

    @property
    def _slots(self) -> list[Runner]:
        return [runner for runner in self._runners if JobKind.TRAIN in runner.kinds]

    @property
    def _asked(self) -> list[Runner]:
        """The runner for questions, where there is one."""
        return [runner for runner in self._runners if JobKind.TRAIN not in runner.kinds]

    def _start(self, now: float, kinds: frozenset[JobKind]) -> None:
        self._n_hired += 1
        options = RunnerOptions(
            spool=self._spool,
            serial=self._n_hired,
            checkpoint_seconds=self._settings.checkpoint_seconds,
            jobs=self._settings.jobs_per_runner,
            worker_id=self._worker_id,
            log_format=self._settings.log_format,
            log_level=self._settings.log_level,
        )
        try:
            runner = start_runner(options, now=now, patience_seconds=WAKING_SECONDS)
        except (OSError, EOFError) as error:
            self.start_failed(repr(error))
        else:
            runner.kinds = kinds
            self._runners.append(runner)
