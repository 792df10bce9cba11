"""Bodies that are tables: how a request says what its file is, and how the file arrives."""

import csv
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from fastapi import Query, Request
from pydantic import StringConstraints

from descend.datasets import ARRAYS, NULL_WORDS, UploadFormat
from descend.errors import InvalidInput
from descend.limits import Limits
from service.bodies import held, limited
from service.compression import inflated
from service.dependencies import Parts
from service.digests import held_to
from service.media_types import Sent, sent
from service.uploads import receive
from storage.ingest_files import Order

__all__ = ["CsvOptions", "Upload", "UploadOptions", "arrived"]

# What a table that has types may need, too: its text is read as a CSV's is.
_OF_TEXT = frozenset(
    {"decimal", "null_values", "thousands", "strip", "dates", "text", "columns", "exclude"}
)
Option = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00]*$")]
Line = Annotated[str, StringConstraints(max_length=30_000, pattern=r"^[^\x00-\x1f]*$")]


@dataclass(frozen=True)
class CsvOptions:
    """How a CSV is written, and the text of other tables."""

    delimiter: Annotated[
        str | None,
        Query(
            pattern=r"^[\x09,;|]$",
            description="between cells; by default what the rows agree on",
        ),
    ] = None
    decimal: Annotated[
        list[Option] | None,
        Query(
            description="decimal sign of numbers in text, `.` or `,`, for all columns, or"
            " COLUMN:value for one; a point by default in a CSV; may be repeated",
        ),
    ] = None
    encoding: Annotated[
        Literal["utf-8", "utf-16", "latin-1", "cp1252"] | None,
        Query(description="of the text; UTF-8 by default, or UTF-16 where its first bytes say so"),
    ] = None
    comment: Annotated[
        str | None,
        Query(
            pattern=r"^[^\s\w\x22]{1,3}$",
            description="how lines begin that are left out, such as #",
        ),
    ] = None
    skip_rows: Annotated[
        int | None, Query(ge=0, le=10_000, description="lines before the names to leave out")
    ] = None
    header: Annotated[
        Literal["present", "absent"] | None,
        Query(description="absent: the first line is a row; columns are column_1, column_2, …"),
    ] = None
    null_values: Annotated[
        str | None,
        Query(
            max_length=1000,
            pattern=r"^[^\x00]*$",
            description="words for a missing cell, separated by commas, instead of"
            f" {', '.join(NULL_WORDS)}; an empty cell is always missing",
        ),
    ] = None

    thousands: Annotated[
        list[Option] | None,
        Query(
            description="what stands between groups of three digits: `,`, `.`, `'` or a space, for"
            " all columns, or COLUMN:value for one; may be repeated",
        ),
    ] = None
    strip: Annotated[
        list[Option] | None,
        Query(
            description="a text to take off either end of numbers, such as $ or %, for all columns,"
            " or COLUMN:text for one; `()` reads (12) as -12, `-` reads 12- as -12; may be"
            " repeated",
        ),
    ] = None
    dates: Annotated[
        list[Option] | None,
        Query(
            description="what to make of ISO dates: days (since the column's first), year, month"
            " or weekday (1 is Monday), for all columns of dates, or COLUMN:value for one; may be"
            " repeated",
        ),
    ] = None

    @property
    def null_words(self) -> tuple[str, ...] | None:
        if self.null_values is None:
            return None
        return tuple(self.null_values.split(",")) if self.null_values else ()

    @property
    def read_text(self) -> bool:
        """Whether one of them is about the text of a table."""
        return any(
            getattr(self, one.name) is not None for one in fields(self) if one.name in _OF_TEXT
        )

    def refuse_unfit(self, format_: UploadFormat) -> None:
        """Refuse what says how a CSV is written, of another body; and of arrays what reads text.

        Raises:
            InvalidInput: names the option.
        """
        if format_ is UploadFormat.CSV:
            return
        for name in (option.name for option in fields(self)):
            if getattr(self, name) is None:
                continue
            if name not in _OF_TEXT:
                raise InvalidInput(f"{name} is for text/csv bodies: leave it out", param=name)
            if format_ in ARRAYS:
                raise InvalidInput(f"{name} is for tables with text: leave it out", param=name)


@dataclass(frozen=True)
class UploadOptions(CsvOptions):
    """How text is written, and which columns are text though they look like numbers."""

    text: Annotated[
        list[Line] | None,
        Query(
            description="columns to be kept as text whatever their cells are, as a line of CSV;"
            " may be repeated",
        ),
    ] = None

    columns: Annotated[
        list[Line] | None,
        Query(
            description="columns that must be readable, as a line of CSV: of the others what was"
            " meant to be numbers or dates and cannot be read is kept as text; may be repeated",
        ),
    ] = None
    exclude: Annotated[
        list[Line] | None,
        Query(description="columns that need not be readable, as a line of CSV; may be repeated"),
    ] = None

    @property
    def by_column(self) -> dict[str, object]:
        """The fields of an order that name columns."""
        return {
            "text": _named(self.text),
            "needed": None if self.columns is None else _named(self.columns),
            "exclude": _named(self.exclude),
        }


def _named(lines: list[str] | None) -> tuple[str, ...]:
    return tuple(name for row in csv.reader(lines or ()) for name in row)


@dataclass(frozen=True)
class Upload:
    """A body that has arrived: JSON in memory, or anything else in a temporary file."""

    sent: Sent
    json: bytes
    path: Path

    @property
    def format(self) -> UploadFormat:
        return self.sent.format

    def order(self, options: CsvOptions, limits: Limits, **more: object) -> Order:
        """Say how the file is to be read; `more` are further fields of the order."""
        order = Order(
            path=self.path,
            target=self.path.with_suffix(".arrow"),
            format=self.format,
            delimiter=options.delimiter or self.sent.delimiter,
            decimal=tuple(options.decimal or ()),
            encoding=options.encoding or self.sent.encoding,
            comment=options.comment,
            skip_rows=options.skip_rows or 0,
            header=options.header or "present",
            null_values=options.null_words,
            thousands=tuple(options.thousands or ()),
            strip=tuple(options.strip or ()),
            dates=tuple(options.dates or ()),
            most_bytes=limits.upload_bytes,
        )
        return order.model_copy(update=more)


@asynccontextmanager
async def arrived(
    request: Request, parts: Parts, formats: Collection[UploadFormat]
) -> AsyncIterator[Upload]:
    """Receive a body of one of these formats; its file is there for as long as the block.

    Raises:
        UnsupportedMediaType: when it is of another, or packed otherwise than with gzip or zstd.
        BodyTooLarge: as soon as it is, as sent or unpacked.
        MalformedBody: when its digest is not the one it came with, or its packing is torn.
        StorageFull: when the disk is.
    """
    said = sent(request, formats)
    limits = parts.settings.limits
    is_json = said.format is UploadFormat.JSON
    limit = limits.inline_json_bytes if is_json else limits.upload_bytes
    chunks = parts.uploads.counted(limited(request, limit))
    chunks = held_to(chunks, request.headers.getlist("content-digest"))
    if said.packing is not None:
        chunks = inflated(chunks, limit, encoding=said.packing)
    with parts.uploads.workspace() as folder:
        path = folder / "upload"
        if is_json:
            async with held(request, chunks) as body:
                yield Upload(said, body, path)
        else:
            await receive(chunks, path)
            yield Upload(said, b"", path)
