"""Tables on their way in: to a canonical Arrow file and a profile per column.

A column is numeric only where every present cell is a real number. Refusals name the column and
the row and never show a cell: data does not belong into messages and logs.
"""

import hashlib
import tempfile
import weakref
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from descend.datasets import Cell, Column, ColumnType, Dataset, InlineColumns, InlineData, InlineXY
from descend.errors import InvalidDataset
from descend.ids import new_id
from descend.limits import INLINE_IN_ROW_BYTES, MAX_COLUMNS
from storage.arrow import read_columns
from storage.arrow_writer import arrow_of_floats
from storage.csv_tables import CsvTable, read_csv
from storage.profile import profile, warnings_about

__all__ = ["Ingested", "ingest_csv", "ingest_json", "read_columns"]

# Cells of one record batch, so that the same table always becomes the same bytes.
_BATCH_CELLS = 2**22


@dataclass(frozen=True)
class Ingested:
    """A dataset whose bytes are in `inline` where they are few, and else in the file at `path`."""

    dataset: Dataset
    path: Path | None
    inline: bytes | None


def ingest_json(data: InlineData, *, name: str | None) -> Ingested:
    """Read data that was written in a request.

    A file it makes, for more than fits into a row, is gone when the result is forgotten.

    Raises:
        InvalidDataset: when a column mixes text, numbers and booleans, or there are too many.
    """
    xy = isinstance(data, InlineXY)
    columns = _columns_of_xy(data) if isinstance(data, InlineXY) else _columns_of(data)
    if len(columns) > MAX_COLUMNS:
        raise InvalidDataset(f"there are {len(columns)} columns; at most {MAX_COLUMNS}")
    content = _arrow_bytes(columns)
    profiles = [_profiled(column, kind, values) for column, (kind, values) in columns.items()]
    dataset = _dataset(
        name,
        "json",
        n_rows=len(next(iter(columns.values()))[1]),
        columns=profiles,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        default_target=[c for c in columns if c.startswith("y")] if xy else None,
        default_weight="sample_weight" if "sample_weight" in columns and xy else None,
    )
    if len(content) <= INLINE_IN_ROW_BYTES:
        return Ingested(dataset, None, content)
    with tempfile.NamedTemporaryFile(suffix=".arrow", delete=False) as file:
        file.write(content)
    ingested = Ingested(dataset, Path(file.name), None)
    weakref.finalize(ingested, Path(file.name).unlink, missing_ok=True)
    return ingested


def ingest_csv(
    path: Path,
    *,
    name: str | None,
    target: Path,
    delimiter: str = ",",
    null_values: tuple[str, ...] = (),
    decimal: str = ".",
    encoding: str = "utf-8",
) -> Ingested:
    """Read a CSV file with a header; write the canonical file to `target`, unless it is small.

    Raises:
        InvalidDataset: about the header, a row of another width, bytes that are not in the
            encoding, NUL, or no rows; it names the column or the row, and shows no cell.
    """
    table = CsvTable(path, delimiter, null_values=null_values, decimal=decimal, encoding=encoding)
    kinds = read_csv(table, target, batch_cells=_BATCH_CELLS)
    columns = [
        profile(c.name, read_columns(target, [c.name])[c.name], dtype=c.dtype)
        if c.is_numeric
        else c
        for c in kinds.columns
    ]
    with target.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    dataset = _dataset(
        name,
        "csv",
        n_rows=kinds.n_rows,
        columns=columns,
        size_bytes=target.stat().st_size,
        sha256=sha256,
        warnings=kinds.warnings,
    )
    if dataset.size_bytes > INLINE_IN_ROW_BYTES:
        return Ingested(dataset, target, None)
    content = target.read_bytes()
    target.unlink()
    return Ingested(dataset, None, content)


def _dataset(
    name: str | None,
    format_: str,
    *,
    n_rows: int,
    columns: list[Column],
    warnings: list[str] | None = None,
    **more: Any,
) -> Dataset:
    return Dataset(
        id=new_id("ds"),
        name=name,
        format=format_,
        n_rows=n_rows,
        n_columns=len(columns),
        columns=columns,
        warnings=(warnings or []) + warnings_about(columns, n_rows),
        created_at=datetime.now(UTC),  # until the database has said when
        **more,
    )


Columns = dict[str, tuple[ColumnType, Any]]


def _columns_of_xy(data: InlineXY) -> Columns:
    X = np.array(data.X, dtype=np.float64)
    Y = np.array(data.y, dtype=np.float64)
    columns = {f"x{j}": X[:, j] for j in range(X.shape[1])}
    if Y.ndim == 1:
        columns["y"] = Y
    else:
        columns |= {f"y{j}": Y[:, j] for j in range(Y.shape[1])}
    if data.sample_weight is not None:
        columns["sample_weight"] = np.array(data.sample_weight, dtype=np.float64)
    return {name: (ColumnType.FLOAT64, values) for name, values in columns.items()}


def _columns_of(data: InlineColumns) -> Columns:
    columns: Columns = {}
    for name, cells in data.columns.items():
        if "\0" in name:
            raise InvalidDataset("a column's name has a NUL character")
        columns[name] = _typed(name, cells)
    return columns


def _typed(name: str, cells: list[Cell]) -> tuple[ColumnType, Any]:
    present = {type(cell) for cell in cells} - {type(None)}
    if present <= {float, int}:
        numbers = [np.nan if cell is None else cell for cell in cells]
        return ColumnType.FLOAT64, np.array(numbers, dtype=np.float64)
    if len(present) > 1:
        first = next(type(cell) for cell in cells if cell is not None)
        row = next(i for i, c in enumerate(cells, 1) if c is not None and type(c) is not first)
        raise InvalidDataset(
            f"column {name!r} mixes text, numbers or booleans: row {row} is of another type",
            param=name,
        )
    return (ColumnType.BOOL if present == {bool} else ColumnType.STRING), cells


def _profiled(name: str, kind: ColumnType, values: Any) -> Column:
    if kind is ColumnType.STRING:
        distinct = len(set(values) - {None})
        return Column(name=name, dtype=kind, missing=values.count(None), distinct=distinct)
    if kind is ColumnType.BOOL:
        values = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    return profile(name, values, dtype=kind)


def _arrow_bytes(columns: Columns) -> bytes:
    if all(kind is ColumnType.FLOAT64 for kind, _ in columns.values()):
        return arrow_of_floats({name: values for name, (_, values) in columns.items()})
    import polars as pl

    file = BytesIO()
    pl.DataFrame(
        [
            pl.Series(name, values, nan_to_null=kind is ColumnType.FLOAT64)
            for name, (kind, values) in columns.items()
        ]
    ).write_ipc(
        file,
        compat_level=pl.CompatLevel.oldest(),
        record_batch_size=max(1, _BATCH_CELLS // len(columns)),
    )
    return file.getvalue()
