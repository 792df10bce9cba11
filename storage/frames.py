"""Typed tables to canonical Arrow files: what polars reads lazily, column by column.

Whole numbers become int64 (float64 where they are too large), other numbers float64, categories
text, a column of nothing float64; NaN is missing, infinity is refused. Dates, lists, structures
and bytes are no numbers and no groups: they are refused with what to do.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from descend.datasets import ColumnType
from descend.errors import InvalidDataset
from storage.arrow import open_table
from storage.arrow_writer import batch_rows
from storage.cells import refuse_unfit_text
from storage.csv_text import check_names

if TYPE_CHECKING:
    import polars as pl

__all__ = ["check_size", "refuse_infinity", "write_frame"]


def check_size(n_rows: int, n_columns: int, most_bytes: int) -> None:
    """Refuse a table by what its header declares, before anything of it is decoded."""
    if n_rows == 0:
        raise InvalidDataset("the file has no rows")
    if 8 * n_rows * n_columns > most_bytes:
        raise InvalidDataset(
            f"{n_rows} rows of {n_columns} columns are more than {most_bytes} bytes when decoded"
        )


def write_frame(scan: "pl.LazyFrame", target: Path) -> list[str]:
    """Write a table's canonical Arrow file to `target`.

    Returns:
        The columns that were floats: the others of float64 may have lost digits.

    Raises:
        InvalidDataset: about names, types, infinity or text; it names the column, and the row.
    """
    import polars as pl

    schema = scan.collect_schema()
    names = schema.names()
    check_names(names)
    large = [name for name, dtype in schema.items() if dtype in (pl.UInt64, pl.Int128, pl.UInt128)]
    wide = _beyond_int64(scan, large)
    scan.select(
        _canonical(name, dtype, wide=name in wide) for name, dtype in schema.items()
    ).sink_ipc(
        target,
        compat_level=pl.CompatLevel.oldest(),
        record_batch_size=batch_rows(len(names)),
    )
    table = open_table(target)
    if table.n_rows == 0:
        raise InvalidDataset("the file has no rows")
    refuse_infinity(target)
    texts = [name for name, kind in table.kinds.items() if kind is ColumnType.STRING]
    refuse_unfit_text(pl.scan_ipc(target), texts)
    return [name for name, dtype in schema.items() if dtype.is_float()]


def refuse_infinity(path: Path) -> None:
    """Refuse a canonical file that holds infinity, by its column and first row."""
    table, row = open_table(path), 0
    floats = [name for name, kind in table.kinds.items() if kind is ColumnType.FLOAT64]
    for batch in table.batches:
        for name in floats:
            endless = np.isinf(batch.floats(name))
            if endless.any():
                raise InvalidDataset(
                    f"column {name!r} holds infinity: row {row + int(endless.argmax()) + 1}",
                    param=name,
                )
        row += batch.n_rows


def _beyond_int64(scan: "pl.LazyFrame", names: list[str]) -> set[str]:
    import polars as pl

    if not names:
        return set()
    fits = (pl.col(names).max() < 2**63) & (pl.col(names).min() >= -(2**63))
    found = scan.select(fits).collect(engine="streaming").row(0, named=True)
    return {name for name, fit in found.items() if fit is False}


def _canonical(name: str, dtype: "pl.DataType", *, wide: bool) -> "pl.Expr":
    import polars as pl

    column = pl.col(name)
    if dtype.is_integer():
        return column.cast(pl.Float64 if wide else pl.Int64)
    if dtype.is_float():
        return column.cast(pl.Float64).fill_nan(None)
    if dtype.is_decimal() or dtype == pl.Null:
        return column.cast(pl.Float64)
    if dtype == pl.Boolean:
        return column
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    if dtype.is_temporal():
        what = "dates or times: send numbers, such as days since a day, or text"
    elif dtype.is_nested():
        what = "lists or structures: send one column for each number"
    else:
        what = "bytes or objects: send numbers or text"
    raise InvalidDataset(f"column {name!r} holds {what}; or leave it out", param=name)
