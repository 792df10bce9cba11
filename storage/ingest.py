"""Tables on their way in: what was written in a request, read here; files, in storage.ingest_files.

A column is numeric only where every present cell is a real number. Refusals name the column and
the row and never show a cell: data does not belong into messages and logs.
"""

import hashlib
import re
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from descend.datasets import (
    Column,
    ColumnType,
    Dataset,
    InlineColumns,
    InlineData,
    InlineRecords,
    InlineXY,
)
from descend.errors import InvalidDataset
from descend.ids import new_id
from descend.limits import INLINE_IN_ROW_BYTES, MAX_COLUMNS
from descend.unreadable import UnreadableColumn, nested_type, unreadable_because
from storage.arrow import open_table, read_columns
from storage.arrow_writer import write_arrow
from storage.profile import (
    profile,
    profile_table,
    warnings_about,
    warnings_about_unreadable,
)
from storage.relations import warnings_about_relations

__all__ = ["Ingested", "JsonTable", "dataset_of", "ingested_at", "read_columns"]

_DIGIT = re.compile("[0-9]")
_FLAGS = frozenset({"true", "false"})


@dataclass(frozen=True)
class Ingested:
    """A dataset, and its bytes: `inline`, in memory, or in the file at `path`."""

    dataset: Dataset
    path: Path | None
    inline: bytes | None

    @property
    def is_large(self) -> bool:
        """Whether the bytes belong into a file, not into the dataset's row."""
        return self.dataset.size_bytes > INLINE_IN_ROW_BYTES


def ingested_at(dataset: Dataset, path: Path) -> Ingested:
    """Take a canonical file into memory where it is small enough for its dataset's row."""
    ingested = Ingested(dataset, path, None)
    if ingested.is_large:
        return ingested
    content = path.read_bytes()
    path.unlink()
    return Ingested(dataset, None, content)


@dataclass(frozen=True)
class JsonTable:
    """Data that was written in a request, by columns.

    Attributes:
        columns: those that can be kept, each with what it is.
        unreadable: the types of the others, by name.
        text: columns whose texts are levels, whatever they say.
        is_xy: whether it was X and y.
    """

    columns: "Columns"
    unreadable: dict[str, str]
    text: tuple[str, ...] = ()
    is_xy: bool = False

    @classmethod
    def of(cls, data: InlineData) -> "JsonTable":
        """Take apart what was written.

        Raises:
            InvalidDataset: when a column mixes text, numbers and booleans, or there are too many.
        """
        if isinstance(data, InlineXY):
            return cls(_few_enough(_columns_of_xy(data)), {}, is_xy=True)
        return _named_columns(data)

    @property
    def has_text(self) -> bool:
        return any(kind is ColumnType.STRING for kind, _ in self.columns.values())

    @property
    def may_be_meant(self) -> bool:
        """Whether a text was perhaps meant to be a number, a date, or true or false.

        What is certain costs a process; most texts have no digit.
        """
        return any(
            cell is not None and (_DIGIT.search(cell) or cell.strip().lower() in _FLAGS)
            for name, (kind, cells) in self.columns.items()
            if kind is ColumnType.STRING and name not in self.text
            for cell in cells
        )

    @property
    def content(self) -> bytes:
        """The canonical file."""
        return _arrow_bytes(self.columns)

    def ingested(self, *, name: str | None, brief: bool = True) -> Ingested:
        """Describe the table.

        `brief`: leave out of the profile what a job has no time for: samples, pairs of columns.
        """
        content = self.content
        targets = [column for column in self.columns if column.startswith("y")]
        weight = "sample_weight" if "sample_weight" in self.columns else None
        more: dict[str, Any] = {
            "unreadable": [UnreadableColumn(name=n, type=t) for n, t in self.unreadable.items()],
            "default_target": targets if self.is_xy else None,
            "default_weight": weight if self.is_xy else None,
        }
        if brief:
            dataset = _described_briefly(name, content, self.columns, **more)
        else:
            dataset = dataset_of(content, name=name, format_="json", **more)
        return Ingested(dataset, None, content)


