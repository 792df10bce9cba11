"""The headers of an uploaded Arrow file's or stream's messages, read before anything is decoded.

A few bytes can claim billions of rows, or buffers far outside of the file. Here the claims are held
against each other, the file's length and the limit, as storage.parquet_footer does for Parquet.
The words are those of the Arrow columnar format's Message.fbs and File.fbs.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from descend.errors import InvalidDataset
from storage.arrow import FlatTable, flat_root
from storage.arrow_schema import ArrowSchema, read_schema
from storage.csv_text import check_names
from storage.frames import check_size

__all__ = ["check_arrow"]

_MAGIC = b"ARROW1"
_CONTINUATION = b"\xff\xff\xff\xff"
_MOST_METADATA = 2**26
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3


def check_arrow(path: Path, most_bytes: int, *, is_stream: bool) -> ArrowSchema:
    """Refuse what is broken, or claims more than it can hold or than is allowed.

    Returns:
        What the schema says of the columns.

    Raises:
        InvalidDataset: with the reason.
    """
    size = path.stat().st_size
    claims = _Claims(most_bytes)
    try:
        with path.open("rb") as file:
            for message in _streamed(file, size) if is_stream else _listed(file, size):
                claims.add(file, message)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        if isinstance(error, InvalidDataset):
            raise
        raise _damaged() from None
    if claims.schema is None:
        raise _damaged()
    check_size(claims.n_rows, len(claims.schema.names), most_bytes)
    return claims.schema


@dataclass(frozen=True)
class _Message:
    """A message's header, and where its body lies."""

    header: FlatTable
    kind: int
    body: int
    length: int


@dataclass
class _Claims:
    """What the messages so far say that they hold."""

    most_bytes: int
    schema: ArrowSchema | None = None
    n_rows: int = 0
    inflated: int = 0

    def add(self, file: IO[bytes], message: _Message) -> None:
        if message.kind == _SCHEMA and self.schema is None:
            self.schema = read_schema(message.header)
            check_names(self.schema.names)
            for name in self.schema.wide:
                raise InvalidDataset(
                    f"column {name!r} holds integers of more than 64 bits, which Arrow has not:"
                    " make them decimals, or float64",
                    param=name,
                )
        elif message.kind == _BATCH and self.schema is not None:
            self.n_rows += self._checked(file, message, message.header)
        elif message.kind == _DICTIONARY and self.schema is not None:
            self._checked(file, message, message.header.table(1))
        else:
            raise _damaged()

    def _checked(self, file: IO[bytes], message: _Message, batch: FlatTable | None) -> int:
        """Hold a batch's buffers against its body; return how many rows it has."""
        if batch is None:
            raise _damaged()
        n_rows = batch.number(0, "<q")
        nodes, n_nodes = batch.vector(1)
        buffers, n_buffers = batch.vector(2)
        is_compressed = batch.table(3) is not None
        if n_rows < 0:
            raise _damaged()
        for place in range(nodes, nodes + 16 * n_nodes, 16):
            length, n_missing = struct.unpack_from("<qq", batch.data, place)
            if not 0 <= n_missing <= length:
                raise _damaged()
        for place in range(buffers, buffers + 16 * n_buffers, 16):
            offset, length = struct.unpack_from("<qq", batch.data, place)
            if min(offset, length) < 0 or offset + length > message.length:
                raise InvalidDataset("the Arrow data is damaged: a column lies outside of it")
            if is_compressed and length:
                self._inflate(file, message.body + offset)
        return n_rows

    def _inflate(self, file: IO[bytes], place: int) -> None:
        """Count what a compressed buffer says it will be; -1: it is not compressed."""
        file.seek(place)
        (claimed,) = struct.unpack("<q", file.read(8))
        if claimed < -1:
            raise _damaged()
        self.inflated += max(claimed, 0)
        if self.inflated > self.most_bytes:
            raise InvalidDataset(f"the Arrow data has more than {self.most_bytes} bytes inflated")


def _streamed(file: IO[bytes], size: int) -> Iterator[_Message]:
    place = 0
    while True:
        file.seek(place)
        head = file.read(8)
        if not head or head == _CONTINUATION + bytes(4):
            return
        if head[:4] != _CONTINUATION:
            raise InvalidDataset("the body is no Arrow stream, or one from before Arrow 0.15")
        (length,) = struct.unpack_from("<i", head, 4)
        message = _message(file, place + 8, length, size)
        yield message
        place = message.body + message.length


def _listed(file: IO[bytes], size: int) -> Iterator[_Message]:
    """The messages that a file's footer lists: the schema, dictionaries, record batches."""
    head = file.read(len(_MAGIC))
    file.seek(max(0, size - 10))
    tail = file.read(10)
    if head != _MAGIC or tail[4:] != _MAGIC:
        raise InvalidDataset("the body is no Arrow file: it has not its first or last bytes")
    (length,) = struct.unpack_from("<i", tail)
    if not 0 < length <= size - 10:
        raise _damaged()
    file.seek(size - 10 - length)
    footer = flat_root(file.read(length))
    schema = footer.table(1)
    if schema is None:
        raise _damaged()
    yield _Message(schema, _SCHEMA, 0, 0)
    for listed in (2, 3):  # dictionaries, recordBatches
        start, n = footer.vector(listed)
        for at in range(start, start + 24 * n, 24):
            place, metadata = struct.unpack_from("<qi", footer.data, at)
            file.seek(place)
            prefix = 8 if file.read(4) == _CONTINUATION else 4
            message = _message(file, place + prefix, metadata - prefix, size)
            if message.kind != listed:
                raise _damaged()
            yield message


def _message(file: IO[bytes], place: int, length: int, size: int) -> _Message:
    if not 0 < length <= min(_MOST_METADATA, size):
        raise _damaged()
    file.seek(place)
    root = flat_root(file.read(length))
    header, body = root.table(2), root.number(3, "<q")
    if header is None or body < 0:
        raise _damaged()
    if place + length + body > size:
        raise InvalidDataset("the Arrow data ends too early")
    return _Message(header, root.number(1, "<B"), place + length, body)


def _damaged() -> InvalidDataset:
    return InvalidDataset("the Arrow data is damaged")
