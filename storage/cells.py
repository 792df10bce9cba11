"""Cells of text: blanks at their ends, true and false, what no cell may be.

A refusal names the column, how many cells are wrong, and the first rows; it shows no cell.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from descend.errors import InvalidDataset
from storage.column_errors import rows_named
from storage.csv_text import MAX_CELL

if TYPE_CHECKING:
    import polars as pl

__all__ = ["as_boolean", "first_rows", "refuse_unfit_text", "stripped"]

_FIRST_ROWS = 5


def as_boolean(cell: "pl.Expr") -> "pl.Expr":
    """Read a cell as true or false, in any case of letters; null where it is neither."""
    import polars as pl

    word = cell.str.to_lowercase()
    return pl.when(word.is_in(["true", "false"])).then(word == "true")


def stripped(name: str) -> "pl.Expr":
    """Take the blanks off a column's cells; what is nothing else is missing."""
    import polars as pl

    cell = pl.col(name).str.strip_chars()
    return pl.when(cell != "").then(cell)


def first_rows(scan: "pl.LazyFrame", wrong: "pl.Expr") -> list[int]:
    """Number the first rows where this is true, from 1."""
    import polars as pl

    found = scan.select(wrong.alias("wrong")).with_row_index("row", offset=1)
    rows = found.filter(pl.col("wrong")).head(_FIRST_ROWS).collect(engine="streaming")["row"]
    return sorted(rows.to_list())


def refuse_unfit_text(scan: "pl.LazyFrame", names: Sequence[str]) -> None:
    """Refuse cells that are too long, or that hold a NUL, which PostgreSQL's text cannot."""
    import polars as pl

    if not names:
        return
    cells = pl.col(names)
    longest = cells.str.len_bytes().max().fill_null(0).name.suffix("\0long")
    torn = cells.str.contains("\0", literal=True).any().name.suffix("\0torn")
    found = scan.select(longest, torn).collect(engine="streaming").row(0, named=True)
    for name in names:
        for what, unfit, wrong in (
            (
                f"has more than {MAX_CELL} bytes",
                found[f"{name}\0long"] > MAX_CELL,
                pl.col(name).str.len_bytes() > MAX_CELL,
            ),
            (
                "has a NUL character",
                found[f"{name}\0torn"],
                pl.col(name).str.contains("\0", literal=True),
            ),
        ):
            if unfit:
                where = rows_named(first_rows(scan, wrong))
                raise InvalidDataset(f"a cell of column {name!r} {what}: {where}", param=name)
