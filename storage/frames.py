"""Typed tables to canonical Arrow files: what polars reads lazily, column by column.

Whole numbers become int64 (float64 where they are too large), other numbers float64, categories
text, also those of numbers, a column of nothing float64; NaN is missing, infinity is refused. Text
is looked at by the rule of a CSV's columns of text (storage.typed_texts).
Dates, lists, structures and bytes are no numbers and no groups: such columns stay out of the
canonical file, and are refused where somebody asks for them; of dates numbers are made when asked.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from descend.datasets import ColumnType
from descend.errors import InvalidDataset
from descend.unreadable import UnreadableColumn, unreadable_because
from storage.arrow import open_table
from storage.canonical_sink import sink_canonical
from storage.cells import refuse_unfit_text
from storage.csv_form import CsvForm, Reading
from storage.csv_text import check_names, refuse_missing
from storage.date_columns import derivations_in, expr_of, frame_of_dates
from storage.dates import Derivation
from storage.text_cells import TextCells
from storage.typed_texts import read_texts

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Scan", "Written", "check_size", "refuse_infinity", "write_frame"]

_FLOAT_DIGITS = 16
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


def check_size(n_rows: int, n_columns: int, most_bytes: int) -> None:
    """Refuse a table by what its header declares, before anything of it is decoded."""
    if n_rows == 0:
        raise InvalidDataset("the file has no rows")
    if 8 * n_rows * n_columns > most_bytes:
        raise InvalidDataset(
            f"{n_rows} rows of {n_columns} columns are more than {most_bytes} bytes when decoded"
        )


@dataclass(frozen=True)
class Scan:
    """A typed table: what polars reads lazily, and what the file alone says of its columns."""

    frame: "pl.LazyFrame"
    categories: frozenset[str] = frozenset()
    unreadable: Mapping[str, str] = field(default_factory=dict)  # types, by name


@dataclass(frozen=True)
class Written:
    """What a canonical file does not tell: columns it has not, names it was not given."""

    unreadable: list[UnreadableColumn]
    unnamed: list[str]
    floats: list[str]  # the others of float64 may have lost digits
    warnings: list[str]


def write_frame(scan: Scan, target: Path, form: CsvForm) -> Written:
    """Write a table's canonical Arrow file to `target`; what cannot be read stays out.

    Args:
        scan: the table.
        target: of what is written.
        form: how its text is written, and what is known or wanted of its columns.

    Raises:
        InvalidDataset: about names, types, infinity or text; it names the column, and the row.
        InvalidInput: about an option that names no column, or a value that is none of its own.
    """
    frame, unnamed = _named(scan.frame)
    schema = frame.collect_schema()
    reading = Reading.of(form, schema.names())
    made = derivations_in(frame_of_dates(frame), reading, wanted=form.kinds)
    types = {name: kind for name, dtype in schema.items() if (kind := _unreadable(dtype))}
    types = {n: t for n, t in (types | dict(scan.unreadable)).items() if n not in _sources(made)}
    names = _readable(schema, types, made, form)
    categories = {n for n in names if n in scan.categories or _is_category(schema[n])}
    texts = {n for n in names if form.kinds.get(n) is ColumnType.STRING} - categories
    levels = {n for n in categories if schema[n].is_numeric() or _is_whole(schema[n])}
    levels |= {n for n in texts if not form.known and _is_whole(schema[n])}
    _sink(frame, target, [*_canonical_columns(frame, names, levels), *_derived(made, schema)])
    long = _long_decimals(frame, [n for n in names if schema[n].is_decimal()])
    told = read_texts(target, TextCells(form, reading), categories)
    return Written(
        [UnreadableColumn(name=name, type=kind) for name, kind in types.items()],
        unnamed,
        [*(name for name in names if schema[name].is_float()), *(one.name for one in made)],
        [
            *(
                f"column {name!r} is a category: its values are levels, no numbers"
                for name in names
                if name in levels & categories
            ),
            *_warnings(
                made, unnamed, [n for n in texts if schema[n].is_float() and not form.known]
            ),
            *long,
            *told,
        ],
    )


def _warnings(
    made: Iterable[Derivation], unnamed: Iterable[str], floats: Iterable[str]
) -> Iterator[str]:
    for one in made:
        yield f"column {one.column!r} is dates: made {one.name!r}"
    for name in floats:
        yield f"column {name!r} is float64: it is not kept as text"
    for name in unnamed:
        yield f"the file names no column {name!r}: left out of the features by default"


def _sources(made: Iterable[Derivation]) -> set[str]:
    return {one.column for one in made}


def _derived(made: Iterable[Derivation], schema: "pl.Schema") -> "list[pl.Expr]":
    return [expr_of(one, schema[one.column]) for one in made]


def _sink(frame: "pl.LazyFrame", target: Path, columns: "list[pl.Expr]") -> None:
    sink_canonical(frame.select(columns), target, len(columns))
    _check_written(target)


def _canonical_columns(
    frame: "pl.LazyFrame", names: Sequence[str], grouped: Collection[str]
) -> "list[pl.Expr]":
    import polars as pl

    schema = frame.collect_schema()
    wide = _beyond_int64(frame, [name for name in names if schema[name] in _large()])
    return [
        pl.col(name).cast(pl.String)
        if name in grouped
        else _canonical(name, schema[name], wide=name in wide)
        for name in names
    ]


def _named(frame: "pl.LazyFrame") -> "tuple[pl.LazyFrame, list[str]]":
    """Name the index that pandas left without a name, as a CSV's nameless column is named."""
    names = frame.collect_schema().names()
    nameless = [name for name in names if _PANDAS_INDEX.fullmatch(name)]
    free = (f"unnamed_{n}" for n in range(1, len(names) + 2) if f"unnamed_{n}" not in names)
    new = dict(zip(nameless, free, strict=False))
    return frame.rename(new), list(new.values())


