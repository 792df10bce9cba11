"""Bodies that come compressed, and answers that may go so."""

import zlib
from collections.abc import AsyncIterator
from typing import Literal

from fastapi.concurrency import run_in_threadpool

from descend.errors import BodyTooLarge, MalformedBody

__all__ = ["Compression", "accepted", "compressed", "inflated"]

Compression = Literal["gzip", "deflate"]
WBITS: dict[Compression, int] = {"gzip": 31, "deflate": 15}  # deflate: in zlib's frame (RFC 9110)
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
    wanted = [name for name in WBITS if weights.get(name, 0.0) > 0.0]
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
    chunks: AsyncIterator[bytes], limit: int, *, encoding: Compression = "gzip"
) -> AsyncIterator[bytes]:
    """Take the compression off, piece by piece: one member, or several behind one another.

    Raises:
        BodyTooLarge: as soon as more than `limit` bytes came out, or, beyond the first few MiB,
            more than a hundred times of what went in.
        MalformedBody: where it is not so compressed, or ends too early.
    """
    members, out = _Members(encoding), 0
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


class _Members:
    """Compressed members behind one another, inflated a buffer at a time."""

    def __init__(self, encoding: Compression) -> None:
        self._encoding = encoding
        self._member = zlib.decompressobj(WBITS[encoding])
        self._rest = b""
        self._fed = 0

    @property
    def taken(self) -> int:
        """Bytes that went in so far."""
        return self._fed - len(self._rest)

    @property
    def ended(self) -> bool:
        return self._member.eof

    def feed(self, chunk: bytes) -> None:
        self._rest += chunk
        self._fed += len(chunk)

    def piece(self) -> bytes:
        """Inflate at most a buffer; nothing where more must be fed."""
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
            told = f"the body is not {self._encoding}, as its Content-Encoding says"
            raise MalformedBody(told) from error
