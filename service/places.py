"""Places in logs: what ids of events are, and what a client comes back with."""

import re
from typing import NamedTuple

from descend.errors import NotFound
from storage.job_log import ChangePlace, JobLog

__all__ = ["CHANGE_PLACE", "JOB_PLACE", "JobPlace", "change_id", "change_place"]

# As JSON Schema and Python read them alike.
JOB_PLACE = "^([0-9]{1,18})-([0-9]{1,9})-([0-9]{1,9})$"
CHANGE_PLACE = "^([0-9]{1,18})(?:-([0-9]{1,9})-([0-9a-f]{32}))?$"
_WRONG = "is no id of an event of this log"


class JobPlace(NamedTuple):
    """How much of a job's log was told: versions, warnings and rows of the history, each by itself.

    Three numbers and not one, because the three grow apart, and at another process in other steps.
    """

    seq: int = 0
    warnings: int = 0
    rows: int = 0

    def __str__(self) -> str:
        return f"{self.seq}-{self.warnings}-{self.rows}"

    @classmethod
    def parse(cls, text: str) -> "JobPlace":
        match = re.fullmatch(JOB_PLACE, text)
        if match is None:
            raise NotFound(_WRONG, param="last_event_id")
        return cls(*map(int, match.groups()))

    @classmethod
    def end_of(cls, log: JobLog) -> "JobPlace":
        seq = log.changes[-1].seq if log.changes else 0
        return cls(seq, len(log.warnings), log.history_rows)


def change_id(place: ChangePlace) -> str:
    """Write a place in the log of all jobs; "0" is its beginning."""
    if not place.job_id:
        return str(place.place)
    return f"{place.place}-{place.seq}-{place.job_id.removeprefix('job_')}"


def change_place(text: str) -> ChangePlace:
    match = re.fullmatch(CHANGE_PLACE, text)
    if match is None:
        raise NotFound(_WRONG, param="last_event_id")
    place, seq, job = match.groups()
    return ChangePlace(int(place), f"job_{job}" if job else "", int(seq or 0))
