"""A disk of some mebibytes that one program has, and that a test fills and frees.

Where the test may mount: a tmpfs in a namespace of the program's own, seen by nobody else and gone
with it. Elsewhere a limit on the size of files, set on the program and all it has started: as full
for who writes, and the same refusals (EFBIG for ENOSPC).
"""

import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.servers import process_tree

__all__ = ["SmallDisk"]

MOUNTED = 'mount -t tmpfs -o "size=$1,mode=0700" tmpfs "$2" && shift 2 && exec "$@"'
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@cache
def namespace() -> tuple[str, ...]:
    """The command that gives a program mounts of its own; empty where that is not permitted."""
    root = os.geteuid() == 0
    unshared = ("unshare", "--mount") if root else ("unshare", "-r", "--mount")
    tried = [*unshared, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    with contextlib.suppress(FileNotFoundError):
        if subprocess.run(tried, check=False, capture_output=True).returncode == 0:
            return unshared
    return ()


class SmallDisk:
    """A folder; `command` starts a program in which it is a small disk."""

    def __init__(self, folder: Path, size: str = "96m") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._size = size
        self._pid = 0

    def command(self, program: Sequence[str]) -> list[str]:
        if not namespace():
            return list(program)
        script = [*namespace(), "sh", "-c", MOUNTED, "sh"]
        return [*script, self._size, str(self._folder), *program]

    def belongs_to(self, pid: int) -> None:
        """Say which process was started by `command`."""
        self._pid = pid

    def through(self, path: Path) -> Path:
        """A path as the program sees it, from here."""
        return Path(f"/proc/{self._pid}/root{path}") if namespace() else path

    def fill(self, *, free_bytes: int = 0) -> None:
        """Leave so many bytes free; again after something was deleted."""
        if not namespace():
            self._limit((max(free_bytes, 1), resource.RLIM_INFINITY))
            return
        found = os.statvfs(self.through(self._folder))
        n_bytes = found.f_bavail * found.f_frsize - free_bytes
        with (
            contextlib.suppress(OSError),
            (self.through(self._folder) / "ballast").open("ab") as ballast,
        ):
            os.posix_fallocate(ballast.fileno(), ballast.tell(), max(n_bytes, 1))

    def free(self) -> None:
        if not namespace():
            self._limit(UNLIMITED)
            return
        (self.through(self._folder) / "ballast").unlink(missing_ok=True)

    def _limit(self, limits: tuple[int, int]) -> None:
        for pid in (self._pid, *process_tree(self._pid)):
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                if _takes_refusals(pid):
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def _takes_refusals(pid: int) -> bool:
    """Python ignores the signal that comes with EFBIG; the broker would die of it."""
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = int(status.split("SigIgn:\t")[1].split()[0], 16)
    return bool(ignored & 1 << (signal.SIGXFSZ - 1))
