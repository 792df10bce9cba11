"""The rows of a local CSV that a refusal names by number, as they stand in the file."""

import csv
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from descend.datasets import PACKED_SUFFIXES
from descend.errors import InvalidInput
from descend.packing import opened_text

__all__ = ["rows_named"]

_CSV = {".csv", ".tsv", ".txt"}
_MOST_ROWS = 3
_LONGEST_LINE = 200
_NAMED = re.compile(r"\brows? (\d+(?:, \d+)*)")


def rows_named(message: str, path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield number and line of the first rows that a message names; row 1 is below the header.

    Nothing where the file is no CSV, or cannot be read that way: this is help, not a check.
    """
    found = _NAMED.search(message)
    suffixes = [one.lower() for one in path.suffixes if one.lower() not in PACKED_SUFFIXES]
    if found is None or not set(suffixes[-1:]) <= _CSV or not suffixes:
        return
    wanted = [int(number) for number in found[1].split(", ")][:_MOST_ROWS]
    with (
        suppress(OSError, EOFError, csv.Error, InvalidInput),
        opened_text(path, encoding, errors="replace") as file,
    ):
        for number, line in _rows(file):
            if number in wanted:
                yield number, line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"
            if number >= wanted[-1]:
                return


def _rows(file: IO[str]) -> Iterator[tuple[int, str]]:
    """Number the rows, 0 the header; one whose cells have line breaks is several lines."""
    lines: list[str] = []

    def kept() -> Iterator[str]:
        for line in file:
            lines.append(line)
            yield line

    number = 0
    for _ in csv.reader(kept()):
        line = "".join(lines).rstrip("\r\n")
        lines.clear()
        if number or (line.strip() and not line.strip('"').lower().startswith("sep=")):
            yield number, line
            number += 1
