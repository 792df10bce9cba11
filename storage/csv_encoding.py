"""The encoding of a CSV: what its first bytes say, what was asked for, and text in UTF-8."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.csv_text import not_encoded, write_decoded

__all__ = ["as_utf8"]

_ZLIB = (b"x\x01", b"x^")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextmanager
def as_utf8(path: Path, encoding: str | None, folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Give a path to the text in UTF-8: the file itself, or a copy for as long as the block.

    Yields:
        The path, and what was found where no encoding was asked for.

    Raises:
        InvalidDataset: where the bytes are not in the encoding; it names the line.
    """
    with path.open("rb") as file:
        first = file.read(2)
    said = []
    if encoding is None and first in _UTF_16:
        encoding, said = "utf-16", ["the text is in UTF-16, as its first bytes say"]
    encoding = encoding or "utf-8"
    if encoding == "utf-8" and b"\0" in first and first[:1] != first[1:]:
        raise not_encoded(1, encoding, likely="utf-16")
    if encoding == "utf-16" and first not in _UTF_16:
        encoding = "utf-16-be" if first.startswith(b"\0") else "utf-16-le"
    if codecs.lookup(encoding).name == "utf-8" and first not in _ZLIB:
        yield path, said
        return
    # Of a copy, which begins with a byte order mark, polars does not think that it is compressed:
    # `x^2` begins as zlib's streams do.
    copy = folder / f"{path.name}.utf8"
    try:
        with copy.open("wb") as file:
            write_decoded(path, encoding, file)
        yield copy, said
    finally:
        copy.unlink(missing_ok=True)
