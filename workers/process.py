"""Starts and ends runner processes. Torch-free: torch lives in the fork server and its children.

Linux rules that cost nights are kept here: who inherits which signals, what happens to a runner
whose worker is killed, and what a dead fork server looks like from outside.
"""

import contextlib
import fcntl
import math
import multiprocessing
import os
import select
import signal
import sys
import time
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import structlog

from descend.jobs import JobKind
from storage.logs import LogFormat, LogLevel
from workers import frames

__all__ = [
    "CUDA_FAULT",
    "NO_ROOM",
    "SERVER_DIED",
    "Cause",
    "Ending",
    "Runner",
    "RunnerOptions",
    "ended_by",
    "ending_of",
    "open_nursery",
    "start_runner",
]

# Read by numpy's, torch's and polars' pools when they are loaded: in the fork server, hence before
# it starts. A pool of threads that was used before a fork hangs the child's first parallel work.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
# Without it cuBLAS may choose another order of summation: the same job, other last bits.
_CUBLAS = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

SERVER_DIED = 255  # what multiprocessing answers when the fork server cannot tell the exit code
CUDA_FAULT = 70  # EX_SOFTWARE: the CUDA context is broken and must not be used again
NO_ROOM = 74  # EX_IOERR: the spool could not be written; no fault of the job

log = structlog.get_logger()


def open_nursery() -> None:
    """Start the fork server, which imports torch in the background; returns in about 20 ms.

    `putenv` speaks to the server's exec alone: this process and what reads its environment are
    left as they are.
    """
    for name in _ONE_THREAD:
        os.putenv(name, "1")
    os.putenv(*_CUBLAS)
    multiprocessing.get_context("forkserver").set_forkserver_preload(["workers.warm"])
    forkserver.ensure_running()


@dataclass(frozen=True)
class RunnerOptions:
    """What a runner is told when it starts."""

    spool: Path
    serial: int  # names its reports
    checkpoint_seconds: float
    jobs: int  # to serve before it makes room for another
    worker_id: str = ""
    log_format: LogFormat = LogFormat.AUTO
    log_level: LogLevel = LogLevel.INFO


class Cause(StrEnum):
    """Why a runner was replaced, as it is counted."""

    RETIRED = "retired"
    KILLED = "killed"
    EXITED = "exited"
    HUNG = "hung"
    NOT_LET_GO = "not_let_go"
    UNREADABLE = "unreadable"
    CUDA_FAULT = "cuda_fault"
    NO_ROOM = "no_room"
    SERVER_DIED = "server_died"


@dataclass(frozen=True)
class Ending:
    """How a runner ended. `blame`: a job may be to blame."""

    reason: str
    blame: bool
    cause: Cause


@dataclass(eq=False)
class Runner:
    """The worker's handle of one child.

    Attributes:
        jobs: handed over and not yet reported as ended, with their fences.
        serving: it has an order, and has not said that it is idle again; its last report may be
            here before that, and a new order then would be taken for the one that it ended.
        on: the jobs that it said it works at.
        drops: when it must have let go of a job, by the monotonic clock.
        patience_seconds: how long it may be silent.
        asked_back: jobs that it was asked to return, if they had not begun.
        gpu: as it reported last.
        kinds: of the jobs that it takes.
    """

    process: BaseProcess
    pipe: "Connection[bytes, bytes]"
    serial: int
    heard: float
    patience_seconds: float
    ready: bool = False
    retired: bool = False
    paused: bool = False
    serving: bool = False
    jobs: dict[str, int] = field(default_factory=dict)
    on: frozenset[str] = frozenset()
    drops: dict[str, float] = field(default_factory=dict)
    asked_back: set[str] = field(default_factory=set)
    gpu: frames.GpuMemory | None = None
    kinds: frozenset[JobKind] = frozenset(JobKind)

    @property
    def idle(self) -> bool:
        return self.ready and not self.serving and not self.retired

    @property
    def busy(self) -> bool:
        return bool(self.jobs)

    def take(self, jobs: dict[str, int], *, patience_seconds: float) -> None:
        """Begin with an order of these jobs."""
        self.serving, self.jobs, self.on = True, jobs, frozenset()
        self.asked_back = set()
        self.heard, self.patience_seconds = time.monotonic(), patience_seconds

    def send(self, frame: frames.ToRunner) -> None:
        """Send, if anybody is there: that nobody is shows at the sentinel, not here."""
        try:
            frames.send(self.pipe, frame)
        except OSError:
            self.retired = True

    def hold(self, now: float, *, fenced_off: bool) -> None:
        """Stop it while its worker's leases may be gone, and let it go on when they are not."""
        if self.busy and fenced_off and not self.paused:
            log.warning("runner_paused", job_ids=list(self.jobs))
            self.pause()
        elif self.paused and not fenced_off:
            self.go_on(now)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)
        self.paused = True

    def go_on(self, now: float) -> None:
        self._signal(signal.SIGCONT)
        self.paused, self.heard = False, now

    def silent_until(self) -> float:
        """When its silence is no longer to be borne; a paused or idle runner may be silent."""
        bearable = self.paused or self.idle
        hung = math.inf if bearable else self.heard + self.patience_seconds
        return min([hung, *self.drops.values()])

    def bury(self, *, kill: bool) -> int | None:
        """End the child for certain and return its exit code.

        By its pid, not by `Process.kill`: when the fork server is dead, multiprocessing takes a
        living runner for gone, and its `kill` does nothing.
        """
        if kill:
            self._signal(signal.SIGKILL)
        self.process.join(0.5)
        exit_code = self.process.exitcode
        if exit_code is None or exit_code == SERVER_DIED:
            self._signal(signal.SIGKILL)
            self.process.join(0.5)
        self.pipe.close()
        return exit_code

    def _signal(self, number: signal.Signals) -> None:
        if self.process.pid is None:  # never started; 0 would be this process and all its group
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)


