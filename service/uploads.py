"""Data on its way in: a temporary file while it is read, then canonical bytes in row or store."""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fastapi.concurrency import run_in_threadpool

from descend.datasets import Dataset
from storage.artefacts import LocalArtefacts, no_room_is_storage_full
from storage.ingest import Ingested
from storage.leases import StoredData

__all__ = ["Stored", "Uploads", "link", "receive", "store", "stored_source"]

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
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, ignore_cleanup_errors=True) as folder:
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
    with path.open("wb") as file:
        async for chunk in chunks:
            buffer += chunk
            if len(buffer) >= BUFFER_BYTES:
                await run_in_threadpool(_append, file, buffer)
                buffer = bytearray()
        await run_in_threadpool(_append, file, buffer)


def _append(file: IO[bytes], piece: bytearray) -> None:
    with no_room_is_storage_full():
        file.write(piece)
        file.flush()


def store(ingested: Ingested, artefacts: LocalArtefacts) -> Stored:
    """Make an ingested table's bytes safe; its row comes after."""
    if ingested.path is None:
        return Stored(ingested.dataset, ingested.inline, None)
    key = f"datasets/{ingested.dataset.id}.arrow"
    artefacts.adopt(key, ingested.path)
    return Stored(ingested.dataset, None, key)


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
