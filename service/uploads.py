"""Data on its way in: a temporary file while it is read, then canonical bytes in row or store."""

import shutil
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fastapi.concurrency import run_in_threadpool

from descend.datasets import Dataset
from descend.errors import BodyTooLarge, MalformedBody
from storage.artefacts import LocalArtefacts, no_room_is_storage_full
from storage.ingest import Ingested
from storage.leases import StoredData

__all__ = ["Stored", "Uploads", "inflated", "link", "receive", "store", "stored_source"]

BUFFER_BYTES = 2**20
FREE_BYTES = 16 * 2**20
MOST_RATIO = 100
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
        self._folder = folder

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


async def inflated(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """Take the gzip off, piece by piece: one member, or several behind one another.

    Raises:
        BodyTooLarge: as soon as more than `limit` bytes came out, or, beyond the first few MiB,
            more than a hundred times of what went in.
        MalformedBody: where it is no gzip, or ends too early.
    """
    gzip, out = _Gzip(), 0
    async for chunk in chunks:
        gzip.feed(chunk)
        while piece := await run_in_threadpool(gzip.piece):
            out += len(piece)
            if out > limit:
                raise BodyTooLarge(f"the body has more than {limit} bytes when it is inflated")
            if out > FREE_BYTES and out > MOST_RATIO * gzip.taken:
                raise BodyTooLarge(f"the body inflates to more than {MOST_RATIO} times its size")
            yield piece
    if not gzip.ended:
        raise MalformedBody("the gzip body ends too early")


class _Gzip:
    """Members of gzip behind one another, inflated a buffer at a time."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._rest = b""
        self._fed = 0

    @property
    def taken(self) -> int:
        """Bytes that went in so far."""
        return self._fed - len(self._rest)

    @property
    def ended(self) -> bool:
        return self._member.eof

    def feed(self, chunk: bytes) -> None:
        self._rest += chunk
        self._fed += len(chunk)

    def piece(self) -> bytes:
        """Inflate at most a buffer; nothing where more must be fed."""
        try:
            while True:
                if self._member.eof and self._rest:
                    self._member = zlib.decompressobj(wbits=31)
                piece = self._member.decompress(self._rest, BUFFER_BYTES)
                ended = self._member.eof
                self._rest = self._member.unused_data if ended else self._member.unconsumed_tail
                if piece or not ended or not self._rest:
                    return piece
        except zlib.error as error:
            raise MalformedBody("the body is not gzip, as its Content-Encoding says") from error


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
