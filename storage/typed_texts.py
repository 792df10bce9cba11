"""Columns of text in a table that has types: read where asked, refused where they were not meant.

A typed table keeps numbers as numbers; where it has texts of them, or dates, somebody lost the type
on the way. The rule for such a column is a CSV's (storage.text_columns); what is declared to be a
category is one.
"""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from descend.datasets import ColumnType
from storage.arrow import open_table
from storage.canonical_sink import sink_canonical
from storage.column_kinds import kinds_of, zeros_lost
from storage.text_cells import TextCells
from storage.text_columns import refuse_meant

if TYPE_CHECKING:
    import polars as pl

__all__ = ["read_texts"]


def read_texts(target: Path, cells: TextCells, categories: Collection[str]) -> list[str]:
    """Read columns of text in a canonical file as what is known or asked of them; judge the others.

    Args:
        target: the file, which is written anew where a column is no text.
        cells: the options, and what is known of the columns.
        categories: columns that the table declares to be groups.

    Returns:
        Warnings about columns that stay text, and about zeros that are lost.

    Raises:
        InvalidDataset: about cells that are not what their column is known to be; about columns
            that were meant to be something else.
    """
    import polars as pl

    kinds = open_table(target).kinds
    texts = [name for name, kind in kinds.items() if kind is ColumnType.STRING]
    if not texts:
        return []
    scan = pl.scan_ipc(target)
    read = _kinds_read(scan, texts, cells, categories)
    whole = [name for name, kind in read.items() if kind is ColumnType.INT64]
    told = zeros_lost(scan, [name for name in whole if name not in cells.form.kinds], cells)
    if read:
        new = [cells.cast(name, read[name]) if name in read else pl.col(name) for name in kinds]
        sink_canonical(scan.select(new), target, len(kinds))
    left = [name for name in texts if name not in read and _is_judged(name, cells, categories)]
    judged = pl.scan_ipc(target).with_columns(cells.text(name) for name in left)
    return told + refuse_meant(judged, left, cells)


def _is_judged(name: str, cells: TextCells, categories: Collection[str]) -> bool:
    """Whether a column of text may have been meant to be something else: not where it is known."""
    if name in categories:
        return False
    form = cells.form
    return form.kinds[name] is not ColumnType.STRING if name in form.kinds else not form.known


def _kinds_read(
    scan: "pl.LazyFrame", texts: Collection[str], cells: TextCells, categories: Collection[str]
) -> dict[str, ColumnType]:
    """Say which columns an option reads, and as what: as is known, or where every cell fits."""
    asked = [
        name
        for name in texts
        if cells.reading.is_asked(name)
        and cells.form.kinds.get(name) is not ColumnType.STRING
        and (name in cells.reading.forms or name not in categories)
    ]
    if not asked:
        return {}
    kinds = kinds_of(scan, asked, cells)
    numbers = {ColumnType.FLOAT64, ColumnType.INT64}
    return {n: kind for n, kind in kinds.items() if n in cells.form.kinds or kind in numbers}
