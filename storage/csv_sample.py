"""The first rows of a CSV, as one delimiter parts them: enough to tell how the file is written."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Literal

from descend.errors import InvalidDataset
from descend.limits import MAX_COLUMNS, MAX_NAME_LENGTH
from storage.csv_text import BOM, MAX_CELL

__all__ = ["MAX_HEADER", "Sample", "lines_of", "sample_of"]

MAX_HEADER = MAX_COLUMNS * (4 * MAX_NAME_LENGTH + 3)
_SAMPLED_ROWS = 200
_MOST_TITLES = 20
_AGREE = 0.9
_VALUE = re.compile(r"^\s*(?:[+-]?[0-9][0-9.,' ]*(?:[eE][+-]?[0-9]+)?\s*%?)?\s*$")


def lines_of(file: IO[bytes], read: list[int]) -> Iterator[str]:
    """Decode line by line, and note how many bytes were read."""
    while line := file.readline(MAX_HEADER + 1):
        if len(line) > MAX_HEADER:
            raise InvalidDataset(
                f"the first line has more than {MAX_HEADER} bytes: it must name at most"
                f" {MAX_COLUMNS} columns"
            )
        read.append(len(line))
        yield line.decode("utf-8", "surrogateescape").removeprefix(BOM)


@dataclass(frozen=True)
class Sample:
    """The first rows under one delimiter: the line of names, others, and where these begin."""

    header: list[str]
    rows: list[list[str]]
    lines_before: list[int]  # each row
    end_of_header: int

    @property
    def width(self) -> int:
        """How many cells most rows have."""
        widths = Counter(len(row) for row in self.rows if row)
        return widths.most_common(1)[0][0] if widths else len(self.header)

    def agrees(self) -> bool:
        """Whether the rows are of one width, and the names fit it; R names no row names."""
        rows = [row for row in self.rows if row]
        alike = sum(len(row) == self.width for row in rows)
        fits = len(self.header) in {self.width, self.width - 1}
        return self.width > 1 and fits and alike >= _AGREE * len(rows)

    @property
    def share_of_values(self) -> float:
        """The share of cells that look like numbers, or are empty."""
        cells = [cell for row in self.rows for cell in row]
        return sum(_VALUE.match(cell) is not None for cell in cells) / max(1, len(cells))

    def nameless_end(self) -> Literal["first", "last"] | None:
        """Which column a header that is one cell short does not name; None where nobody can tell.

        A delimiter behind each row leaves the last one empty. R's row names are all different.
        """
        rows = [row for row in self.rows if len(row) == self.width]
        if not self.agrees():
            return None
        if all(not row[-1].strip() for row in rows):
            return "last"
        return "first" if len({row[0] for row in rows}) == len(rows) > 1 else None

    def title_lines(self) -> int | None:
        """How many lines come before the names, where the first line is a title; else None.

        Names are the first row of words alone above rows that have numbers.
        """
        nameless = sum(not name.strip() for name in self.header)
        if len(self.header) == self.width and nameless < 2:
            return None
        for place, row in enumerate(self.rows[:_MOST_TITLES]):
            below = [one for one in self.rows[place + 1 :] if len(one) == self.width]
            words = len(row) == self.width and not any(map(_VALUE.match, row))
            if words and below and any(map(_VALUE.match, below[0])):
                return self.lines_before[place]
        return None

    def parted_by_blanks(self) -> bool:
        """Whether a single column is several, with blanks between their cells."""
        names = " ".join(self.header).split()
        parts = [row[0].split() for row in self.rows if row]
        return (
            self.width == len(self.header) == 1
            and len(names) > 1
            and all(len(cells) == len(names) for cells in parts)
            and any(_VALUE.match(cell) for cells in parts[:1] for cell in cells)
        )


def sample_of(path: Path, offset: int, delimiter: str, *, most: int = _SAMPLED_ROWS) -> Sample:
    csv.field_size_limit(MAX_CELL)
    read: list[int] = []
    with path.open("rb") as file:
        file.seek(offset)
        reader = csv.reader(lines_of(file, read), delimiter=delimiter, strict=True)
        try:
            header = next(reader, [])
        except csv.Error:
            raise InvalidDataset("the header cannot be read: see its quotes") from None
        end = offset + sum(read)
        rows = list[list[str]]()
        before = [reader.line_num]
        with suppress(csv.Error, InvalidDataset):  # a bad row is told by its number later
            for row in islice(reader, most):
                rows.append(row)
                before.append(reader.line_num)
    return Sample(header, rows, before, end)
