"""The text of a CSV file: whether its bytes are text, its rows even, its names such.

Nothing here asks what a cell means. `glance` counts a file's bytes at some GB a second, which is
enough for most files; `count_rows` reads them one by one and names the place of whatever is wrong.
"""

import codecs
import csv
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from descend.errors import InvalidDataset
from descend.field_errors import FieldError
from descend.limits import MAX_COLUMNS, MAX_NAME_LENGTH

__all__ = [
    "BOM",
    "MAX_CELL",
    "NUMBER",
    "Glance",
    "check_names",
    "count_rows",
    "first_lines",
    "glance",
    "not_encoded",
    "refuse_missing",
    "write_decoded",
]

NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
MAX_CELL = 1_000_000
ENCODINGS = ("cp1252", "latin-1", "utf-16", "utf-8")
_BLOCK = 2**24
BOM = "\ufeff"
_MAX_LINE = 2**26
_GLANCE = 2**20  # fits into a processor's cache, and so is gone through four times for one reading
_MAX_HEAD = 2**22  # for 5,000 lines of 800 bytes; it is read in a millisecond


def _has_surrogates(name: str) -> bool:
    return not name.isascii() and any("\ud800" <= sign <= "\udfff" for sign in name)


def check_names(names: list[str]) -> None:
    """Refuse names that are absent, repeated or too long, and too many of them."""
    if not names:
        raise InvalidDataset("there are no columns")
    if len(names) > MAX_COLUMNS:
        raise InvalidDataset(f"there are {len(names)} columns; at most {MAX_COLUMNS}")
    seen: dict[str, int] = {}
    for place, name in enumerate(names, 1):
        if not name.strip():
            raise InvalidDataset(f"column {place} has no name")
        if len(name) > MAX_NAME_LENGTH:
            raise InvalidDataset(
                f"the name of column {place} is longer than {MAX_NAME_LENGTH} characters"
            )
        if "\0" in name:
            raise InvalidDataset(f"the name of column {place} has a NUL character")
        if _has_surrogates(name):
            raise InvalidDataset(f"the name of column {place} is not text")
        if name in seen:
            raise InvalidDataset(f"columns {seen[name]} and {place} have the same name", param=name)
        seen[name] = place


def refuse_missing(wanted: Iterable[str], names: Collection[str]) -> None:
    """Refuse a table in which a column is missing, by its name."""
    missing = next((name for name in wanted if name not in names), None)
    if missing is not None:
        raise InvalidDataset(f"there is no column {missing!r}", param=missing)


def first_lines(path: Path, count: int) -> bytes | None:
    """Return so many lines, or all that there are; None where they are long ones."""
    with path.open("rb") as file:
        text = file.read(_MAX_HEAD)
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    if len(ends) >= count:
        return text[: ends[count - 1] + 1]
    return text if len(text) < _MAX_HEAD else None


@dataclass(frozen=True)
class Glance:
    """What counting shows of a file: is it plain (no quotes, no NUL), and are its rows even?

    Attributes:
        n_rows: lines below the header, without the empty ones at the end.
        even: the delimiters are as many as those rows need. With no row too long, which polars
            sees, no row is too short.
    """

    plain: bool
    even: bool
    n_rows: int


