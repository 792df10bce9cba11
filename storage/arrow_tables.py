"""Uploaded Arrow, files and streams, to what polars reads lazily: a record batch at a time.

arro3 reads the messages: it knows dictionaries that are replaced or grow from batch to batch, which
polars takes for the last one or refuses (docs/decisions/0020). polars is handed one batch after the
other and holds none of them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from descend.errors import InvalidDataset
from storage.arrow_messages import check_arrow
from storage.arrow_schema import ArrowSchema
from storage.arrow_writer import batch_rows
from storage.frames import Scan

if TYPE_CHECKING:
    import arro3.core
    import polars as pl

__all__ = ["scan_arrow"]


def scan_arrow(path: Path, most_bytes: int, *, is_stream: bool) -> Scan:
    """Make a lazy frame of an Arrow file or stream; the texts of a dictionary are texts.

    Raises:
        InvalidDataset: where it is damaged, or claims more than is allowed.
    """
    from polars.io.plugins import register_io_source

    told = check_arrow(path, most_bytes, is_stream=is_stream)
    schema = _schema(_opened(path, is_stream=is_stream).schema, told)
    rows = batch_rows(len(told.names))

    def frames(
        columns: list[str] | None,
        predicate: "pl.Expr | None",
        n_rows: int | None,
        _batch_size: int | None,
    ) -> "Iterator[pl.DataFrame]":
        """Give the batches in pieces, for one may be as large as its file."""
        left = n_rows
        for batch in _batches(_opened(path, is_stream=is_stream)):
            for start in range(0, batch.num_rows, rows):
                if left is not None and left <= 0:
                    return
                part = batch.slice(start, min(rows, batch.num_rows - start))
                piece = _frame(part.select(list(schema) if columns is None else columns))
                piece = piece if left is None else piece.head(left)
                left = None if left is None else left - len(piece)
                yield piece if predicate is None else piece.filter(predicate)

    frame = register_io_source(frames, schema=schema)
    return Scan(frame, categories=told.categories, unreadable=told.unreadable)


def _opened(path: Path, *, is_stream: bool) -> "arro3.core.RecordBatchReader":
    from arro3.io import read_ipc, read_ipc_stream

    try:
        return read_ipc_stream(path) if is_stream else read_ipc(path)
    except Exception:  # noqa: BLE001  arro3 raises no class of its own
        raise _unread() from None


def _batches(reader: "arro3.core.RecordBatchReader") -> "Iterator[arro3.core.RecordBatch]":
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except Exception:  # noqa: BLE001  arro3 raises no class of its own
            raise _unread() from None
        yield batch


def _frame(batch: "arro3.core.RecordBatch") -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame(batch).with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))


def _schema(schema: "arro3.core.Schema", told: ArrowSchema) -> "pl.Schema":
    """Say what the columns of `_frame` are, whatever stands in them."""
    import polars as pl
    from arro3.core import RecordBatchReader, Schema

    known = Schema([schema.field(name) for name in told.names if name not in told.foreign])
    found = pl.DataFrame(RecordBatchReader.from_batches(known, [])).schema
    texts = {name: pl.String() for name, kind in found.items() if kind in (pl.Categorical, pl.Enum)}
    return pl.Schema({**found, **texts})


def _unread() -> InvalidDataset:
    return InvalidDataset(
        "the file cannot be read as Arrow: it is damaged, or uses what is not read here"
    )
