"""Whether there is room to take something: below a line, nothing is.

What is kept below the line is for what was taken before: histories and models of the jobs that
wait, and the few rows that a deletion needs, without which nobody could make room.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from descend.errors import StorageFull
from storage.database import Database
from storage.settings import StorageSettings

__all__ = ["LEAST_FREE_BYTES", "DiskRoom", "room_of"]

LEAST_FREE_BYTES = 64 * 2**20


class DiskRoom:
    """The disks of rows and bytes, as one: the fuller of them decides.

    Args:
        folders: where rows and bytes are; one that is not there yet is where its parent is.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = tuple(folders)

    def free_bytes(self) -> int:
        """Room left, for those who are not root.

        Raises:
            OSError: when a disk does not answer.
        """
        return min(_free_bytes(folder) for folder in self._folders)

    def lack(self) -> str | None:
        """Say that there is no room to take anything; None where there is."""
        free = self.free_bytes()
        if free >= LEAST_FREE_BYTES:
            return None
        return (
            f"{free / 2**20:.0f} MiB are free on the server's disk, and below"
            f" {LEAST_FREE_BYTES / 2**20:.0f} MiB nothing is taken: delete jobs or datasets,"
            " or give it more room"
        )

    def check(self) -> None:
        """Raise StorageFull where there is no room to take anything."""
        if lack := self.lack():
            raise StorageFull(lack)


def room_of(settings: StorageSettings, database: Database) -> DiskRoom:
    """Look at the disk of the artefacts and, where it is a file, of the database."""
    folders = [settings.artefacts]
    if database.is_sqlite:
        folders.append(Path(database.url.database or "").parent)
    return DiskRoom(folders)


def _free_bytes(folder: Path) -> int:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize
