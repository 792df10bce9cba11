"""Long arrays of a JSON body, read in pieces: only one piece at a time is ever made of objects.

`cut_out` takes them from a body. What is left, with the first element of each, is parsed as any
body is; the arrays are then read piece by piece by the same strict rules, and numbers go to
float64. A list of lists of floats is ten times as large as the text that it was made from.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["LONG_BYTES", "Cut", "LongArray", "cut_out"]

LONG_BYTES = 2**18  # from here on an array is read in pieces
PIECE_BYTES = 2**16
BLOCK_BYTES = 2**17
MOST_BRACKETS = 1000  # outside of the arrays: a body with more has another form
NAMES = frozenset({"X", "y", "sample_weight", "rows"})

_QUOTE, _OPEN = ord('"'), (ord("["), ord("{"))
_STRUCTURAL = np.zeros(256, dtype=bool)
_STRUCTURAL[[_QUOTE, *_OPEN, ord("]"), ord("}")]] = True
_COMMA = re.compile(rb"\s*,")
_KEY = re.compile(rb'"([A-Za-z_]{1,20})"\s*:\s*$')

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class LongArray:
    """An array of a body: where its elements are, some to a piece."""

    raw: bytes
    name: str
    spans: tuple[tuple[int, int], ...]

    def pieces(self) -> Iterator[bytes]:
        """Yield JSON arrays of some elements each."""
        for start, stop in self.spans:
            yield b"[" + self.raw[start:stop] + b"]"


@dataclass(frozen=True)
class Cut:
    """A body without its long arrays: each is left with one element."""

    rest: bytes
    arrays: dict[str, LongArray]


@dataclass
class _Open:
    """An array while it is looked for its end."""

    name: str
    start: int  # after its bracket
    piece_bytes: int
    first_end: int = -1  # of its first element, where that has brackets
    cuts: list[int] = field(default_factory=list)  # behind elements, at least a piece apart

    def see(self, ends: Ints) -> None:
        """Take the places of brackets that end elements; in order."""
        if self.first_end < 0 and len(ends):
            self.first_end = int(ends[0]) + 1
        last = self.cuts[-1] if self.cuts else self.start
        while (k := int(np.searchsorted(ends, last + self.piece_bytes))) < len(ends):
            last = int(ends[k]) + 1
            self.cuts.append(last)


def cut_out(
    raw: bytes,
    *,
    within: str = "",
    long_bytes: int = LONG_BYTES,
    piece_bytes: int = PIECE_BYTES,
    block_bytes: int = BLOCK_BYTES,
) -> Cut | None:
    """Take the long arrays out of a body, or out of the object that is its member `within`.

    None: it has none, or is no such object; then it is to be read as a whole.
    """
    if len(raw) < long_bytes:
        return None
    found = _arrays(raw, within, piece_bytes, block_bytes)
    if not any(stop - one.start >= long_bytes for one, stop in found):
        return None
    rest, arrays, place = [], {}, 0
    for one, stop in found:
        first_end = _first_end(raw, one, stop)
        if first_end is None or one.name in arrays:
            continue  # of two with one name the second is left, for the parser to refuse
        rest.append(raw[place:first_end])
        place = stop
        arrays[one.name] = LongArray(raw, one.name, tuple(_spans(raw, one, stop)))
    rest.append(raw[place:])
    return Cut(b"".join(rest), arrays)


def _arrays(raw: bytes, within: str, piece_bytes: int, block_bytes: int) -> list[tuple[_Open, int]]:
    """Find the arrays with a known name, and where they end."""
    level = 2 if within else 1
    found: list[tuple[_Open, int]] = []
    now: _Open | None = None
    inside, n_seen = not within, 0
    for places, chars, step, after in _brackets(raw, block_bytes):
        before = after - step
        ends = places[(after == level + 1) & (step < 0)]
        outer = np.flatnonzero(np.minimum(before, after) <= level)
        n_seen += len(outer)
        if n_seen > MOST_BRACKETS:
            return []
        done = 0
        for i in outer:
            place, opens = int(places[i]), step[i] > 0
            upto = int(np.searchsorted(ends, place))
            if opens and before[i] == 0 and chars[i] != ord("{"):
                return []
            if opens and within and before[i] == 1:
                inside = chars[i] == ord("{") and _key(raw, place) == within
            elif opens and inside and before[i] == level and chars[i] == ord("["):
                name = _key(raw, place)
                now = _Open(name, place + 1, piece_bytes) if name in NAMES else None
            elif not opens and now is not None and after[i] == level:
                now.see(ends[done:upto])
                found.append((now, place))
                now = None
            done = upto
        if now is not None:
            now.see(ends[done:])
    return found


def _brackets(raw: bytes, block_bytes: int) -> Iterator[tuple[Ints, NDArray[np.uint8], Ints, Ints]]:
    """Yield the brackets outside of texts: place, character, +1 or -1, and the depth after it."""
    if b"\\" in raw:  # an escaped quote ends no text
        raw = raw.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    depth = quotes = 0
    for start in range(0, len(raw), block_bytes):
        block = np.frombuffer(raw, np.uint8, min(block_bytes, len(raw) - start), start)
        places = np.flatnonzero(_STRUCTURAL[block])
        chars = block[places]
        is_quote = chars == _QUOTE
        outside = ~is_quote & ((quotes + np.cumsum(is_quote)) % 2 == 0)
        quotes += int(is_quote.sum())
        places, chars = places[outside] + start, chars[outside]
        step = np.where(np.isin(chars, _OPEN), 1, -1)
        after = depth + np.cumsum(step)
        depth = int(after[-1]) if len(after) else depth
        yield places, chars, step, after


def _key(raw: bytes, place: int) -> str:
    """Name the member whose value begins here."""
    found = _KEY.search(raw[max(0, place - 100) : place])
    return found[1].decode() if found else ""


def _first_end(raw: bytes, one: _Open, stop: int) -> int | None:
    """Where the first element ends; None where there is none, or a text."""
    begin = raw[one.start : one.start + 100].lstrip()[:1]
    if begin in {b"[", b"{"}:
        return one.first_end if one.first_end > 0 else None
    if begin in {b'"', b"]", b""}:
        return None
    comma = raw.find(b",", one.start, stop)
    return stop if comma < 0 else comma


def _spans(raw: bytes, one: _Open, stop: int) -> Iterator[tuple[int, int]]:
    """Cut between elements: behind brackets where there are any, else at commas."""
    start = one.start
    if one.first_end < 0 and raw.find(b'"', start, stop) < 0:
        while (comma := raw.find(b",", start + one.piece_bytes, stop)) >= 0:
            yield start, comma
            start = comma + 1
    for cut in one.cuts:
        found = _COMMA.match(raw, cut, stop)
        if found is not None:  # something else comes next: parsing will say so
            yield start, cut
            start = found.end()
    yield start, stop
