"""The table a command is given: a file, standard input, or a data set the server already has."""

import inspect
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from descend.commands.rows import rows_named
from descend.datasets import ARRAYS, SUFFIXES, Dataset, UploadFormat
from descend.errors import DescendError, InvalidInput
from descend.ids import ID_PATTERNS
from descend.packing import inner_suffix

if TYPE_CHECKING:
    from descend.client import Client

__all__ = ["CSV", "FORMAT", "READING", "Source", "forget", "opened", "source_of", "stored"]

_PANEL = "Reading a file"
_STDIN = "-"
_SUFFIXES = {
    UploadFormat.CSV: ".csv",
    UploadFormat.PARQUET: ".parquet",
    UploadFormat.ARROW_FILE: ".arrow",
    UploadFormat.ARROW_STREAM: ".arrows",
    UploadFormat.NDJSON: ".ndjson",
    UploadFormat.JSON: ".json",
    UploadFormat.NPY: ".npy",
    UploadFormat.NPZ: ".npz",
}
# How a body of each format begins; anything else is CSV, or NDJSON where it is an object a line.
_MAGIC = {
    b"PAR1": UploadFormat.PARQUET,
    b"ARROW1": UploadFormat.ARROW_FILE,
    b"\xff\xff\xff\xff": UploadFormat.ARROW_STREAM,
    b"\x93NUMPY": UploadFormat.NPY,
    b"PK\x03\x04": UploadFormat.NPZ,
    b"{": UploadFormat.NDJSON,
}
_JSON = re.compile(rb'\{\s*"(columns|X|rows)"\s*:\s*[\[{]|\[\s*\{')
_PACKED = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
_PEEK_BYTES = 512
# With these the rows of a file are not its lines below the first.
_UNNUMBERED = frozenset({"comment", "skip_rows", "header"})


def _option(name: str, words: str, metavar: str, *, several: bool = False) -> inspect.Parameter:
    option = typer.Option(
        f"--{name.replace('_', '-')}", help=words, metavar=metavar, rich_help_panel=_PANEL
    )
    kind: Any = list[str] if several else str
    annotation: Any = Annotated[kind | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=None
    )


# Of the upload; the server's own defaults hold where none is given.
CSV = (
    _option("delimiter", "CSV: between cells; by default what its rows agree on.", "CHARACTER"),
    _option(
        "decimal",
        "Text: the decimal sign, in all columns or one; may be repeated. In a CSV a point by"
        " default.",
        "[COLUMN:].|,",
        several=True,
    ),
    _option(
        "encoding",
        "CSV: of the text, by default utf-8, or utf-16 where its first bytes say so.",
        "utf-8|utf-16|latin-1|cp1252",
    ),
    _option("comment", "CSV: how lines begin that are left out.", "#"),
    _option("skip_rows", "CSV: lines before the names to leave out.", "INTEGER"),
    _option("header", "CSV: absent where the first line is a row.", "present|absent"),
    _option("null_values", "Text: words for a missing cell, separated by commas.", "WORDS"),
    _option("text", "Text: columns to keep as text, separated by commas.", "COLUMNS", several=True),
    _option(
        "thousands",
        "Text: what groups digits by three, in all columns or one; may be repeated.",
        "[COLUMN:],|.|'|SPACE",
        several=True,
    ),
    _option(
        "strip",
        "Text: a text beside numbers to take off, such as $ or %; may be repeated. () reads (12)"
        " as -12, - reads 12- as -12.",
        "[COLUMN:]TEXT",
        several=True,
    ),
    _option(
        "dates",
        "Text: what to make of ISO dates; days count from the first. May be repeated.",
        "[COLUMN:]days|year|month|weekday",
        several=True,
    ),
)
FORMAT = _option(
    "format", "What standard input holds; by default found in its first bytes.", "|".join(_SUFFIXES)
)
READING = (FORMAT, *CSV)


