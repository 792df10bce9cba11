"""Processes of the embedded stack: one child and how to start it again; whose they are; reaping.

A process number is given out again; number and moment of birth together are not. So nothing here
ever ends a process whose birth was not written down first.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from descend.pulse import Silence

__all__ = ["Child", "Kin", "born", "descendants", "end", "private", "reap_orphans", "wait_for_end"]

STEADY_SECONDS = 30.0
LAST_WORDS_SECONDS = 10.0  # at most, between SIGTERM and SIGKILL, without a sign of life
PULSE = "DESCEND_PULSE_FD"  # how a child learns what to touch

log = logging.getLogger("descend.stack")


@dataclass(frozen=True)
class Kin:
    """A process that cannot be mistaken for another: its number and its birth."""

    pid: int
    born: str

    @property
    def alive(self) -> bool:
        return born(self.pid) == self.born


def private(path: str, flags: int) -> int:
    """Open a file that, if it is new, is nobody else's (an opener)."""
    return os.open(path, flags, 0o600)


def born(pid: int) -> str | None:
    """Say when a process began, as a name that no later process with its number shares."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{boot}/{fields[19]}"


@dataclass
class Child:
    """One process of the stack, and how to start it again.

    Attributes:
        deaf_seconds: of a child that touches a pulse: for how long its silence is borne.
    """

    name: str
    argv: list[str]
    environment: Mapping[str, str]
    log_file: Path
    pass_fds: tuple[int, ...] = ()
    deaf_seconds: float | None = None
    starts: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    # Taken at the start: later the number of a child that ended may be a stranger's.
    kin: Kin | None = None
    started: float = 0.0
    restart_at: float | None = None
    heard: float = 0.0  # the last sign of life
    kill_at: float | None = None
    _silence: Silence | None = field(default=None, repr=False)
    _pulse: int | None = field(default=None, repr=False)

    def start(self) -> None:
        self.starts += 1
        self.started = self.heard = time.monotonic()
        self.restart_at = self.kill_at = None
        theirs = self._open_pulse()
        try:
            with self._log() as output:
                self.process = subprocess.Popen(
                    self.argv,
                    env=dict(self.environment) | ({PULSE: str(theirs[0])} if theirs else {}),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=self.pass_fds + theirs,
                    start_new_session=True,
                )
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        birth = born(self.process.pid)
        self.kin = Kin(self.process.pid, birth) if birth else None

    def _log(self) -> IO[bytes]:
        try:
            return open(self.log_file, "ab", opener=private)
        except OSError as exc:  # a full disk may take no new file; the child is needed all the same
            log.warning("%s cannot be opened: %s", self.log_file, exc.strerror)
            return Path(os.devnull).open("ab")

    def _open_pulse(self) -> tuple[int, ...]:
        """Make the pipe that the child is to touch; return its end of it."""
        if self.deaf_seconds is None:
            return ()
        if self._pulse is not None:
            os.close(self._pulse)
        self._pulse, theirs = os.pipe()
        os.set_blocking(self._pulse, False)
        self._silence = Silence(self.deaf_seconds)
        return (theirs,)

    def tend(self, now: float) -> None:
        """Listen for a sign of life; start it again when it is time to. Never raises."""
        if self.restart_at is not None:
            if now >= self.restart_at:
                self._start_again()
        elif (code := self.exit_code) is not None:
            delay = self.schedule_restart()
            log.warning("%s ended (%d); starting it again in %.1f s", self.name, code, delay)
        else:
            self._listen(now)

    def _start_again(self) -> None:
        try:
            self.start()
        except OSError as exc:  # no memory, no process number: the others go on
            delay = self.schedule_restart()
            log.warning("%s cannot be started (%s); again in %.1f s", self.name, exc, delay)
        else:
            log.warning("%s was started again", self.name)

    def _listen(self, now: float) -> None:
        """Ask a child without a sign of life to end; kill it where it does not."""
        if self._silence is None:
            return
        touched = self._touched()
        self._silence.look(touched=touched)
        self.heard = now if touched else self.heard
        if self.kill_at is not None:
            if now >= self.kill_at and self.process:
                self.process.kill()
        elif self._silence.is_too_long:
            log.warning("%s gives no sign of life: ending it", self.name)
            self.kill_at = now + min(LAST_WORDS_SECONDS, self.deaf_seconds or 0.0)
            self.ask_to_stop()

    def _touched(self) -> bool:
        touched = False
        with contextlib.suppress(OSError):
            while self._pulse is not None and os.read(self._pulse, 2**16):
                touched = True
        return touched

    @property
    def exit_code(self) -> int | None:
        return self.process.poll() if self.process else None

    def schedule_restart(self) -> float:
        """Put the next start off: 0.5 s, doubled for each death that came soon, at most 10 s.

        What was deaf at its end has lived up to its last sign of life, and no longer.
        """
        last = time.monotonic() if self._silence is None or self.kill_at is None else self.heard
        if last - self.started > STEADY_SECONDS:
            self.starts = 1
        delay = min(10.0, 0.5 * 2.0 ** (self.starts - 1))
        self.restart_at = time.monotonic() + delay
        return delay

    def ask_to_stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def ensure_stopped(self, deadline: float) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("%s did not stop in time and was killed", self.name)
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        """Return the end of the child's log, for a message to a person."""
        lines = self.log_file.read_text(errors="replace").splitlines()[-15:]
        return "\n".join(f"    {line}" for line in lines)


def descendants(ancestors: Iterable[int]) -> list[Kin]:
    """Find the children of these processes, and theirs: a worker's runners among them."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rpartition(")")[2].split()[1]
            )
        except OSError:  # it ended meanwhile
            continue
    family = set(ancestors)
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    births = ((pid, born(pid)) for pid in family)
    return [Kin(pid, when) for pid, when in births if when is not None]


def end(processes: Iterable[Kin], *stages: tuple[signal.Signals, float]) -> None:
    """Send each stage's signal to what still lives, and wait at most its seconds."""
    for number, patience in stages:
        left = [process for process in processes if process.alive]
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
        wait_for_end(left, patience)


def wait_for_end(processes: Iterable[Kin], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(process.alive for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)


def reap_orphans(record: Path) -> None:
    """End what a killed launcher left behind: only the very processes that it recorded."""
    try:
        recorded = json.loads(record.read_text())["processes"]
        orphans = [Kin(int(one["pid"]), str(one["born"])) for one in recorded]
    except (OSError, ValueError, KeyError):
        return
    orphans = [orphan for orphan in orphans if orphan.alive]
    family = descendants(orphan.pid for orphan in orphans)
    if orphans:
        log.warning("ending %d processes that a killed launcher left", len(orphans))
    end(orphans, (signal.SIGTERM, 6.0))
    wait_for_end(family, 2.0)
    end(family, (signal.SIGKILL, 2.0))
    record.unlink(missing_ok=True)