def glance(path: Path, delimiter: str, width: int) -> Glance:
    """Count lines and delimiters; look for quotes and NUL."""
    end = _end_of_text(path)
    halves = [range(end // 2), range(end // 2, end)]
    with ThreadPoolExecutor(len(halves)) as pool:
        first, last = pool.map(partial(_signs, path, delimiter), halves)
    if first is None or last is None:
        return Glance(plain=False, even=False, n_rows=0)
    delimiters, newlines = (a + b for a, b in zip(first, last, strict=True))
    return Glance(plain=True, even=delimiters == (width - 1) * (newlines + 1), n_rows=newlines)


def _signs(path: Path, delimiter: str, span: range) -> tuple[int, int] | None:
    """Count the delimiters and newlines in a span of the file; None where a quote or NUL is."""
    buffer = bytearray(_GLANCE)
    data, view = np.frombuffer(buffer, np.uint8), memoryview(buffer)
    delimiters = newlines = 0
    left = len(span)
    with path.open("rb", buffering=0) as file:
        file.seek(span.start)
        while left and (n := file.readinto(view[:left])):
            left -= n
            if buffer.find(b'"', 0, n) >= 0 or buffer.find(b"\0", 0, n) >= 0:
                return None
            delimiters += int(np.count_nonzero(data[:n] == ord(delimiter)))
            newlines += int(np.count_nonzero(data[:n] == ord("\n")))
    return delimiters, newlines


def _end_of_text(path: Path) -> int:
    """Where the last line that is not empty ends."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        while end:
            start = max(0, end - _GLANCE)
            file.seek(start)
            text = file.read(end - start).rstrip(b"\r\n")
            end = start + len(text)
            if text:
                break
    return end


def count_rows(path: Path, delimiter: str, width: int) -> int:
    """Read every byte and count the rows.

    Raises:
        InvalidDataset: about what is not UTF-8, about NUL, about a row of another width, about an
            empty line, about quotes; it names the line or the row.
    """
    quoted = _decoded(path, "utf-8", None)
    n_rows = (_rows_quoted if quoted else _rows_plain)(path, delimiter, width)
    if n_rows == 0:
        raise InvalidDataset("the file has a header and no rows")
    return n_rows


def _decoded(path: Path, encoding: str, copy: IO[bytes] | None) -> bool:
    """Check the bytes, write them as UTF-8 where asked, and say whether there are quotes."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    lines, quoted = 1, False
    with path.open("rb") as file:
        while True:
            block = file.read(_BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line = lines + error.object[: error.start].count(b"\n")
                raise not_encoded(line, encoding) from None
            if "\0" in text:
                line = lines + text[: text.index("\0")].count("\n")
                hint = "" if quoted or line > 1 else "; if the text is UTF-16, send encoding=utf-16"
                raise InvalidDataset(f"line {line} has a NUL character{hint}")
            lines += text.count("\n")
            quoted = quoted or '"' in text
            if copy is not None:
                mark = "" if copy.tell() else BOM
                copy.write((mark + text.removeprefix(mark)).encode("utf-8"))
            if not block:
                return quoted


def write_decoded(path: Path, encoding: str, copy: IO[bytes]) -> None:
    """Write a file's text in UTF-8, behind a byte order mark.

    Raises:
        InvalidDataset: where the bytes are not in the encoding, or one is NUL; it names the line.
    """
    _decoded(path, encoding, copy)


def not_encoded(line: int, encoding: str, *, likely: str = ENCODINGS[0]) -> InvalidDataset:
    """Say that a line is not in an encoding, and which others there are."""
    others = [one for one in dict.fromkeys((likely, *ENCODINGS)) if one != encoding]
    error = FieldError(
        param="encoding",
        message=f"line {line} is not {encoding}",
        code="encoding",
        options=[{"encoding": [one]} for one in others],
    )
    return InvalidDataset(
        f"line {line} is not {encoding}: send encoding={others[0]}, or {' or '.join(others[1:])},"
        " if that is what it is",
        param="encoding",
        errors=[error],
    )


def _rows_plain(path: Path, delimiter: str, width: int) -> int:
    """Count the rows of a file without quotes: a line is a row, a delimiter ends a cell."""
    line, rest = 0, b""
    last = 0  # the last line that is not empty
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            block = rest + block
            end = block.rfind(b"\n") + 1
            line, last = _counted(block[:end], delimiter, width=width, line=line, last=last)
            rest = block[end:]
            if len(rest) > _MAX_LINE:
                raise InvalidDataset(f"row {line} has more than {_MAX_LINE} bytes")
    if rest:
        line, last = _counted(rest + b"\n", delimiter, width=width, line=line, last=last)
    return last - 1


def _counted(lines: bytes, delimiter: str, *, width: int, line: int, last: int) -> tuple[int, int]:
    data = np.frombuffer(lines, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    if not len(ends):
        return line, last
    starts = np.concatenate([[0], ends[:-1] + 1])
    breaks = np.searchsorted(
        np.flatnonzero(data == ord(delimiter)), np.concatenate([starts, ends[-1:]])
    )
    cells = np.diff(breaks) + 1
    length = ends - starts
    empty = (length == 0) | ((length == 1) & (data[starts] == ord("\r")))
    _refuse_ragged(cells, empty, width=width, line=line, last=last)
    filled = np.flatnonzero(~empty)
    return line + len(ends), line + int(filled[-1]) + 1 if len(filled) else last


def _refuse_ragged(
    cells: NDArray[np.intp], empty: NDArray[np.bool_], *, width: int, line: int, last: int
) -> None:
    """Empty lines are fine at the end of the file, and in a table of one column."""
    wrong = np.flatnonzero(~empty & (cells != width))
    if len(wrong):
        place = int(wrong[0])
        raise InvalidDataset(
            f"row {line + place} has {cells[place]} cells, the header names {width} columns"
        )
    filled = np.flatnonzero(~empty)
    if width == 1 or not len(filled):
        return
    gaps = np.flatnonzero(empty[: filled[-1]])
    if last < line or len(gaps):
        row = last + 1 if last < line else line + int(gaps[0]) + 1
        raise InvalidDataset(f"line {row} is empty")


def _rows_quoted(path: Path, delimiter: str, width: int) -> int:
    """Count the rows of a file with quotes, in which a line need not be a row."""
    rows, empty = -1, list[int]()
    csv.field_size_limit(MAX_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                if not cells:
                    empty.append(reader.line_num)
                    continue
                if empty and width > 1:
                    raise InvalidDataset(f"line {empty[0]} is empty")
                rows += 1 + len(empty)
                empty.clear()
                if len(cells) != width:
                    raise InvalidDataset(
                        f"row {rows} has {len(cells)} cells, the header names {width} columns"
                    )
        except csv.Error:
            raise InvalidDataset(
                f"row {rows + 1} cannot be read: see its quotes, and that no cell has more than"
                f" {MAX_CELL} characters"
            ) from None
    return rows
