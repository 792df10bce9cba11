"""A few losses of many jobs, without reading their histories."""

import math
from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, literal_column, select, text

from storage.history import HEAD_BYTES, decoded, loss_place
from storage.job_statements import my_jobs
from storage.tables import history_chunks, jobs

__all__ = ["SparklineRepository"]

Floats = NDArray[np.float64]

# Up to here a history is read whole: its shape is then exact, and its chunks are small.
SHORT_ROWS = 4096


@dataclass(frozen=True)
class _Sample:
    """One row: its job, the chunk that holds it, and its place in there."""

    job_id: str
    chunk: int  # SQLite: the chunk's rowid; PostgreSQL: its start
    row: int


class SparklineRepository:
    """Reads train losses."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sqlite = connection.dialect.name == "sqlite"

    def losses(self, job_ids: Collection[str], *, points: int) -> dict[str, Floats]:
        """Read all losses of a short history, and `points` evenly spaced ones of a long one.

        Notes:
            Of a long history 8 bytes a point are read, wherever they stand: fifty jobs of a
            million epochs take some milliseconds.
        """
        rows = self._connection.execute(_ROWS, {"my_jobs": list(job_ids)})
        totals = {job_id: total for job_id, total in rows}  # noqa: C416  rows are no pairs to mypy
        short = [job_id for job_id, total in totals.items() if 0 < total <= SHORT_ROWS]
        long = {job_id: total for job_id, total in totals.items() if total > SHORT_ROWS}
        none = {job_id: np.empty(0) for job_id in totals}
        return none | self._whole(short) | self._sampled(long, points)

    def _whole(self, job_ids: list[str]) -> dict[str, Floats]:
        if not job_ids:
            return {}
        parts: dict[str, list[Floats]] = {job_id: [] for job_id in job_ids}
        for job_id, data in self._connection.execute(_CHUNKS, {"my_jobs": job_ids}):
            parts[job_id].append(decoded(data).train_loss)
        return {job_id: np.concatenate(found) for job_id, found in parts.items() if found}

    def _sampled(self, totals: dict[str, int], points: int) -> dict[str, Floats]:
        if not totals:
            return {}
        samples = list(self._samples(totals, points))
        read = self._from_sqlite if self._sqlite else self._from_postgresql
        found: dict[str, list[float]] = {job_id: [] for job_id in totals}
        for sample, value in zip(samples, read(samples), strict=True):
            found[sample.job_id].append(value)
        return {job_id: np.array(values) for job_id, values in found.items()}

    def _samples(self, totals: dict[str, int], points: int) -> Iterator[_Sample]:
        """Find the chunks by the primary key alone."""
        statement = _PLACES_SQLITE if self._sqlite else _PLACES
        chunks: dict[str, list[tuple[int, int]]] = {job_id: [] for job_id in totals}
        for job_id, start, chunk in self._connection.execute(statement, {"my_jobs": list(totals)}):
            chunks[job_id].append((start, chunk))
        for job_id, total in totals.items():
            starts = [start for start, _ in chunks[job_id]]
            for row in np.linspace(0, total - 1, points).astype(int).tolist():
                place = bisect_right(starts, row) - 1
                if place >= 0:
                    yield _Sample(job_id, chunks[job_id][place][1], row - starts[place])

    def _from_sqlite(self, samples: list[_Sample]) -> Iterator[float]:
        """Open each blob where it is needed: SQL would read it whole."""
        raw: Any = self._connection.connection.driver_connection
        for sample in samples:
            with raw.blobopen("history_chunks", "data", sample.chunk, readonly=True) as blob:
                place = loss_place(blob.read(HEAD_BYTES), sample.row)
                blob.seek(place)
                yield float(np.frombuffer(blob.read(8), "<f8")[0])

    def _from_postgresql(self, samples: list[_Sample]) -> Iterator[float]:
        where = {
            "my_jobs": [sample.job_id for sample in samples],
            "my_chunks": [sample.chunk for sample in samples],
        }
        heads = self._connection.scalars(
            _SLICES, {**where, "my_places": [0] * len(samples), "my_bytes": HEAD_BYTES}
        )
        places = [
            loss_place(bytes(head), sample.row) if head else 0
            for head, sample in zip(heads, samples, strict=True)
        ]
        values = self._connection.scalars(_SLICES, {**where, "my_places": places, "my_bytes": 8})
        # A chunk that was cut since it was found is no more there: a job was claimed again.
        return (float(np.frombuffer(value, "<f8")[0]) if value else math.nan for value in values)


_ROWS = select(jobs.c.id, jobs.c.history_rows).where(jobs.c.id.in_(my_jobs))
_order = (history_chunks.c.job_id, history_chunks.c.start)
_CHUNKS = (
    select(history_chunks.c.job_id, history_chunks.c.data)
    .where(history_chunks.c.job_id.in_(my_jobs))
    .order_by(*_order)
)
_PLACES = select(*_order, history_chunks.c.start).where(history_chunks.c.job_id.in_(my_jobs))
_PLACES = _PLACES.order_by(*_order)
_PLACES_SQLITE = (
    select(*_order, literal_column("rowid"))
    .select_from(history_chunks)
    .where(history_chunks.c.job_id.in_(my_jobs))
    .order_by(*_order)
)
_SLICES = text(
    "SELECT substring(c.data FROM w.place + 1 FOR :my_bytes)"
    " FROM unnest(CAST(:my_jobs AS TEXT[]), CAST(:my_chunks AS INTEGER[]),"
    " CAST(:my_places AS INTEGER[])) WITH ORDINALITY AS w (job_id, start, place, n)"
    " LEFT JOIN history_chunks c ON c.job_id = w.job_id AND c.start = w.start ORDER BY w.n"
)
