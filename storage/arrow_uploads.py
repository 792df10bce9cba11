"""Uploaded Arrow: files as they are, and streams, which become files by being given a footer.

Only the messages' headers are read here. polars then reads a file batch by batch, where it would
take a stream into memory whole.
"""

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from descend.errors import InvalidDataset
from storage.arrow import flat_root
from storage.arrow_writer import file_footer

__all__ = ["file_of_stream"]

_MAGIC = b"ARROW1\0\0"
_CONTINUATION = b"\xff\xff\xff\xff"
_MOST_METADATA = 2**26
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3


def file_of_stream(stream: Path, target: Path) -> None:
    """Write the stream's messages as an Arrow file.

    Raises:
        InvalidDataset: where the stream is damaged, or ends too early.
    """
    try:
        with stream.open("rb") as file:
            footer = file_footer(*_read(file, stream.stat().st_size))
    except (struct.error, IndexError, ValueError) as error:
        if isinstance(error, InvalidDataset):
            raise
        raise _damaged() from None
    with stream.open("rb") as file, target.open("wb") as copy:
        copy.write(_MAGIC)
        shutil.copyfileobj(file, copy, 2**20)
        copy.write(bytes(-copy.tell() % 8))
        copy.write(footer)


def _read(file: IO[bytes], size: int) -> tuple[bytes, bytes, bytes]:
    """The schema's message, and where the dictionaries and the batches lie in the file to be."""
    schema, blocks = b"", {_DICTIONARY: bytearray(), _BATCH: bytearray()}
    for place, metadata, body in _messages(file, size):
        kind = flat_root(metadata).number(1, "<B")
        if kind == _SCHEMA and not schema:
            schema = metadata
        elif kind in blocks and schema:
            here = place + len(_MAGIC)
            blocks[kind] += struct.pack("<qiiq", here, 8 + len(metadata), 0, body)
        else:
            raise _damaged()
    if not schema:
        raise _damaged()
    return schema, bytes(blocks[_DICTIONARY]), bytes(blocks[_BATCH])


def _messages(file: IO[bytes], size: int) -> Iterator[tuple[int, bytes, int]]:
    """Each message's place, metadata, and the length of its body."""
    while True:
        place = file.tell()
        head = file.read(8)
        if not head or head == _CONTINUATION + bytes(4):
            return
        if head[:4] != _CONTINUATION:
            raise InvalidDataset("the body is no Arrow stream, or one from before Arrow 0.15")
        (length,) = struct.unpack_from("<i", head, 4)
        if not 0 < length <= _MOST_METADATA or length % 8:
            raise _damaged()
        metadata = file.read(length)
        body = flat_root(metadata).number(3, "<q")
        if body < 0 or body % 8 or file.tell() + body > size:
            raise InvalidDataset("the Arrow stream ends too early")
        yield place, metadata, body
        file.seek(body, 1)


def _damaged() -> InvalidDataset:
    return InvalidDataset("the Arrow stream is damaged")
