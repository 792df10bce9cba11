"""Bytes under keys in a local directory: absent, or complete.

A file is written beside its place under a temporary name, made durable, and only then renamed: at
no moment is there half an artefact, whatever is killed or full.
"""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Protocol

from descend.errors import CorruptArtefact, StorageFull

__all__ = [
    "FACTORS",
    "NO_ROOM",
    "LocalArtefacts",
    "durable",
    "is_no_room",
    "no_room_is_storage_full",
    "write_all",
]

# Below this, by dataset: what is kept because it is quicker to read than to make again.
FACTORS = "factors"

_KEY = re.compile(r"[a-z]+(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")
_TEMPORARY = ".tmp-"
_BLOCK = 2**20
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OF_RUST = re.compile(r"\(os error (\d+)\)")


class Unbuffered(Protocol):
    """A file each of whose writes is one of the system's, and may write less than it was given."""

    def write(self, block: memoryview, /) -> int | None: ...


class LocalArtefacts:
    """A directory of artefacts; keys look like `datasets/ds_0193….arrow`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, source: Path | bytes) -> str:
        """Store bytes, or a copy of a file; return their SHA-256.

        Raises:
            StorageFull: when there is no room; nothing is left behind then.
        """
        place = self.path(key)
        digest = hashlib.sha256()
        with no_room_is_storage_full():
            place.parent.mkdir(parents=True, exist_ok=True)
            with durable(place) as file:
                for block in _blocks(source):
                    digest.update(block)
                    write_all(file, block)
        return digest.hexdigest()

    def adopt(self, key: str, source: Path) -> None:
        """Store a file that is nobody else's: by its name where it is on the same disk.

        Raises:
            StorageFull: when there is no room; nothing is left behind then.
        """
        place = self.path(key)
        with no_room_is_storage_full():
            place.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as file:
                os.fsync(file.fileno())
            try:
                source.rename(place)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self.put(key, source)
            _keep_names(place.parent)

    def path(self, key: str) -> Path:
        """Where an artefact is, or would be."""
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no artefact key")
        return self._root / key

    def open(self, key: str) -> BufferedReader:
        return self.path(key).open("rb")

    def exists(self, key: str) -> bool:
        return self.path(key).is_file()

    def verify(self, key: str, sha256: str) -> None:
        """Raise CorruptArtefact unless the artefact is there, with this checksum."""
        if not self.exists(key):
            raise CorruptArtefact(f"artefact {key} is missing")
        with self.open(key) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise CorruptArtefact(f"artefact {key} does not have its checksum")

    def delete(self, key: str) -> None:
        """Delete an artefact; fine where there is none."""
        self.path(key).unlink(missing_ok=True)

    def delete_below(self, key: str) -> None:
        """Delete every artefact whose key begins with this one; fine where there is none."""
        shutil.rmtree(self.path(key), ignore_errors=True)

    def keys(self) -> Iterator[str]:
        for path in self._files():
            if not path.name.startswith(_TEMPORARY):
                yield path.relative_to(self._root).as_posix()

    def sweep(self, keep: Callable[[str], bool], older_than_seconds: float) -> list[str]:
        """Delete files that no row names and that no one can be writing any more.

        What `keep` says must have been read from the rows after these seconds were chosen: bytes
        come before their row.
        """
        oldest = time.time() - older_than_seconds
        swept = []
        for path in list(self._files()):
            key = path.relative_to(self._root).as_posix()
            with contextlib.suppress(FileNotFoundError):
                kept = not path.name.startswith(_TEMPORARY) and keep(key)
                if not kept and path.stat().st_mtime < oldest:
                    path.unlink()
                    swept.append(key)
        return swept

    def _files(self) -> Iterator[Path]:
        return (path for path in self._root.rglob("*") if path.is_file())


@contextlib.contextmanager
def durable(place: Path) -> Iterator[BinaryIO]:
    """Open a file that appears at `place` when the block ends well, complete and on the disk."""
    temporary = place.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb", buffering=0, opener=_private) as file:
            yield file
            os.fsync(file.fileno())
        temporary.rename(place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _keep_names(place.parent)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _keep_names(folder: Path) -> None:
    """Let the names in a folder survive a loss of power, too."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def is_no_room(error: Exception) -> bool:
    """Tell whether it was the lack of room; what polars raises has its number in the text alone."""
    number = error.errno if isinstance(error, OSError) else None
    found = _OF_RUST.search(str(error)) if number is None else None
    return (int(found[1]) if found else number) in NO_ROOM


@contextlib.contextmanager
def no_room_is_storage_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_no_room(error):
            raise StorageFull from error
        raise


def _blocks(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def write_all(file: Unbuffered, block: bytes | bytearray) -> None:
    """Write in a loop: near a limit the system writes a part of a block and says so only here."""
    rest = memoryview(block)
    while rest:
        rest = rest[file.write(rest) or 0 :]
