"""What a body is said to be: by its media type, its name, its charset, its Content-Encoding."""

import codecs
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import PurePath

from fastapi import Request

from descend.datasets import MEDIA_TYPES, PACKED_SUFFIXES, SUFFIXES, Packing, UploadFormat
from descend.errors import UnsupportedMediaType
from service.bodies import content_encoding

__all__ = ["Sent", "sent"]

# What programs and people call them besides.
ALIASES = {
    "application/csv": UploadFormat.CSV,
    "text/x-csv": UploadFormat.CSV,
    "text/comma-separated-values": UploadFormat.CSV,
    "text/tab-separated-values": UploadFormat.CSV,
    "application/parquet": UploadFormat.PARQUET,
    "application/x-parquet": UploadFormat.PARQUET,
    "application/ndjson": UploadFormat.NDJSON,
    "application/jsonl": UploadFormat.NDJSON,
    "application/x-jsonl": UploadFormat.NDJSON,
    "application/jsonlines": UploadFormat.NDJSON,
    "application/x-jsonlines": UploadFormat.NDJSON,
    "application/json-lines": UploadFormat.NDJSON,
    "application/x-numpy": UploadFormat.NPY,
}
TAB_SEPARATED = "text/tab-separated-values"
# These say nothing of what is in them: the suffix of the name does. text/plain and what forms send
# are none of them, for any page may have a browser send such a body here.
BY_NAME: dict[str, Packing | None] = {
    "application/octet-stream": None,
    "binary/octet-stream": None,
    "application/gzip": "gzip",
    "application/x-gzip": "gzip",
    "application/zstd": "zstd",
}
PACKINGS: tuple[Packing, ...] = ("gzip", "zstd")
# How Python calls a charset, and the option `encoding`.
ENCODINGS = {
    "utf-8": "utf-8",
    "ascii": "utf-8",
    "utf-16": "utf-16",
    "iso8859-1": "latin-1",
    "cp1252": "cp1252",
}


@dataclass(frozen=True)
class Sent:
    """A body's format, how it is packed, and how its text is written where that was said."""

    format: UploadFormat
    packing: Packing | None = None
    delimiter: str | None = None
    encoding: str | None = None


def sent(request: Request, formats: Collection[UploadFormat]) -> Sent:
    """Read what a request says of its body.

    Raises:
        UnsupportedMediaType: where it says nothing, or something that is not read here.
    """
    media_type, charset = _content_type(request)
    if media_type in BY_NAME:
        found = _by_name(media_type, request.query_params.get("name", ""))
    else:
        format_ = MEDIA_TYPES.get(media_type, ALIASES.get(media_type))
        found = Sent(format_) if format_ else None
    if found is None or found.format not in formats:
        known = (kind for kind, format_ in MEDIA_TYPES.items() if format_ in formats)
        raise UnsupportedMediaType(
            f"send one of {', '.join(known)}; or application/octet-stream with a name= that ends"
            f" in {', '.join(SUFFIXES)}"
        )
    coding = content_encoding(request)
    if coding != "identity":
        found = replace(found, packing=_packing(coding))
    if media_type == TAB_SEPARATED:
        found = replace(found, delimiter="\t")
    return replace(found, encoding=_encoding(charset, found.format)) if charset else found


def _content_type(request: Request) -> tuple[str, str | None]:
    name, *parameters = request.headers.get("content-type", "").lower().split(";")
    pairs = (parameter.strip().partition("=") for parameter in parameters)
    charsets = [value.strip("\"' ") for key, _, value in pairs if key == "charset"]
    return name.strip(), charsets[0] if charsets else None


def _by_name(media_type: str, name: str) -> Sent | None:
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    packing = PACKED_SUFFIXES.get(suffixes[-1]) if suffixes else None
    inner = suffixes[:-1] if packing else suffixes
    format_ = SUFFIXES.get(inner[-1]) if inner else None
    return Sent(format_, BY_NAME[media_type] or packing) if format_ else None


def _packing(coding: str) -> Packing:
    for packing in PACKINGS:
        if coding == packing:
            return packing
    raise UnsupportedMediaType("send the body as it is, or with Content-Encoding: gzip or zstd")


def _encoding(charset: str, format_: UploadFormat) -> str:
    try:
        encoding = ENCODINGS.get(codecs.lookup(charset).name)
    except (LookupError, ValueError):
        encoding = None
    if encoding is None or (encoding != "utf-8" and format_ is not UploadFormat.CSV):
        raise UnsupportedMediaType(f"text in {charset[:40]!r} is not read here: send it in UTF-8")
    return encoding
