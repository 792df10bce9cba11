"""A file of many rows in pieces that a server takes; each row stays whole."""

import codecs
import tempfile
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO

from descend.packing import can_open, inner_suffix, opened

__all__ = ["pieces"]

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CSV, _LINES = {".csv", ".tsv", ".txt"}, {".ndjson", ".jsonl"}


def pieces(path: Path, most_rows: int) -> Iterator[tuple[int, Path]]:
    """Yield files of at most so many rows, each with the number of rows before it.

    A file that is short enough, and one of another kind than CSV and NDJSON, is its only piece.
    """
    suffix = inner_suffix(path)
    whole = suffix not in _CSV | _LINES or not can_open(path)
    if whole or _lines_up_to(path, most_rows + 2) <= most_rows or _begins_with(path, _UTF_16):
        yield 0, path
        return
    with opened(path) as file, tempfile.TemporaryDirectory(prefix="descend-") as folder:
        rows = _rows(file) if suffix in _CSV else (line for line in file if line.strip())
        header = _header(rows) if suffix in _CSV else b""
        piece, done = Path(folder) / f"rows{suffix}", 0
        while first := next(rows, None):
            block = islice(chain([first], rows), most_rows)
            yield done, _written(piece, header, block)
            done += most_rows


def _header(rows: Iterator[bytes]) -> bytes:
    """Take the line of names, with blank lines and the `sep=;` that may come before it."""
    header = b""
    for row in rows:
        header += row
        line = row.removeprefix(codecs.BOM_UTF8).strip()
        if line and not line.strip(b'"').lower().startswith(b"sep="):
            break
    return header


def _begins_with(path: Path, signs: tuple[bytes, ...]) -> bool:
    with opened(path) as file:
        return file.read(2) in signs


def _lines_up_to(path: Path, most: int) -> int:
    with opened(path) as file:
        return sum(1 for _ in islice(file, most))


def _rows(file: IO[bytes]) -> Iterator[bytes]:
    """Join the lines of a row whose cells have line breaks: its quotes are not yet even."""
    kept: list[bytes] = []
    quotes = 0
    for line in file:
        kept.append(line)
        quotes += line.count(b'"')
        if quotes % 2 == 0:
            yield b"".join(kept)
            kept.clear()
    if kept:
        yield b"".join(kept)


def _written(piece: Path, header: bytes, rows: Iterator[bytes]) -> Path:
    with piece.open("wb") as file:
        file.write(header)
        file.writelines(rows)
    return piece
