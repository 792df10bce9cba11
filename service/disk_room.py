"""Whether there is room to take something: below a line, nothing is.

What is kept below the line is for what was taken before: histories and models of the jobs that
wait, and the few rows that a deletion needs, without which nobody could make room.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from descend.errors import StorageFull
from descend.hyperparameters import Hyperparameters
from service.settings import ServiceSettings
from storage.database import Database
from storage.history import BYTES_PER_EPOCH, estimated_bytes

__all__ = ["DiskRoom", "room_of"]

# Summing walks over every queued job: 0.2 ms per thousand.
FRESH_SECONDS = 1.0


class DiskRoom:
    """The disks of rows and bytes, as one: the fuller of them decides.

    Args:
        folders: where rows and bytes are; one that is not there yet is where its parent is.
        least_free_bytes: the line.
        promised: reads how many bytes the histories of jobs that have not ended may still take;
            None where histories are on another machine's disk.
    """

    def __init__(
        self,
        folders: Iterable[Path],
        least_free_bytes: int,
        promised: Callable[[], int] | None = None,
    ) -> None:
        self._folders = tuple(folders)
        self._least = least_free_bytes
        self._read_promised = promised
        self._lock = threading.Lock()
        self._promised, self._until = 0, 0.0

    def free_bytes(self) -> int:
        """Room left, for those who are not root.

        Raises:
            OSError: when a disk does not answer.
        """
        return min(_free_bytes(folder) for folder in self._folders)

    def lack(self) -> str | None:
        """Say that there is no room to take anything; None where there is."""
        free = self.free_bytes()
        if free >= self._least:
            return None
        return (
            f"{_mebibytes(free)} are free on the server's disk, and below"
            f" {_mebibytes(self._least)} nothing is taken: delete jobs or datasets,"
            " or give it more room"
        )

    def check(self) -> None:
        """Raise StorageFull where there is no room to take anything."""
        if lack := self.lack():
            raise StorageFull(lack)

    def check_history(self, h: Hyperparameters) -> None:
        """Raise StorageFull where a loss history may not fit beside those that others may write.

        Without it jobs would be taken whose results nobody could write down.
        """
        if self._read_promised is None:
            return
        n_bytes = estimated_bytes(h)
        room = self._take(n_bytes, self._read_promised)
        if room < n_bytes:
            raise StorageFull(
                f"the loss history of {h.max_epochs} epochs may take {_mebibytes(n_bytes)}, and"
                f" {_mebibytes(max(0, room))} are left for it beside those of the jobs that have"
                " not ended: lower max_epochs, or make room",
                param="hyperparameters.max_epochs",
            )

    def _take(self, n_bytes: int, read_promised: Callable[[], int]) -> int:
        """Return the room there was; promise so much of it, if that was enough.

        What is promised is read now and then, and counted on in between.
        """
        with self._lock:
            if time.monotonic() >= self._until:
                self._promised = read_promised()
                self._until = time.monotonic() + FRESH_SECONDS
            room = self.free_bytes() - self._least - self._promised
            self._promised += n_bytes if room >= n_bytes else 0
        return room


def room_of(settings: ServiceSettings, database: Database) -> DiskRoom:
    """Look at the disk of the artefacts and, where it is a file, of the database."""
    if not database.is_sqlite:
        return DiskRoom([settings.artefacts], settings.limits.free_bytes)

    def promised() -> int:
        with database.read() as tx:
            return BYTES_PER_EPOCH * tx.jobs.unwritten_epochs()

    rows = Path(database.url.database or "").parent
    return DiskRoom([settings.artefacts, rows], settings.limits.free_bytes, promised)


def _free_bytes(folder: Path) -> int:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize


def _mebibytes(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.0f} MiB"
