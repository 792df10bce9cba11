"""Files on their way in: an order, naming an uploaded file, becomes a canonical file and a profile.

This runs in the sandboxed child (storage.ingest_child), which alone loads polars.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from descend.datasets import ColumnType, Dataset, UploadFormat
from descend.errors import InvalidDataset
from storage.artefacts import no_room_is_storage_full
from storage.csv_tables import CsvForm, read_csv
from storage.ingest import dataset_of

__all__ = ["Order", "ingest_file"]


class Order(BaseModel):
    """What is to be read, and how; it crosses to the child as JSON."""

    model_config = ConfigDict(frozen=True)

    path: Path
    target: Path
    format: UploadFormat
    name: str | None = None
    delimiter: str | None = None
    decimal: str = "."
    encoding: str = "utf-8"
    null_values: tuple[str, ...] | None = None
    text: tuple[str, ...] = ()
    most_bytes: int = 10 * 2**30


def ingest_file(order: Order) -> Dataset:
    """Read the file at `order.path`; write its canonical file to `order.target`.

    Raises:
        InvalidDataset: when it is no table; it names the column and the row.
        StorageFull: when the disk is.
    """
    with no_room_is_storage_full():
        if order.format is UploadFormat.CSV:
            warnings = read_csv(order.path, _form(order), order.target)
        else:
            raise InvalidDataset("not yet")
        return dataset_of(
            order.target, name=order.name, format_=order.format.value, warnings=warnings
        )


def _form(order: Order) -> CsvForm:
    return CsvForm(
        delimiter=order.delimiter,
        null_values=order.null_values,
        decimal=order.decimal,
        encoding=order.encoding,
        kinds=dict.fromkeys(order.text, ColumnType.STRING),
    )
