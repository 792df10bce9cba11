"""Ids of jobs as a narrow table shows them, job_019a…4f5e, and as they may be typed again."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice
from typing import TYPE_CHECKING

from descend.errors import InvalidInput, JobNotFound
from descend.ids import ID_PATTERNS

if TYPE_CHECKING:
    from descend.jobs import Job

__all__ = ["SHORT_WIDTH", "job_id_of", "shortened"]

_HEAD = _TAIL = 4
SHORT_WIDTH = len("job_") + _HEAD + len("…") + _TAIL
_LEAST = 8  # characters of a beginning
_LOOKED_AT = 100
_SHORT = re.compile(r"(job_[0-9a-f]*)(?:…|\.{2,3})([0-9a-f]+)")


def shortened(ids: Sequence[str], *, unicode: bool = True) -> dict[str, str]:
    """Shorten ids to what tells them apart: their first characters and their last."""
    dots, start = "…" if unicode else "..", len("job_") + _HEAD
    for tail in count(_TAIL):
        short = {one: f"{one[:start]}{dots}{one[-tail:]}" for one in ids}
        if len(set(short.values())) == len(short):
            return short
    raise AssertionError  # ids differ


def job_id_of(words: str, jobs: "Callable[[], Iterator[Job]]") -> str:
    """Find the job that is meant by an id, a shortened one, or at least 8 characters of one.

    Raises:
        JobNotFound: when none of the newest 100 trainings is.
        InvalidInput: when several are.
    """
    if re.fullmatch(ID_PATTERNS["job"], words):
        return words
    found = _SHORT.fullmatch(words)
    if found is None and not (words.startswith("job_") and len(words) >= _LEAST):
        return words  # the server says what it thinks of it
    head, tail = found.groups() if found else (words, "")
    return _only(words, (job.id for job in islice(jobs(), _LOOKED_AT)), head, tail)


def _only(words: str, ids: Iterable[str], head: str, tail: str) -> str:
    meant = [one for one in ids if one.startswith(head) and one.endswith(tail)]
    if not meant:
        raise JobNotFound(f"none of the newest {_LOOKED_AT} jobs is {words}")
    if len(meant) > 1:
        several = ", ".join(meant[:5])
        raise InvalidInput(f"{words} may be {several}: give more of it")
    return meant[0]
