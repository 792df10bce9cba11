"""What a runner hands back: progress, checkpoints and outcomes of its jobs, as one file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from descend.encoding import Encoding
from descend.history import COLUMNS, History
from descend.jobs import Hyperparameters, JobError, Metrics, StopReason
from descend.statistics import Statistics
from workers.spool import MAX_FILE_BYTES, Blobs, Document, read_file, write_file

__all__ = [
    "MAX_BLOB_BYTES",
    "Entry",
    "Fate",
    "RunnerReport",
    "Unreadable",
    "portions",
    "read_report",
    "told",
    "write_report",
]

MAX_COUNT = 2**31 - 1
# What reading a document that is none may raise, beside ValueError.
_NONSENSE = (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
MAX_STEP_SECONDS = 24 * 3600.0
# Of one job's bytes in a report, a checkpoint too: SQLite stores a row of 1e9 bytes at most.
MAX_BLOB_BYTES = MAX_FILE_BYTES // 2

_COLUMNS = tuple(name for name in COLUMNS if name != "epoch")


class Fate(StrEnum):
    """What an entry says about its job; after all but RUNNING the runner holds it no more."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DROPPED = "dropped"  # let go, as the worker wished
    SAVED = "saved"  # let go in a drain, with a checkpoint
    RETURNED = "returned"  # let go before it began, as the worker wished


@dataclass(frozen=True, eq=False)
class Entry:
    """One job's part of a report.

    Attributes:
        history: the rows since the last report.
        result: of a job that is not a training: its answer, JSON.
        covariance: beside `statistics`, as storage.leases.Outcome has it.
    """

    job_id: str
    fence: int
    fate: Fate
    epochs_done: int
    history: History | None = None
    checkpoint: bytes | None = None
    stop_reason: StopReason | None = None
    coef: NDArray[np.float64] | None = None
    intercept: NDArray[np.float64] | None = None
    metrics: Metrics | None = None
    encoding: Encoding | None = None
    error: JobError | None = None
    resolved: Hyperparameters | None = None
    engine: str | None = None
    device: str | None = None
    warnings: tuple[str, ...] = ()
    result: bytes | None = None
    statistics: Statistics | None = None
    covariance: bytes | None = None


@dataclass(frozen=True)
class Unreadable:
    """An entry that names its job and is otherwise none.

    Attributes:
        fate: as the entry has it; running where that is none either.
        reason: what is wrong with it, and where; no value of the entry's.
    """

    job_id: str
    fence: int
    fate: Fate
    reason: str


@dataclass(frozen=True, eq=False)
class RunnerReport:
    """All that happened since the runner's last report."""

    entries: tuple[Entry | Unreadable, ...]
    step_seconds: float  # the median time of a call into the engine, for the hang deadline


def write_report(path: Path, entries: Sequence[Entry], *, step_seconds: float) -> None:
    """Write entries to a file.

    Raises:
        OSError: when the disk is full.
    """
    blobs = Blobs()
    rows = [_row(entry, blobs) for entry in entries]
    write_file(path, {"entries": rows, "step_seconds": step_seconds}, blobs.parts)


