"""Rows appended to a dataset: a new canonical file, the parent's rows first."""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from descend.datasets import ColumnType
from descend.errors import InvalidDataset
from descend.unreadable import UnreadableColumn, unreadable_because
from storage.arrow import Table, open_table
from storage.arrow_writer import batch_rows

__all__ = ["append_rows"]


def append_rows(
    parent: Path,
    rows: Path,
    target: Path,
    unreadable: Iterable[UnreadableColumn] = (),
    *,
    ignored: Collection[str] = (),
) -> None:
    """Write the parent's rows and then the new ones to `target`; both are canonical files.

    Columns are matched by name. A new column may be narrower than the parent's: whole numbers for
    numbers, and nothing but missing cells for anything.

    Args:
        parent: the canonical file of the rows above.
        rows: that of the new ones.
        target: of what is written.
        unreadable: columns of the new rows' file that are not in `rows`.
        ignored: columns that the new rows may have and the parent could not keep.

    Raises:
        InvalidDataset: where the columns are not the parent's; it names the column.
    """
    import polars as pl

    old, new = open_table(parent), open_table(rows)
    for one in unreadable:
        if one.name in old.kinds:
            raise InvalidDataset(unreadable_because(one.name, one.type), param=one.name)
    _same_names(old, new, {*ignored, *(one.name for one in unreadable)})
    for name, kind in old.kinds.items():
        _check_kind(new, name, kind)
    types = {
        ColumnType.FLOAT64: pl.Float64,
        ColumnType.INT64: pl.Int64,
        ColumnType.BOOL: pl.Boolean,
        ColumnType.STRING: pl.String,
    }
    fitting = pl.scan_ipc(rows).select(
        pl.col(name).cast(types[kind]) for name, kind in old.kinds.items()
    )
    pl.concat([pl.scan_ipc(parent), fitting]).sink_ipc(
        target,
        compat_level=pl.CompatLevel.oldest(),
        record_batch_size=batch_rows(len(old.names)),
    )


def _same_names(old: Table, new: Table, ignored: Collection[str]) -> None:
    for name in old.names:
        if name not in new.kinds:
            raise InvalidDataset(f"the new rows have no column {name!r}", param=name)
    for name in new.names:
        if name not in old.kinds and name not in ignored:
            raise InvalidDataset(f"the dataset has no column {name!r}", param=name)


def _check_kind(new: Table, name: str, wanted: ColumnType) -> None:
    kind = new.kinds[name]
    if kind is wanted or (kind, wanted) == (ColumnType.INT64, ColumnType.FLOAT64):
        return
    if all(batch.n_missing(name) == batch.n_rows for batch in new.batches):
        return
    if (kind, wanted) == (ColumnType.FLOAT64, ColumnType.INT64) and _is_whole(new, name):
        return
    raise InvalidDataset(
        f"column {name!r} is {wanted} in the dataset and {kind} in the new rows", param=name
    )


def _is_whole(table: Table, name: str) -> bool:
    for batch in table.batches:
        values = batch.floats(name)
        values = values[~np.isnan(values)]
        if not ((np.abs(values) < 2.0**63) & (values == np.trunc(values))).all():
            return False
    return True
