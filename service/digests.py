"""Content-Digest (RFC 9530): where the caller says what it sent, nothing else is taken for it."""

import binascii
import hashlib
import re
from base64 import b64decode
from collections.abc import AsyncIterator

from descend.errors import MalformedBody

__all__ = ["held_to"]

# Of other algorithms nothing is known here: their digests are ignored, as section 2 allows.
ALGORITHMS = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
# A member of a dictionary (RFC 9651, section 3.2) whose value is bytes, perhaps with parameters.
MEMBER = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):(?: *;[^,]*)?")


def held_to(chunks: AsyncIterator[bytes], claims: list[str]) -> AsyncIterator[bytes]:
    """Pass a body on, and refuse it at its end if it does not have the digests that it came with.

    Args:
        chunks: the body as it was sent, compressed or not.
        claims: the values of its Content-Digest fields.

    Raises:
        MalformedBody: when a claim is not of the form that RFC 9530 gives it.
    """
    wanted = _digests(",".join(claims)) if claims else {}
    return _checked(chunks, wanted) if wanted else chunks


def _digests(field: str) -> dict[str, bytes]:
    """Read a dictionary; of equal names the last one counts (RFC 9651, section 4.2.2)."""
    found: dict[str, bytes] = {}
    for text in field.split(","):
        member = MEMBER.fullmatch(text.strip(" \t"))
        if member is None:
            raise _unreadable(text)
        try:
            found[member[1]] = b64decode(member[2], validate=True)
        except binascii.Error:
            raise _unreadable(text) from None
    return {name: digest for name, digest in found.items() if name in ALGORITHMS}


def _unreadable(text: str) -> MalformedBody:
    return MalformedBody(
        f"Content-Digest cannot be read at {text.strip()[:100]!r}: write sha-256=:<base64>:"
    )


async def _checked(chunks: AsyncIterator[bytes], wanted: dict[str, bytes]) -> AsyncIterator[bytes]:
    seen = {name: ALGORITHMS[name]() for name in wanted}
    async for chunk in chunks:
        for digest in seen.values():
            digest.update(chunk)
        yield chunk
    for name, digest in seen.items():
        if digest.digest() != wanted[name]:
            raise MalformedBody(
                f"the body that arrived does not have the {name} of its Content-Digest"
            )