def portions(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Part entries into reports that may be read: of no more than MAX_FILE_BYTES each."""
    portion: list[Entry] = []
    room = MAX_BLOB_BYTES
    for entry in entries:
        size = _size(entry)
        if portion and size > room:
            yield portion
            portion, room = [], MAX_BLOB_BYTES
        portion.append(entry)
        room -= size
    if portion:
        yield portion


def read_report(path: Path) -> RunnerReport:
    """Read the file back, trusting nothing in it.

    One entry that cannot be read says nothing about the others: it is `Unreadable`.

    Raises:
        ValueError: when it is not what `write_report` writes, or an entry names no job.
    """
    try:
        document, blobs = read_file(path, max_bytes=MAX_FILE_BYTES)
        entries = tuple(_entry_or_not(row, blobs) for row in document["entries"])
        return RunnerReport(entries, step_seconds=_seconds(document["step_seconds"]))
    except _NONSENSE as error:
        raise ValueError(f"not a report: {error!r}") from error


def told(error: Exception) -> str:
    """Name the field and the fault, never the value: it may be somebody's."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in (error.title, *first['loc']))}: {first['msg']}"
    return str(error) if type(error) is ValueError else f"not an entry ({type(error).__name__})"


def _row(entry: Entry, blobs: Blobs) -> Document:
    def place(blob: bytes | None) -> int | None:
        return None if blob is None else blobs.add(blob)

    history, coef, intercept = entry.history, entry.coef, entry.intercept
    return {
        "job_id": entry.job_id,
        "fence": entry.fence,
        "fate": entry.fate,
        "epochs_done": entry.epochs_done,
        "history": place(None if history is None else _packed(history)),
        "checkpoint": place(entry.checkpoint),
        "stop_reason": entry.stop_reason,
        "coef": place(None if coef is None else coef.astype("<f8").tobytes()),
        "n_targets": None if coef is None else len(coef),
        "intercept": place(None if intercept is None else intercept.astype("<f8").tobytes()),
        "metrics": _dumped(entry.metrics),
        "encoding": _dumped(entry.encoding),
        "error": _dumped(entry.error),
        "resolved": _dumped(entry.resolved),
        "engine": entry.engine,
        "device": entry.device,
        "warnings": list(entry.warnings),
        "result": place(entry.result),
        "statistics": _dumped(entry.statistics),
        "covariance": place(entry.covariance),
    }


def _entry_or_not(row: Document, blobs: list[bytes]) -> Entry | Unreadable:
    job_id, fence = str(row["job_id"]), _count(row["fence"])
    try:
        return _entry(row, blobs)
    except (ValueError, *_NONSENSE) as error:
        fates = [fate for fate in Fate if fate == row.get("fate")]
        return Unreadable(job_id, fence, (*fates, Fate.RUNNING)[0], told(error))


def _size(entry: Entry) -> int:
    """Bytes of an entry's blobs, and more than enough for the rest."""
    weights = (0 if part is None else part.nbytes for part in (entry.coef, entry.intercept))
    blobs = (entry.checkpoint, entry.result, entry.covariance)
    rows = 0 if entry.history is None else 8 * (1 + len(_COLUMNS)) * len(entry.history)
    return sum(weights) + sum(len(blob) for blob in blobs if blob is not None) + rows


def _entry(row: Document, blobs: list[bytes]) -> Entry:
    def blob(name: str) -> bytes | None:
        return None if row[name] is None else blobs[row[name]]

    epochs_done = _count(row["epochs_done"])
    history, coef, intercept = blob("history"), blob("coef"), blob("intercept")
    return Entry(
        job_id=str(row["job_id"]),
        fence=_count(row["fence"]),
        fate=Fate(row["fate"]),
        epochs_done=epochs_done,
        history=None if history is None else _unpacked(history, total=epochs_done),
        checkpoint=blob("checkpoint"),
        stop_reason=None if row["stop_reason"] is None else StopReason(row["stop_reason"]),
        coef=None if coef is None else _numbers(coef).reshape(_count(row["n_targets"]), -1),
        intercept=None if intercept is None else _numbers(intercept),
        metrics=None if row["metrics"] is None else Metrics.model_validate(row["metrics"]),
        encoding=None if row["encoding"] is None else Encoding.model_validate(row["encoding"]),
        error=None if row["error"] is None else JobError.model_validate(row["error"]),
        resolved=_hyperparameters(row["resolved"]),
        engine=_text(row["engine"]),
        device=_text(row["device"]),
        warnings=tuple(str(warning) for warning in row["warnings"]),
        result=blob("result"),
        statistics=None
        if row["statistics"] is None
        else Statistics.model_validate(row["statistics"]),
        covariance=blob("covariance"),
    )


def _count(value: object) -> int:
    """A number that a column of the database can hold."""
    if not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise ValueError("not a report: a count that is none")
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= MAX_STEP_SECONDS:
        raise ValueError("not a report: a time that is none")
    return float(value)


def _text(value: object) -> str | None:
    """A word of the workers' own; PostgreSQL takes no NUL, and nobody a lone surrogate."""
    if value is None or (isinstance(value, str) and value.isascii() and value.isprintable()):
        return value
    raise ValueError("not a report: a word that is none")


def _dumped(value: BaseModel | None) -> Document | None:
    return None if value is None else value.model_dump(mode="json")


def _hyperparameters(body: Document | None) -> Hyperparameters | None:
    return None if body is None else Hyperparameters.model_validate(body)


def _numbers(blob: bytes) -> NDArray[np.float64]:
    return np.frombuffer(blob, dtype="<f8").astype(np.float64)


def _packed(history: History) -> bytes:
    columns = [getattr(history, name).astype("<f8").tobytes() for name in _COLUMNS]
    return b"".join([history.epoch.astype("<i8").tobytes(), *columns])


def _unpacked(blob: bytes, *, total: int) -> History:
    n_rows, rest = divmod(len(blob), 8 * (1 + len(_COLUMNS)))
    if rest:
        raise ValueError(f"a history of {len(blob)} bytes")
    floats = np.frombuffer(blob, dtype="<f8", offset=8 * n_rows).reshape(len(_COLUMNS), n_rows)
    return History(
        epoch=np.frombuffer(blob, dtype="<i8", count=n_rows).astype(np.int64),
        **dict(zip(_COLUMNS, floats, strict=True)),
        total=total,
    )
