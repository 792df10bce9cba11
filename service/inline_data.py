"""Data that is written in a request, read by the child that reads files.

Texts that may have been meant to be numbers, dates or true and false are judged where the text of
uploaded files is, by the one rule that there is (storage.text_columns).
"""

from pathlib import Path

from descend.datasets import UploadFormat
from descend.errors import InvalidDataset
from descend.jobs import JobSpec
from service.dependencies import Parts
from storage.artefacts import no_room_is_storage_full
from storage.ingest import Ingested, JsonTable
from storage.ingest_files import Order

__all__ = ["looked_at", "written_for"]

_INSIDE_A_JOB = (
    ". Data inside a job takes no such options: write numbers as numbers of JSON, name levels in"
    " the member text beside columns, or upload the table with the options (POST /v1/datasets, as"
    " the Python client does when it is given them)"
)


def written_for(order: Order, table: JsonTable) -> Order:
    """Write a table where an order's file is to be, and say so in the order.

    Raises:
        StorageFull: when the disk is.
    """
    with no_room_is_storage_full():
        order.path.write_bytes(table.content)
    text = dict.fromkeys((*order.text, *table.text))
    return order.model_copy(update={"unreadable": table.unreadable, "text": tuple(text)})


def looked_at(parts: Parts, spec: JobSpec, table: JsonTable, folder: Path) -> Ingested:
    """Have a job's table read as a file is.

    Raises:
        InvalidDataset: about columns of text that the job needs and that were meant to be something
            else, and what can be done about it in a job.
    """
    order = Order(
        path=folder / "upload",
        target=folder / "upload.arrow",
        format=UploadFormat.JSON,
        name=spec.name,
        needed=_needed(spec),
        exclude=tuple(spec.exclude or ()),
        most_bytes=parts.settings.limits.upload_bytes,
    )
    try:
        return parts.files.ingest(written_for(order, table))
    except InvalidDataset as error:
        if not error.errors:
            raise
        told = f"{error.message}{_INSIDE_A_JOB}"
        raise InvalidDataset(told, param=error.param, errors=error.errors) from None


def _needed(spec: JobSpec) -> tuple[str, ...] | None:
    """Name the columns that a job is to use; None where it uses all that it can."""
    if not spec.features:
        return None
    targets = [spec.target] if isinstance(spec.target, str) else spec.target or []
    return (*spec.features, *targets, *([spec.weight] if spec.weight else []))