def dataset_of(
    source: Path | bytes,
    *,
    name: str | None,
    format_: str,
    warnings: list[str] | None = None,
    unnamed: Collection[str] = (),
    floats: Collection[str] = (),
    unreadable: Sequence[UnreadableColumn] = (),
    **more: Any,
) -> Dataset:
    """Describe a canonical file in full, and what its file had besides.

    Args:
        source: the canonical file, or its bytes.
        name: of the dataset.
        format_: of what was uploaded.
        warnings: what its reader had to say.
        unnamed: columns that have no name in the file.
        floats: columns that came as floats.
        unreadable: columns of the file that are not in the canonical one.
        more: further fields of the dataset.
    """
    table = open_table(source)
    with ThreadPoolExecutor(1) as beside:
        hashing = beside.submit(_size_and_digest, source)
        columns = [
            one.model_copy(update={"unnamed": True}) if one.name in unnamed else one
            for one in profile_table(table)
        ]
    found = [
        *(warnings or []),
        *warnings_about_unreadable(unreadable),
        *warnings_about(columns, table.n_rows, floats=floats),
        *warnings_about_relations(table, columns),
    ]
    size, sha256 = hashing.result()
    return _dataset(
        name,
        format_,
        n_rows=table.n_rows,
        columns=columns,
        size_bytes=size,
        sha256=sha256,
        warnings=found,
        unreadable=list(unreadable),
        **more,
    )


def _size_and_digest(source: Path | bytes) -> tuple[int, str]:
    if isinstance(source, bytes):
        return len(source), hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return source.stat().st_size, digest


def _described_briefly(
    name: str | None, content: bytes, columns: "Columns", **more: Any
) -> Dataset:
    profiles = [_profiled(column, kind, values) for column, (kind, values) in columns.items()]
    n_rows = len(next(iter(columns.values()))[1])
    return _dataset(
        name,
        "json",
        n_rows=n_rows,
        columns=profiles,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        warnings=[
            *warnings_about_unreadable(more["unreadable"]),
            *warnings_about(profiles, n_rows),
        ],
        **more,
    )


def _dataset(
    name: str | None, format_: str, *, n_rows: int, columns: list[Column], **more: Any
) -> Dataset:
    return Dataset(
        id=new_id("ds"),
        name=name,
        format=format_,
        n_rows=n_rows,
        n_columns=len(columns),
        columns=columns,
        created_at=datetime.now(UTC),  # until the database has said when
        **more,
    )


Columns = dict[str, tuple[ColumnType, Any]]


def _few_enough(columns: Columns) -> Columns:
    if len(columns) > MAX_COLUMNS:
        raise InvalidDataset(f"there are {len(columns)} columns; at most {MAX_COLUMNS}")
    return columns


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


def _named_columns(data: InlineColumns | InlineRecords) -> JsonTable:
    columns: Columns = {}
    unreadable: dict[str, str] = {}
    for name, cells in data.columns.items():
        if "\0" in name:
            raise InvalidDataset("a column's name has a NUL character")
        nested = next(filter(None, map(nested_type, cells)), None)
        if nested is None:
            columns[name] = _typed(name, cells)
        else:
            unreadable[name] = nested
    if not columns:
        first = next(iter(unreadable))
        raise InvalidDataset(unreadable_because(first, unreadable[first]), param=first)
    text = tuple(data.text) if isinstance(data, InlineColumns) else ()
    return JsonTable(_few_enough(columns), unreadable, text)


def _typed(name: str, cells: list[Any]) -> tuple[ColumnType, Any]:
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
    file = BytesIO()
    write_arrow(
        file,
        {name: kind for name, (kind, _) in columns.items()},
        [{name: values for name, (_, values) in columns.items()}],
    )
    return file.getvalue()
