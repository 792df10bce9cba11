"""Bodies that come compressed, and answers that may go so."""

import sys
import zlib
from collections.abc import AsyncIterator
from typing import Literal, Protocol

from fastapi.concurrency import run_in_threadpool

from descend.datasets import Packing
from descend.errors import BodyTooLarge, MalformedBody

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["Compression", "accepted", "compressed", "inflated"]

Compression = Literal["gzip", "deflate"]  # of answers; bodies may come as zstd, too
WBITS: dict[str, int] = {"gzip": 31, "deflate": 15}  # deflate: in zlib's frame (RFC 9110)
LEVEL = 1  # most of the gain for a fifth of the time
BUFFER_BYTES = 2**20
FREE_BYTES = 16 * 2**20
MOST_RATIO = 100


def accepted(accept_encoding: str) -> Compression | None:
    """Choose a compression that an Accept-Encoding names, and does not refuse with q=0."""
    weights: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        name, _, parameter = part.partition(";")
        key, _, value = parameter.strip().partition("=")
        weights[name.strip()] = _weight(value) if key.strip() == "q" else 1.0
    names: tuple[Compression, ...] = ("gzip", "deflate")
    wanted = [name for name in names if weights.get(name, 0.0) > 0.0]
    return max(wanted, key=lambda name: weights[name], default=None)


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def compressed(content: bytes, how: Compression) -> bytes:
    """Compress an answer."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, WBITS[how])
    return compressor.compress(content) + compressor.flush()


async def inflated(
    chunks: AsyncIterator[bytes], limit: int, *, encoding: Compression | Packing = "gzip"
) -> AsyncIterator[bytes]:
    """Take the compression off, piece by piece: one member, or several behind one another.

    Raises:
        BodyTooLarge: as soon as more than `limit` bytes came out, or, beyond the first few MiB,
            more than a hundred times of what went in.
        MalformedBody: where it is not so compressed, or ends too early.
    """
    members: _Members = _ZstdMembers() if encoding == "zstd" else _ZlibMembers(encoding)
    out = 0
    async for chunk in chunks:
        members.feed(chunk)
        while piece := await run_in_threadpool(members.piece):
            out += len(piece)
            if out > limit:
                raise BodyTooLarge(f"the body has more than {limit} bytes when it is inflated")
            if out > FREE_BYTES and out > MOST_RATIO * members.taken:
                raise BodyTooLarge(f"the body inflates to more than {MOST_RATIO} times its size")
            yield piece
    if not members.ended:
        raise MalformedBody(f"the {encoding} body ends too early")


class _Members(Protocol):
    """Compressed members behind one another, inflated a buffer at a time."""

    @property
    def taken(self) -> int:
        """Bytes that went in so far."""

    @property
    def ended(self) -> bool:
        """Whether the last member is whole."""

    def feed(self, chunk: bytes) -> None:
        """Take in what came."""

    def piece(self) -> bytes:
        """Inflate at most a buffer; nothing where more must be fed."""


class _ZlibMembers:
    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._member = zlib.decompressobj(WBITS[encoding])
        self._rest = b""
        self._fed = 0

    @property
    def taken(self) -> int:
        return self._fed - len(self._rest)

    @property
    def ended(self) -> bool:
        return self._member.eof

    def feed(self, chunk: bytes) -> None:
        self._rest += chunk
        self._fed += len(chunk)

    def piece(self) -> bytes:
        try:
            while True:
                if self._member.eof and self._rest:
                    self._member = zlib.decompressobj(WBITS[self._encoding])
                piece = self._member.decompress(self._rest, BUFFER_BYTES)
                ended = self._member.eof
                self._rest = self._member.unused_data if ended else self._member.unconsumed_tail
                if piece or not ended or not self._rest:
                    return piece
        except zlib.error as error:
            raise _not_as_said(self._encoding) from error


class _ZstdMembers:
    """Frames of zstd (RFC 8878), of windows no larger than HTTP allows (RFC 9659): 8 MiB."""

    def __init__(self) -> None:
        self._frame = self._new_frame()
        self._rest = b""
        self.taken = 0

    @staticmethod
    def _new_frame() -> zstd.ZstdDecompressor:
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 23})

    @property
    def ended(self) -> bool:
        return self._frame.eof and not self._rest

    def feed(self, chunk: bytes) -> None:
        self._rest += chunk
        self.taken += len(chunk)

    def piece(self) -> bytes:
        piece = b""
        try:
            while not piece and not self.ended:
                if self._frame.eof:
                    self._frame = self._new_frame()
                fed, self._rest = self._rest, b""
                piece = self._frame.decompress(fed, BUFFER_BYTES)
                if self._frame.eof:
                    self._rest = self._frame.unused_data
                elif not piece:
                    break
        except zstd.ZstdError as error:
            if "much memory" in str(error):
                raise BodyTooLarge(
                    "the body needs a window of more than 8 MiB: pack it with zstd -19 or less, and"
                    " without --long"
                ) from error
            raise _not_as_said("zstd") from error
        return piece


def _not_as_said(encoding: str) -> MalformedBody:
    return MalformedBody(f"the body is not {encoding}, as it is said to be")
