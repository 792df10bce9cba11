"""Files that may be packed, opened for reading: .gz always, .zst where Python has what it takes."""

import gzip
import io
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import IO, cast

from descend.datasets import PACKED_SUFFIXES
from descend.errors import InvalidInput

__all__ = ["can_open", "inner_suffix", "opened", "opened_text"]

_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


def inner_suffix(path: Path) -> str:
    """The suffix that says what a file is, without the packing's behind it."""
    packed = path.suffix.lower() in PACKED_SUFFIXES
    return (path.with_suffix("") if packed else path).suffix.lower()


def can_open(path: Path) -> bool:
    """Say whether what is packed in the file can be read here, without the server."""
    return PACKED_SUFFIXES.get(path.suffix.lower()) != "zstd" or _has_zstd()


def opened(path: Path) -> IO[bytes]:
    """Open a file as what is packed in it.

    Raises:
        InvalidInput: where it is packed with zstd, and nothing is installed that reads it.
    """
    packing = PACKED_SUFFIXES.get(path.suffix.lower())
    if packing == "gzip":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if packing is None:
        return path.open("rb")
    if not _has_zstd():
        raise InvalidInput(f"to read {path.name} here, install backports.zstd, or unpack it")
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return cast("IO[bytes]", zstd.open(path, "rb"))


def opened_text(path: Path, encoding: str = "utf-8-sig", *, errors: str = "strict") -> IO[str]:
    """Open a text file, also one that is packed.

    Raises:
        InvalidInput: as `opened` does.
    """
    return io.TextIOWrapper(opened(path), newline="", encoding=encoding, errors=errors)


def _has_zstd() -> bool:
    package, _, _ = _ZSTD.partition(".")
    return find_spec(package) is not None and find_spec(_ZSTD) is not None