def _readable(
    schema: "pl.Schema",
    types: Mapping[str, str],
    made: Sequence[Derivation],
    form: CsvForm,
) -> list[str]:
    """List the columns to be written as they are; refuse unreadable ones that are asked for."""
    check_names([*schema, *(name for name in types if name not in schema)])
    derived = {one.name for one in made}
    known = [name for name in form.kinds if name not in derived]
    asked = known if form.only else None
    refuse_missing(known, {*schema, *types})
    sources = _sources(made) if asked is None else set()
    readable = [n for n in (schema if asked is None else asked) if n not in {*types, *sources}]
    unread = next((name for name in asked or types if name in types), None)
    if unread is not None and (asked or not (readable or made)):
        raise InvalidDataset(unreadable_because(unread, types[unread]), param=unread)
    return readable


def _unreadable(dtype: "pl.DataType") -> str | None:
    """Name a type that is neither numbers, nor true and false, nor text; None of any other."""
    import polars as pl

    known = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null)
    if dtype.is_numeric() or dtype in known:
        return None
    names = {
        pl.Date: "date", pl.Datetime: "timestamp", pl.Time: "time", pl.Duration: "duration",
        pl.List: "list", pl.Array: "list", pl.Struct: "struct", pl.Binary: "binary",
    }  # fmt: skip
    return names.get(dtype.base_type(), str(dtype).lower())


def _is_category(dtype: "pl.DataType") -> bool:
    import polars as pl

    return dtype in (pl.Categorical, pl.Enum)


def _is_whole(dtype: "pl.DataType") -> bool:
    """Whether values are written in one way only, as levels are: 1, never 1.0."""
    import polars as pl

    return dtype.is_integer() or dtype == pl.Boolean


def _large() -> "tuple[type[pl.DataType], ...]":
    import polars as pl

    return pl.UInt64, pl.Int128, pl.UInt128


def _check_written(target: Path) -> None:
    import polars as pl

    table = open_table(target)
    if table.n_rows == 0:
        raise InvalidDataset("the file has no rows")
    refuse_infinity(target)
    texts = [name for name, kind in table.kinds.items() if kind is ColumnType.STRING]
    refuse_unfit_text(pl.scan_ipc(target), texts)


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


def _long_decimals(frame: "pl.LazyFrame", names: list[str]) -> list[str]:
    """Name columns of decimals with more digits than float64 keeps, on either side of the point."""
    import polars as pl

    if not names:
        return []
    written = pl.col(names).cast(pl.String).str.replace_all(r"[-.]", "")
    digits = written.str.strip_chars_start("0").str.strip_chars_end("0").str.len_bytes().max()
    found = frame.select(digits.fill_null(0)).collect(engine="streaming").row(0, named=True)
    return [
        f"column {name!r} has decimals of more than 16 digits: float64 keeps 16"
        for name, most in found.items()
        if most > _FLOAT_DIGITS
    ]


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
    return column if dtype == pl.Boolean else column.cast(pl.String)