class Source:
    """Where a table comes from, and how its text is written."""

    def __init__(self, words: str, *, form: str | None, csv_options: Mapping[str, Any]) -> None:
        self.words = words
        self.dataset_id = words if re.fullmatch(ID_PATTERNS["ds"], words) else None
        self.form = form
        self.csv_options = csv_options


def source_of(words: str, given: dict[str, Any]) -> Source:
    """Take the reading options out of what was given.

    Raises:
        InvalidInput: when there is no such file, or an option cannot belong to it.
    """
    form = given.pop("format", None)
    if form is not None and form not in set(UploadFormat):
        raise InvalidInput(f"give one of {', '.join(UploadFormat)}", param="format")
    options = {one.name: given.pop(one.name, None) for one in CSV}
    source = Source(
        words, form=form, csv_options={k: v for k, v in options.items() if v not in (None, [])}
    )
    if source.dataset_id is None and words != _STDIN and not Path(words).is_file():
        raise InvalidInput(_no_file(words))
    if words == _STDIN and sys.stdin.isatty():
        raise InvalidInput("standard input is a terminal: pipe a table into this command")
    return source


def _no_file(words: str) -> str:
    path = Path(words)
    if path.is_dir():
        return f"{words} is a folder: name the file in it"
    if path.exists():
        return f"{words} is no plain file: pipe what it holds into this command, and name it -"
    return f"there is no file {words}, and it is no id of a data set"


def stored(
    client: "Client",
    source: Source,
    *,
    name: str | None = None,
    needed: Mapping[str, list[str]] = MappingProxyType({}),
) -> Dataset:
    """Read the data set the server has, or upload the table, of which a job needs some columns."""
    if source.dataset_id is not None:
        return client.dataset(source.dataset_id)
    with opened(source) as path:
        told = name or (None if source.words != _STDIN else "standard input")
        try:
            about = needed if _has_names(path) else {}
            return client.upload(path, name=told, **{**about, **source.csv_options})
        except InvalidInput as error:
            if source.words != _STDIN and not _UNNUMBERED & source.csv_options.keys():
                _show_rows(error, path, source.csv_options.get("encoding", "utf-8"))
            raise


def forget(client: "Client", source: Source, dataset: Dataset) -> None:
    """Delete what was uploaded for this command alone, unless a job is using it."""
    if source.dataset_id is None:
        with suppress(DescendError):
            client.delete_dataset(dataset.id)


def _show_rows(error: InvalidInput, path: Path, encoding: str) -> None:
    """Add the lines of the rows that were refused: the service shows no cell, the file is here."""
    for number, line in rows_named(str(error), path, encoding):
        error.add_note(f"  row {number}: {line}")


@contextmanager
def opened(source: Source) -> Iterator[Path]:
    """Give a file of the table; standard input goes through one, for it cannot be sent twice."""
    if source.words != _STDIN:
        yield Path(source.words)
        return
    with tempfile.TemporaryDirectory(prefix="descend-") as folder:
        first = sys.stdin.buffer.read(_PEEK_BYTES)
        path = Path(folder) / f"stdin{_suffix(source.form, first)}"
        with path.open("wb") as file:
            _copy(first, sys.stdin.buffer, file)
        yield path


def _has_names(path: Path) -> bool:
    """Whether a file's columns have names, by its own name."""
    return SUFFIXES.get(inner_suffix(path)) not in ARRAYS


def _copy(first: bytes, rest: IO[bytes], file: IO[bytes]) -> None:
    if not first:
        raise InvalidInput("standard input is empty")
    file.write(first)
    shutil.copyfileobj(rest, file)


def _suffix(form: str | None, first: bytes) -> str:
    packed = next((suffix for start, suffix in _PACKED.items() if first.startswith(start)), "")
    if form is not None:
        return _SUFFIXES[UploadFormat(form)] + packed
    text = first.lstrip()
    if _JSON.match(text):
        return _SUFFIXES[UploadFormat.JSON]
    found = (kind for start, kind in _MAGIC.items() if text.startswith(start))
    return _SUFFIXES[next(found, UploadFormat.CSV)] + packed
