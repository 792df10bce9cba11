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

__all__ = ["Child", "Kin", "born", "descendants", "end", "reap_orphans", "wait_for_end"]

STEADY_SECONDS = 30.0

log = logging.getLogger("descend.stack")


@dataclass(frozen=True)
class Kin:
    """A process that cannot be mistaken for another: its number and its birth."""

    pid: int
    born: str

    @property
    def alive(self) -> bool:
        return born(self.pid) == self.born


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
    """One process of the stack, and how to start it again."""

    name: str
    argv: list[str]
    environment: Mapping[str, str]
    log_file: Path
    pass_fds: tuple[int, ...] = ()
    starts: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    # Taken at the start: later the number of a child that ended may be a stranger's.
    kin: Kin | None = None
    started: float = 0.0
    restart_at: float | None = None

    def start(self) -> None:
        with self.log_file.open("ab") as output:
            self.process = subprocess.Popen(
                self.argv,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=self.pass_fds,
                start_new_session=True,
            )
        birth = born(self.process.pid)
        self.kin = Kin(self.process.pid, birth) if birth else None
        self.starts += 1
        self.started = time.monotonic()
        self.restart_at = None

    @property
    def exit_code(self) -> int | None:
        return self.process.poll() if self.process else None

    def schedule_restart(self) -> float:
        """Put the next start off: 0.5 s, doubled for each death that came soon, at most 10 s."""
        if time.monotonic() - self.started > STEADY_SECONDS:
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
