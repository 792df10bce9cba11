"""Bulk between a worker and its runners: files in a folder of the worker's own. Torch-free.

Frames on the pipes stay small; data sets, checkpoints, histories and weights go through these
files. A file is a document (JSON) and blobs (bytes): it can hold numbers, never code.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog

from storage.artefacts import NO_ROOM

__all__ = [
    "MAX_FILE_BYTES",
    "Blobs",
    "Document",
    "Spool",
    "open_spool",
    "read_file",
    "write_file",
]

Document = dict[str, Any]

MAX_DOCUMENT_BYTES = 256 * 2**20
MAX_FILE_BYTES = 2**30  # of a file that is not trusted: its reader holds it in memory twice
_LENGTH_BYTES = 8
NO_ROOM_SECONDS = 0.5

log = structlog.get_logger()


class Blobs:
    """Bytes to be written behind a document; `add` returns the place to name in it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._places: dict[bytes, int] = {}

    def add(self, blob: bytes) -> int:
        """Add once: equal bytes (one data set of many jobs) share a place."""
        if blob not in self._places:
            self._places[blob] = len(self.parts)
            self.parts.append(blob)
        return self._places[blob]


def write_file(path: Path, document: Document, blobs: Sequence[bytes] = ()) -> None:
    """Write a document and its blobs.

    Not durable, on purpose: the row is the truth, and a spool does not outlive its worker.

    Raises:
        OSError: when the disk is full; nothing is left behind then.
    """
    head = json.dumps({**document, "blobs": [len(blob) for blob in blobs]}).encode()
    try:
        with path.open("xb") as file:
            file.write(len(head).to_bytes(_LENGTH_BYTES, "little"))
            file.write(head)
            for blob in blobs:
                file.write(blob)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def read_file(path: Path, *, max_bytes: int | None = None) -> tuple[Document, list[bytes]]:
    """Read what `write_file` wrote.

    Args:
        path: of the file.
        max_bytes: beyond so many nothing is read; None where the writer is trusted.

    Raises:
        ValueError: when the file is not one; its writer is not to be trusted any further.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if max_bytes is not None and size > max_bytes:
            raise ValueError(f"a file of {size} bytes; at most {max_bytes}")
        n_head = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if n_head > MAX_DOCUMENT_BYTES:
            raise ValueError(f"a document of {n_head} bytes")
        document = json.loads(file.read(n_head))
        rest = file.read(size)  # it may grow meanwhile
    blobs, at = [], 0
    for size in document.pop("blobs"):
        blobs.append(rest[at : at + size])
        at += size
    if at != len(rest):
        raise ValueError(f"{len(rest)} bytes of blobs, {at} expected")
    return document, blobs


class Spool:
    """A worker's folder, held by a lock that its death releases."""

    def __init__(self, root: Path, worker_id: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.folder = root / worker_id
        gate = os.open(root / ".gate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # One worker at a time: a folder made a moment ago is not yet locked, and not abandoned.
            fcntl.flock(gate, fcntl.LOCK_EX)
            self.folder.mkdir(exist_ok=True)  # where an earlier try had no room for the lock
            self._lock = _locked(self.folder)
            for other in root.glob("wrk_*"):
                _remove_if_abandoned(other)
        finally:
            os.close(gate)

    def path(self, name: str, number: int) -> Path:
        """Name the file: the number comes through a pipe, the name never does."""
        return self.folder / f"{name}-{number}"

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def open_spool(
    root: Path, worker_id: str, *, touch: Callable[[], None], is_wanted: Callable[[], bool]
) -> Spool:
    """Open a worker's folder as soon as there is room: to end for the lack of it helps nobody.

    Args:
        root: the folder of all workers' folders.
        worker_id: its name.
        touch: called between the tries.
        is_wanted: asked before each further try.

    Raises:
        OSError: what was wrong, if not the lack of room; or nobody wants it any more.
    """
    while True:
        try:
            return Spool(root, worker_id)
        except OSError as error:
            if error.errno not in NO_ROOM or not is_wanted():
                raise
            log.warning("spool_not_writable", reason=error.strerror)
        touch()
        time.sleep(NO_ROOM_SECONDS)


def _locked(folder: Path) -> int | None:
    """Lock the folder for this process; None when another living process holds it.

    A pid would not do: pids come again, and containers that share a volume do not share pids.
    """
    lock = os.open(folder / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _remove_if_abandoned(folder: Path) -> None:
    try:
        lock = _locked(folder)
    except OSError:  # its worker ends just now and removes it
        return
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
