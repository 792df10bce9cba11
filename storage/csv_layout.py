"""Where a CSV's table begins in its file, what parts its cells, what its columns are called.

Files begin in many ways: with a byte order mark, blank lines, `sep=;`, a title, comments, names
that are one too few, or no names at all. What follows reads a plain file: a line of names, then
rows. So a file that is not plain is copied as one; the usual file is read where it is.
"""

import csv
import io
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path

from descend.errors import InvalidDataset
from descend.field_errors import FieldError
from storage.csv_encoding import as_utf8
from storage.csv_form import CsvForm
from storage.csv_sample import MAX_HEADER, Sample, lines_of, sample_of
from storage.csv_text import BOM, NUMBER, check_names, not_encoded

__all__ = ["DELIMITERS", "Layout", "laid_out"]

DELIMITERS = ",;\t|"
_HEAD = 2**16
_SEP = re.compile(rb"^(?:\xef\xbb\xbf)?\"?sep=(.)\"?\s*$", re.IGNORECASE)
_UNNAMED = re.compile(r"^(?:unnamed_|Unnamed: )\d+$")


@dataclass(frozen=True)
class Layout:
    """A plain file: a line of names, then rows.

    Attributes:
        names: of the columns.
        unnamed: those of them that the file does not name.
        warnings: what was found, or done about it.
    """

    path: Path
    delimiter: str
    names: list[str]
    unnamed: list[str]
    warnings: list[str]


@contextmanager
def laid_out(path: Path, form: CsvForm, folder: Path) -> Iterator[Layout]:
    """Lay a file out for as long as the block; copies are made in the folder.

    Raises:
        InvalidDataset: about the first lines: no names, too long, comments; it names the option.
    """
    copies = [folder / f"{path.name}.{step}" for step in ("lines", "rows")]
    try:
        with as_utf8(path, form.encoding, folder) as (text, said):
            plain = _with_plain_lines(text, form.comment, copies[0])
            top = _top_of(plain, form)
            yield _layout(plain, top, form, said, copies[1])
    finally:
        for copy in copies:
            copy.unlink(missing_ok=True)


# Lines


