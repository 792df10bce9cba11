"""Cells of text: which of them are numbers, and which columns of text were meant to be numbers.

A refusal names the column, how many cells are wrong, and the first rows; it shows no cell.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from descend.errors import InvalidDataset
from storage.csv_text import MAX_CELL

if TYPE_CHECKING:
    import polars as pl

__all__ = ["as_boolean", "as_number", "first_rows", "refuse_numbers_in_text", "refuse_unfit_text"]

_FIRST_ROWS = 5


def as_number(cell: "pl.Expr", *, decimal: str = ".") -> "pl.Expr":
    """Read a cell as a finite number; null where it is none."""
    import polars as pl

    if decimal != ".":
        # A point in a file with decimal commas groups thousands: 1.234 must not become 1.234.
        cell = cell.str.replace(".", "_", literal=True).str.replace(decimal, ".", literal=True)
    number = cell.cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def as_boolean(cell: "pl.Expr") -> "pl.Expr":
    """Read a cell as true or false, in any case of letters; null where it is neither."""
    import polars as pl

    word = cell.str.to_lowercase()
    return pl.when(word.is_in(["true", "false"])).then(word == "true")


def first_rows(scan: "pl.LazyFrame", wrong: "pl.Expr") -> str:
    """Name the first rows where this is true, for a person."""
    import polars as pl

    found = scan.select(wrong.alias("wrong")).with_row_index("row", offset=1)
    rows = found.filter(pl.col("wrong")).head(_FIRST_ROWS).collect(engine="streaming")["row"]
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, sorted(rows)))}"


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
                where = first_rows(scan, wrong)
                raise InvalidDataset(f"a cell of column {name!r} {what}: {where}", param=name)


def refuse_numbers_in_text(
    scan: "pl.LazyFrame", names: Sequence[str], *, decimal: str
) -> list[str]:
    """Refuse columns of text that are numbers but for a few cells; warn about the others.

    A column is numbers with bad cells where at most a tenth of the present cells are none, or one
    alone of three or more, or where infinity is all that is wrong (docs/decisions/0006).

    Returns:
        A warning for each column of text in which some cells are numbers.
    """
    warnings = []
    for name, count in _counts(scan, names, decimal).items():
        present, numbers, commas = count["present"], count["numbers"], count["commas"]
        if commas and _few(present - numbers - commas, present):
            raise InvalidDataset(
                f"column {name!r} holds numbers written with a comma: send decimal=, if the comma"
                f" is the decimal sign, or take the commas out; text={name} keeps it as text",
                param=name,
            )
        bad = present - numbers
        if numbers and (_few(bad, present) or bad == count["infinite"]):
            raise _bad_cells(scan, name, bad=bad, present=present, decimal=decimal)
        if numbers:
            where = first_rows(scan, _no_number(name, decimal))
            first = where.split(",")[0].split()[-1]
            are = "is no number, that" if bad == 1 else "are no numbers, the first"
            warnings.append(
                f"column {name!r} is text: {bad} of its {present} cells {are} in row {first}"
            )
    return warnings


def _few(bad: int, present: int) -> bool:
    return 10 * bad <= present or (bad == 1 and present >= 3)


def _counts(scan: "pl.LazyFrame", names: Sequence[str], decimal: str) -> dict[str, dict[str, int]]:
    import polars as pl

    asked = []
    for name in names:
        cell = _stripped(name)
        number = as_number(cell, decimal=decimal)
        endless = cell.str.contains(r"(?i)^[+-]?inf(inity)?$") | (
            cell.cast(pl.Float64, strict=False).is_infinite()
        )
        comma = cell.str.contains(r"^[+-]?[0-9]+,[0-9]+$") & pl.lit(decimal == ".")
        asked += [
            cell.count().alias(f"present\0{name}"),
            number.count().alias(f"numbers\0{name}"),
            endless.sum().alias(f"infinite\0{name}"),
            comma.sum().alias(f"commas\0{name}"),
        ]
    counts: dict[str, dict[str, int]] = {}
    found = scan.select(asked).collect(engine="streaming").row(0, named=True) if asked else {}
    for key, value in found.items():
        what, name = key.split("\0", 1)
        counts.setdefault(name, {})[what] = value
    return counts


def _bad_cells(
    scan: "pl.LazyFrame", name: str, *, bad: int, present: int, decimal: str
) -> InvalidDataset:
    where = first_rows(scan, _no_number(name, decimal))
    are = "is" if bad == 1 else "are"
    return InvalidDataset(
        f"column {name!r} holds numbers, but {bad} of its {present} cells {are} no finite number:"
        f" {where}. Correct them; or name what stands for a missing cell in null_values; or see"
        f" delimiter and decimal; or keep the column as text with text={name}",
        param=name,
    )


def _no_number(name: str, decimal: str) -> "pl.Expr":
    cell = _stripped(name)
    return cell.is_not_null() & as_number(cell, decimal=decimal).is_null()


def _stripped(name: str) -> "pl.Expr":
    import polars as pl

    cell = pl.col(name).str.strip_chars()
    return pl.when(cell != "").then(cell)