def start_runner(options: RunnerOptions, *, now: float, patience_seconds: float) -> Runner:
    """Fork a runner from the warm server: 5 to 9 ms, or until the server has imported torch.

    Raises:
        OSError, EOFError: when the server died meanwhile; the next call starts another.
    """
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=_live, args=(theirs, options), name="descend-runner")
    try:
        process.start()
    except (OSError, EOFError):
        ours.close()
        raise
    finally:
        theirs.close()  # else the runner's end would never read end-of-file
    return Runner(process, ours, options.serial, heard=now, patience_seconds=patience_seconds)


def ended_by(cause: Cause) -> Ending:
    """Say how a runner ended that the worker killed."""
    reason, blame = {
        Cause.HUNG: ("runner hung", True),
        Cause.NOT_LET_GO: ("runner did not let go in time", False),
        Cause.UNREADABLE: ("the runner's report could not be read", True),
    }[cause]
    return Ending(reason, blame=blame, cause=cause)


def ending_of(exit_code: int | None) -> Ending:
    """Say how a runner ended and whether a job may be to blame."""
    if exit_code == SERVER_DIED:
        return Ending("the fork server died", blame=False, cause=Cause.SERVER_DIED)
    if exit_code == NO_ROOM:
        return Ending("the spool could not be written", blame=False, cause=Cause.NO_ROOM)
    if exit_code == CUDA_FAULT:
        return Ending("CUDA fault", blame=True, cause=Cause.CUDA_FAULT)
    if exit_code is not None and exit_code < 0:
        by = _signal_name(-exit_code)
        return Ending(f"runner killed by signal {by}", blame=True, cause=Cause.KILLED)
    return Ending(f"runner exited with {exit_code}", blame=True, cause=Cause.EXITED)


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else str(number)


def _die_with_parent() -> None:
    """Have the kernel kill this process when the worker is gone, even if it hangs or is stopped.

    PR_SET_PDEATHSIG would not do: the parent is the fork server, which lives as long as any runner
    does. The sentinel is a pipe that only the worker holds open; O_ASYNC makes its end a signal,
    and SIGKILL is the one that also ends a stopped process and one that holds the GIL.
    """
    parent = multiprocessing.parent_process()
    if parent is None or not hasattr(fcntl, "F_SETSIG"):  # elsewhere: end-of-file between chunks
        return
    sentinel = parent.sentinel
    fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(sentinel, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(sentinel, fcntl.F_GETFL)
    fcntl.fcntl(sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([sentinel], [], [], 0)[0]:  # it went before the flag was set
        os._exit(1)


def _live(pipe: "Connection[bytes, bytes]", options: RunnerOptions) -> None:
    """Be a runner. Imported by name in the child: the worker must not import torch."""
    preloaded = "torch" in sys.modules
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _die_with_parent()

    from workers import runner

    runner.main(pipe, options, preloaded=preloaded)