def _with_plain_lines(path: Path, comment: str | None, copy: Path) -> Path:
    """Copy a file whose lines end with CR, or without its comments; else return it as it is."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    old_mac = b"\r" in head and b"\n" not in head
    if not old_mac and comment is None:
        return path
    with path.open("rb") as file, copy.open("wb") as target:
        if old_mac:
            while block := file.read(2**24):
                target.write(block.replace(b"\r", b"\n"))
    if comment is not None:
        return _without_comments(copy if old_mac else path, comment.encode(), copy)
    return copy


def _without_comments(path: Path, comment: bytes, copy: Path) -> Path:
    source = path
    if path == copy:
        source = path.rename(path.with_suffix(".cr"))
    with source.open("rb") as file, copy.open("wb") as target:
        target.writelines(
            line for line in file if not line.lstrip(b"\xef\xbb\xbf \t").startswith(comment)
        )
    if path == copy:
        source.unlink()
    return copy


@dataclass(frozen=True)
class _Top:
    """What comes before the names: so many bytes, perhaps with the delimiter."""

    offset: int
    delimiter: str | None


def _top_of(path: Path, form: CsvForm) -> _Top:
    offset, delimiter = 0, None
    with path.open("rb") as file:
        for _ in range(form.skip_rows):
            offset += len(file.readline())
        while line := file.readline(MAX_HEADER + 1):
            if found := _SEP.match(line):
                delimiter = found[1].decode("latin-1")
            elif line.strip(b"\xef\xbb\xbf \t\r\n") or (line.strip(b"\r\n") and b"\t" in line):
                break
            offset += len(line)
    return _Top(offset, delimiter)


# Delimiter


def _found_delimiter(path: Path, offset: int) -> str:
    """Take what the rows agree on; where several do, what makes values of most cells.

    Where none does, take a comma where the header has one, and else what it has most of.
    """
    samples: dict[str, Sample] = {}
    for sign in DELIMITERS:
        try:
            samples[sign] = sample_of(path, offset, sign)
        except InvalidDataset:
            continue
    agreed = {sign: one for sign, one in samples.items() if one.rows and one.agrees()}
    if agreed:
        best = max(one.share_of_values for one in agreed.values())
        agreed = {sign: one for sign, one in agreed.items() if one.share_of_values >= best - 1e-9}
    head = re.sub(r'"[^"]*"', "", _first_line(path, offset))
    if len(agreed) == 1:
        return next(iter(agreed))
    if "," in head:
        return ","
    return max(DELIMITERS, key=lambda sign: (head.count(sign), -DELIMITERS.index(sign)))


def _first_line(path: Path, offset: int) -> str:
    with path.open("rb") as file:
        file.seek(offset)
        return (
            next(lines_of(file, []), "")
            .encode("utf-8", "surrogateescape")
            .decode("utf-8", "replace")
        )


# Names


def _layout(path: Path, top: _Top, form: CsvForm, said: list[str], copy: Path) -> Layout:
    delimiter = form.delimiter or top.delimiter or _found_delimiter(path, top.offset)
    sample = sample_of(path, top.offset, delimiter)
    absent = form.header == "absent"
    _refuse_odd_top(path, top, sample, absent=absent)
    names, unnamed, warnings = _names(sample, absent=absent)
    check_names(names)
    if form.delimiter is None and delimiter != ",":
        named = "a tab" if delimiter == "\t" else repr(delimiter)
        how = "as the line sep= says" if top.delimiter else "as its rows agree"
        said = [f"the delimiter is {named}, {how}", *said]
    begin = top.offset if absent else sample.end_of_header
    one_line = sample.end_of_header - top.offset == len(_raw_line(path, top.offset))
    if top.offset or absent or not one_line or sample.header != names:
        path = _copied(path, begin, _written(names, delimiter), copy)
    return Layout(path, delimiter, names, unnamed, said + warnings)


def _raw_line(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.readline(MAX_HEADER + 1)


def _written(names: Sequence[str], delimiter: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(names)
    return line.getvalue()


def _copied(path: Path, begin: int, header: str, copy: Path) -> Path:
    with path.open("rb") as file, copy.open("wb") as target:
        target.write(header.encode())
        file.seek(begin)
        first = file.readline()
        target.write(first.removeprefix(BOM.encode()))
        shutil.copyfileobj(file, target, 2**20)
    return copy


def _refuse_odd_top(path: Path, top: _Top, sample: Sample, *, absent: bool) -> None:
    if not sample.header and not absent:
        raise InvalidDataset("the file is empty: its first line must name the columns")
    if any(_has_surrogates(name) for name in sample.header):
        raise not_encoded(1, "utf-8")
    commented = _raw_line(path, top.offset).startswith((b"#", b"\xef\xbb\xbf#"))
    if commented and sample.rows and len(sample.header) != sample.width:
        raise _top_error("the first line begins with # and is no line of names", "comment", "#")
    titles = None if absent else sample.title_lines()
    if titles is not None:
        lines = _n_lines(path, top.offset) + titles
        raise _top_error("the first line is a title, not the names", "skip_rows", str(lines))
    if sample.parted_by_blanks():
        raise InvalidDataset(
            "the cells are parted by blanks: part them by commas, semicolons, tabs or |"
        )
    if not absent and all(re.match(NUMBER, name.strip()) for name in sample.header):
        raise _top_error(
            "the first line holds numbers: it must name the columns", "header", "absent"
        )


def _n_lines(path: Path, offset: int) -> int:
    with path.open("rb") as file:
        return file.read(offset).count(b"\n")


def _top_error(message: str, option: str, value: str) -> InvalidDataset:
    error = FieldError(
        param=option, message=message, code="first_line", options=[{option: [value]}]
    )
    return InvalidDataset(
        f"{message}. Send {option}={value} to have it read so", param=option, errors=[error]
    )


def _has_surrogates(name: str) -> bool:
    return not name.isascii() and any("\ud800" <= sign <= "\udfff" for sign in name)


def _names(sample: Sample, *, absent: bool) -> tuple[list[str], list[str], list[str]]:
    """Give every column a name: the file's, or one of its own.

    Returns:
        The names, those that the file does not give, and warnings.
    """
    if absent:
        width = len(sample.header)
        return [f"column_{j}" for j in range(1, width + 1)], [], []
    names = [" ".join(name.splitlines()) for name in sample.header]
    warnings = _looks_like_data(names, sample.rows)
    if len(names) == sample.width - 1 and (place := sample.nameless_end()) is not None:
        names = ["", *names] if place == "first" else [*names, ""]
        warnings.append(f"the header is one cell short: it names no {place} column")
    unnamed = _name_the_nameless(names)
    if unnamed:
        listed = ", ".join(map(repr, unnamed[:10]))
        warnings.append(f"the file names no column {listed}: left out of the features by default")
    return names, unnamed, warnings


def _name_the_nameless(names: list[str]) -> list[str]:
    """Fill in `unnamed_1`, …; list these, and what pandas calls columns that it found so."""
    free = (f"unnamed_{n}" for n in count(1) if f"unnamed_{n}" not in names)
    for place, name in enumerate(list(names)):
        if not name.strip():
            names[place] = next(free)
    return [name for name in names if _UNNAMED.match(name)]


def _looks_like_data(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Warn about names that are numbers above columns of numbers; years are names."""
    places = [j for j, name in enumerate(names) if re.match(NUMBER, name.strip())]
    below = [
        j for j in places if all(re.match(NUMBER, row[j].strip()) for row in rows if len(row) > j)
    ]
    if not below or not rows or _counts_up([names[j].strip() for j in places]):
        return []
    cells = f"cell{'s' if len(below) > 1 else ''} {', '.join(str(j + 1) for j in below[:10])}"
    warning = (
        f"the first row looks like data: its {cells} hold numbers, as the rows below do; if it"
        " names no columns, send header=absent"
    )
    return [warning]


def _counts_up(names: Sequence[str]) -> bool:
    """Whether the names are years, or numbers one behind the other: 1990, 2000, 2010; 1, 2, 3."""
    if not all(name.isdecimal() for name in names) or len(names) < 2:
        return len(names) == 1 and bool(re.match(r"^(1[5-9]|20|21)[0-9]{2}$", names[0]))
    numbers = [int(name) for name in names]
    steps = {b - a for a, b in pairwise(numbers)}
    years = all(1500 <= number < 2200 for number in numbers) and min(steps) > 0
    return years or steps == {1}
