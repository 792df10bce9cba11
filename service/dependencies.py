"""What handlers are given: the parts of the process, and checked ids and headers."""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request

from descend.errors import DatasetNotFound, JobNotFound, ModelNotFound, NotFound
from descend.ids import ID_PATTERNS
from descend.limits import DEFAULT_LIST, MAX_LIST, MAX_WAIT_SECONDS
from service.changes import ChangeLogs
from service.disk_room import DiskRoom
from service.doorbell import Doorbell
from service.errors import InvalidFields
from service.feed import Feed
from service.joblog import JobLogs
from service.loaded import LoadedModels
from service.overview import Overview
from service.places import JobPlace
from service.problems import FieldError
from service.security import ApiKey
from service.settings import ServiceSettings
from service.shares import Shares
from service.streams import Seats
from service.uploads import Uploads
from service.watcher import Watcher
from storage.artefacts import LocalArtefacts
from storage.database import Database
from storage.ingest_pool import IngestPool
from storage.job_log import ChangePlace

__all__ = [
    "GUARDS",
    "AnswerWait",
    "DatasetCursor",
    "DatasetId",
    "Filter",
    "IdempotencyKey",
    "JobCursor",
    "JobId",
    "Limit",
    "ModelCursor",
    "ModelId",
    "Parts",
    "PartsOf",
    "UnguardedParts",
    "Wait",
    "known_query",
]


@dataclass(frozen=True)
class Parts:
    """What one API process is made of; built once, in create_app."""

    settings: ServiceSettings
    database: Database
    artefacts: LocalArtefacts
    disk: DiskRoom
    uploads: Uploads
    files: IngestPool
    loaded: LoadedModels
    doorbell: Doorbell
    watcher: Watcher
    job_logs: JobLogs
    job_feed: Feed[JobPlace]
    change_logs: ChangeLogs
    feed: Feed[ChangePlace]
    seats: Seats
    shares: Shares
    overview: Overview
    key: ApiKey

    def close_waiting(self) -> None:
        """Let long-polls and streams go: the process is ending."""
        self.watcher.close()
        self.job_feed.close()
        self.feed.close()


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


async def _authorised(request: Request) -> Parts:
    """Let in who has the key, and asks for nothing unknown."""
    parts: Parts = request.app.state.parts
    parts.key.check(request)
    await known_query(request)
    return parts


# Nobody is given the parts before the key is seen; FastAPI asks once for a guard and its value.
PartsOf = Annotated[Parts, Depends(_authorised)]
UnguardedParts = Annotated[Parts, Depends(_parts)]


async def known_query(request: Request) -> None:
    """Refuse query parameters that the OpenAPI document does not list."""
    if not request.scope["query_string"]:
        return
    known: dict[str, bool] = request.app.state.query_names[request.scope["endpoint"].__name__]
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        family = re.sub(r"\[[^\]]*\]$", "[]", name)
        if family not in known:
            raise InvalidFields([_parameter(name, "there is no such query parameter", "unknown")])
        if name in seen and not known[family]:
            raise InvalidFields([_parameter(name, "is given more than once", "repeated")])
        seen.add(name)


GUARDS = [Depends(_authorised)]


def _parameter(name: str, message: str, code: str) -> FieldError:
    return FieldError(param=name[:100], message=message, code=code)


def _id_parameter(prefix: str, what: str) -> object:
    pattern = ID_PATTERNS[prefix]  # type: ignore[index]
    return Path(
        description=f"the {what}'s id",
        json_schema_extra={"pattern": pattern, "examples": [f"{prefix}_{'0' * 32}"]},
    )


def _cursor(pattern: str) -> object:
    """A place in one list: among ids of another kind it would be the beginning or the end."""
    return Query(pattern=pattern, description="`last_id` of the page before")


def _checked(text: str, prefix: str, absent: type[NotFound]) -> str:
    """What cannot be an id names nothing; the database is not asked."""
    if not re.fullmatch(ID_PATTERNS[prefix][1:-1], text):  # type: ignore[index]
        raise absent
    return text


async def _dataset_id(dataset_id: Annotated[str, _id_parameter("ds", "dataset")]) -> str:
    return _checked(dataset_id, "ds", DatasetNotFound)


async def _job_id(job_id: Annotated[str, _id_parameter("job", "job")]) -> str:
    return _checked(job_id, "job", JobNotFound)


async def _model_id(model_id: Annotated[str, _id_parameter("mdl", "model")]) -> str:
    return _checked(model_id, "mdl", ModelNotFound)


DatasetId = Annotated[str, Depends(_dataset_id)]
JobId = Annotated[str, Depends(_job_id)]
ModelId = Annotated[str, Depends(_model_id)]

Limit = Annotated[
    int, Query(ge=1, le=MAX_LIST, description=f"items in the page; {DEFAULT_LIST} by default")
]
JobCursor = Annotated[str | None, _cursor(ID_PATTERNS["job"])]
DatasetCursor = Annotated[str | None, _cursor(ID_PATTERNS["ds"])]
ModelCursor = Annotated[str | None, _cursor(ID_PATTERNS["mdl"])]
Filter = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="part of the name",
    ),
]
Wait = Annotated[
    float,
    Query(
        ge=0,
        le=MAX_WAIT_SECONDS,
        allow_inf_nan=False,
        description="seconds to wait for the job's end before answering",
    ),
]
AnswerWait = Annotated[
    float,
    Query(
        ge=0,
        le=MAX_WAIT_SECONDS,
        allow_inf_nan=False,
        description="seconds to wait for the answer; then 202 and the job that will hold it",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="sent again with the same body, the request returns the job made the first"
        " time; with another body it is refused",
    ),
]
