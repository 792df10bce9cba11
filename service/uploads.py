"""Data on its way in: a temporary file while it is read, then canonical bytes in row or store."""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fastapi.concurrency import run_in_threadpool

from descend.datasets import Dataset
from descend.errors import DatasetNotFound, Unavailable
from storage.artefacts import LocalArtefacts, no_room_is_storage_full, write_all
from storage.database import Database
from storage.ingest import Ingested
from storage.leases import StoredData

__all__ = ["Stored", "Uploads", "kept_with_row", "link", "receive", "store", "stored_source"]

BUFFER_BYTES = 2**20
ABANDONED_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Stored:
    """A dataset whose bytes are safe: in `inline`, for its row, or in the store under a key."""

    dataset: Dataset
    inline: bytes | None
    artefact: str | None


class Uploads:
    """A folder of temporary files, on the same disk as the artefacts."""

    def __init__(self, folder: Path) -> None:
        self.outcomes: Counter[str] = Counter(stored=0, refused=0)
        self.received_bytes = 0
        self._folder = folder

    async def counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Count the bytes as they come."""
        async for chunk in chunks:
            self.received_bytes += len(chunk)
            yield chunk

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count an upload by how the block ends."""
        try:
            yield
        except Exception:
            self.outcomes["refused"] += 1
            raise
        self.outcomes["stored"] += 1

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Make a folder that is gone, with its files, at the end of the block."""
        with no_room_is_storage_full():
            self._folder.mkdir(parents=True, exist_ok=True)
            made = tempfile.TemporaryDirectory(dir=self._folder, ignore_cleanup_errors=True)
        with made as folder:
            yield Path(folder)

    def sweep(self) -> int:
        """Delete folders whose process was killed a day ago; return how many there were."""
        oldest = time.time() - ABANDONED_SECONDS
        old = [path for path in self._folder.glob("*") if path.stat().st_mtime < oldest]
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
        return len(old)


async def receive(chunks: AsyncIterator[bytes], path: Path) -> None:
    """Write the chunks to a file, which threads wait for.

    Raises:
        StorageFull: when the disk is.
    """
    buffer = bytearray()
    # Unbuffered: what a full disk refused would be written once more, and refused, at the close.
    with no_room_is_storage_full(), path.open("wb", buffering=0) as file:
        async for chunk in chunks:
            buffer += chunk
            if len(buffer) >= BUFFER_BYTES:
                await run_in_threadpool(write_all, file, buffer)
                buffer = bytearray()
        await run_in_threadpool(write_all, file, buffer)


def store(ingested: Ingested, artefacts: LocalArtefacts) -> Stored:
    """Make an ingested table's bytes safe; its row comes after, inside `kept_with_row`.

    Raises:
        StorageFull: when there is no room; nothing is left behind then.
    """
    dataset, inline = ingested.dataset, ingested.inline
    if not ingested.is_large:
        return Stored(dataset, inline, None)
    key = f"datasets/{dataset.id}.arrow"
    if inline is not None:
        artefacts.put(key, inline)
    elif ingested.path is not None:
        artefacts.adopt(key, ingested.path)
    return Stored(dataset, None, key)


@contextmanager
def kept_with_row(
    stored: Stored | None, database: Database, artefacts: LocalArtefacts
) -> Iterator[None]:
    """Delete a dataset's stored file when the block, which adds its row, ends without one.

    A client that is refused tries again: what each attempt leaves behind would fill the disk.
    """
    if stored is None or stored.artefact is None:
        yield
        return
    try:
        yield
    except Exception as error:
        # PostgreSQL may still be committing what a lost connection asked for: the sweep will know.
        if database.is_sqlite or not isinstance(error, Unavailable):
            _delete_unnamed(stored, database, artefacts)
        raise
    _delete_unnamed(stored, database, artefacts)


def _delete_unnamed(stored: Stored, database: Database, artefacts: LocalArtefacts) -> None:
    """Delete the file unless a row names it, or nobody can say: a commit may be told as failed."""
    with suppress(Unavailable), database.read() as tx:
        try:
            tx.datasets.stored(stored.dataset.id)
        except DatasetNotFound:
            artefacts.delete(stored.artefact or "")


def stored_source(stored: StoredData, artefacts: LocalArtefacts) -> Path | bytes:
    """Say where a dataset's canonical bytes are to be read."""
    if stored.inline is not None:
        return stored.inline
    return artefacts.path(stored.artefact or "")


def link(source: Path | bytes, place: Path) -> Path:
    """Give canonical bytes a name of their own, under which nobody deletes them meanwhile."""
    if isinstance(source, bytes):
        place.write_bytes(source)
    else:
        place.hardlink_to(source)
    return place
