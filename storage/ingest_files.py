"""Files on their way in: an order, naming an uploaded file, becomes a canonical file and a profile.

This runs in the sandboxed child (storage.ingest_child), which alone loads polars.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from descend.datasets import ColumnType, Dataset, UploadFormat
from descend.errors import InvalidDataset, StorageFull
from storage.appending import append_rows
from storage.arrow import open_table
from storage.arrow_tables import scan_arrow
from storage.artefacts import is_no_room, no_room_is_storage_full
from storage.csv_form import CsvForm
from storage.csv_tables import read_csv
from storage.dates import derivation_of
from storage.frames import Scan, write_frame
from storage.ingest import dataset_of
from storage.ndjson_tables import read_ndjson
from storage.numpy_tables import read_npy, read_npz
from storage.parquet_footer import check_parquet

__all__ = ["Order", "ingest_file", "read_file"]


class Order(BaseModel):
    """What is to be read, and how; it crosses to the child as JSON.

    A file of the format JSON is what the service made of it, a canonical file: the columns
    `unreadable`, with their types, are not in it. Below a `parent` come no columns of the names
    `ignored`: its own could not be read. With `columns` only these are wanted, for a model that is
    there: each must be in the file, what they are is known (None: numbers, or true and false), and
    nobody asks for a profile.
    """

    model_config = ConfigDict(frozen=True)

    path: Path
    target: Path
    format: UploadFormat
    name: str | None = None
    delimiter: str | None = None
    decimal: tuple[str, ...] = ()
    encoding: str | None = None
    comment: str | None = None
    skip_rows: int = 0
    header: str = "present"
    null_values: tuple[str, ...] | None = None
    thousands: tuple[str, ...] = ()
    strip: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    needed: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    most_bytes: int = 10 * 2**30
    parent: Path | None = None
    ignored: tuple[str, ...] = ()
    columns: dict[str, ColumnType | None] | None = None
    unreadable: dict[str, str] = {}


def ingest_file(order: Order) -> Dataset:
    """Read the file at `order.path`; write its canonical file to `order.target`.

    With a parent, which is a canonical file, the new rows come below its.

    Raises:
        InvalidDataset: when it is no table; it names the column and the row.
        StorageFull: when the disk is.
    """
    with no_room_is_storage_full():
        found = _READERS[order.format](order)
        if order.parent is not None:
            rows = order.target.rename(order.target.with_suffix(".rows"))
            unreadable = found.pop("unreadable", [])
            append_rows(order.parent, rows, order.target, unreadable, ignored=order.ignored)
        return dataset_of(order.target, name=order.name, format_=order.format.value, **found)


def read_file(order: Order) -> None:
    """Write a canonical file with the columns that the order names, and tell nothing of it.

    Raises:
        InvalidDataset: as ingest_file, and where a column is missing.
        StorageFull: when the disk is.
    """
    with no_room_is_storage_full():
        _READERS[order.format](order)


def _csv(order: Order) -> dict[str, Any]:
    read = read_csv(order.path, _form(order), order.target)
    return {"warnings": read.warnings, "unnamed": read.unnamed}


def _parquet(order: Order) -> dict[str, Any]:
    import polars as pl

    told = check_parquet(order.path, order.most_bytes)
    with _damaged_where_polars_fails("Parquet"):
        frame = pl.scan_parquet(order.path, glob=False, hive_partitioning=False)
        return _frame(Scan(frame, told.categories, told.unreadable), order)


def _arrow(order: Order) -> dict[str, Any]:
    is_stream = order.format is UploadFormat.ARROW_STREAM
    with _damaged_where_polars_fails("Arrow"):
        return _frame(scan_arrow(order.path, order.most_bytes, is_stream=is_stream), order)


def _frame(scan: Scan, order: Order) -> dict[str, Any]:
    return vars(write_frame(scan, order.target, _form(order)))


def _ndjson(order: Order) -> dict[str, Any]:
    """Read the lines; text in them is looked at as in any table that has types."""
    lines = order.target.with_suffix(".lines")
    unreadable = read_ndjson(order.path, lines, only=_with_sources(order.columns))
    return _of_json(lines, unreadable, order)


def _json(order: Order) -> dict[str, Any]:
    return _of_json(order.path, order.unreadable, order)


def _of_json(canonical: Path, unreadable: Mapping[str, str], order: Order) -> dict[str, Any]:
    """Make a table of what JSON held; of its numbers nobody can say that they came as floats."""
    import polars as pl

    read = _frame(Scan(pl.scan_ipc(canonical), unreadable=unreadable), order)
    return {name: value for name, value in read.items() if name != "floats"}


def _with_sources(columns: Collection[str] | None) -> Collection[str] | None:
    """Add to names of columns those of the dates that some are made of."""
    if columns is None:
        return None
    return [*columns, *(one.column for name in columns if (one := derivation_of(name)))]


def _npy(order: Order) -> dict[str, Any]:
    return read_npy(order.path, order.target, order.most_bytes)


def _npz(order: Order) -> dict[str, Any]:
    return read_npz(order.path, order.target, order.most_bytes)


_READERS: dict[UploadFormat, Callable[[Order], dict[str, Any]]] = {
    UploadFormat.CSV: _csv,
    UploadFormat.PARQUET: _parquet,
    UploadFormat.ARROW_FILE: _arrow,
    UploadFormat.ARROW_STREAM: _arrow,
    UploadFormat.NDJSON: _ndjson,
    UploadFormat.JSON: _json,
    UploadFormat.NPY: _npy,
    UploadFormat.NPZ: _npz,
}


@contextmanager
def _damaged_where_polars_fails(format_: str) -> Iterator[None]:
    """What polars says of a file may show its cells."""
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        if is_no_room(error):
            raise StorageFull from None
        raise InvalidDataset(
            f"the file cannot be read as {format_}: it is damaged, or uses what is not read here"
        ) from None


def _form(order: Order) -> CsvForm:
    """New rows are read as the columns that they come below."""
    kinds = order.columns or dict.fromkeys(order.text, ColumnType.STRING)
    return CsvForm(
        delimiter=order.delimiter,
        null_values=order.null_values,
        decimal=order.decimal,
        encoding=order.encoding,
        comment=order.comment,
        skip_rows=order.skip_rows,
        header=order.header,
        thousands=order.thousands,
        strip=order.strip,
        dates=order.dates,
        kinds=kinds if order.parent is None else open_table(order.parent).kinds,
        known=order.parent is not None or order.columns is not None,
        only=order.columns is not None,
        columns=order.needed,
        exclude=order.exclude,
        typed=order.format is not UploadFormat.CSV,
    )
