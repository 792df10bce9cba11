"""Tables taken apart by name: pandas and polars frames, dictionaries of columns, lists of records.

pandas and polars are used where the caller has them, and are imported by nobody else.
"""

import math
import warnings
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descend.errors import InvalidInput

__all__ = [
    "Columns",
    "UnreadableCells",
    "cells_of",
    "columns_of",
    "is_category",
    "is_table",
    "maker",
    "stored",
]

Columns = dict[str, Any]  # by name: a pandas or polars Series, an array, or a list

_CELLS = (bool, int, float, str, type(None))
_FLOAT_DIGITS = 16
_TIMES = (np.datetime64, np.timedelta64)


class UnreadableCells(InvalidInput):
    """A column whose cells are neither numbers, nor true and false, nor text."""


def is_table(value: object) -> bool:
    """Say whether the value has named columns: a frame, a dictionary, or a list of records."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(row, Mapping) for row in value)
    is_frame = type(value).__name__ in {"DataFrame", "LazyFrame"} and maker(value) is not None
    return is_frame or isinstance(value, Mapping)


def columns_of(table: Any) -> Columns:
    """Take a table apart, by name; a cell that a record leaves out is missing."""
    if isinstance(table, list):
        names = dict.fromkeys(name for row in table for name in row)
        columns = [(str(name), [row.get(name) for row in table]) for name in names]
    elif isinstance(table, Mapping):
        columns = [(str(name), values) for name, values in table.items()]
    elif maker(table) == "polars":
        whole = table.collect() if hasattr(table, "collect") else table
        columns = list(zip(whole.columns, whole.get_columns(), strict=True))
    else:
        columns = [(str(name), table.iloc[:, j]) for j, name in enumerate(table.columns)]
    named = dict(columns)
    if len(named) < len(columns):
        raise InvalidInput("two columns have the same name", param="columns")
    return named


def stored(values: Any) -> NDArray[Any] | None:
    """Give a column as the array that it is; None where its cells must be looked at."""
    dtype = getattr(values, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        return np.asarray(values)
    return None


def cells_of(name: str, values: Any) -> list[Any]:
    """Return Python's own numbers and text; None where a cell is missing.

    A category of numbers is a category, whose levels are text; a decimal is a number.

    Raises:
        UnreadableCells: when a cell is something else, such as a date; `param` is the column.
    """
    package = maker(values)
    if package == "polars":
        cells = values.to_list()
    elif package == "pandas":
        cells = values.astype(object).where(values.notna(), None).tolist()
    else:
        cells = list(values)  # numpy's own: tolist() makes a bare number of a date in nanoseconds
    read = [_cell(name, cell) for cell in cells]
    if any(isinstance(cell, Decimal) and _is_long(cell) for cell in cells):
        told = f"column {name!r} has decimals of more than 16 digits: float64 keeps 16"
        warnings.warn(told, stacklevel=2)
    return [_level(cell) for cell in read] if package == "pandas" and is_category(values) else read


def _is_long(cell: Decimal) -> bool:
    digits = "".join(map(str, cell.as_tuple().digits))
    return len(digits.strip("0")) > _FLOAT_DIGITS


def is_category(values: Any) -> bool:
    """Whether a column is declared to be a group, by pandas or by polars."""
    kind = str(getattr(values, "dtype", "")).partition("(")[0]
    return maker(values) is not None and kind in {"category", "Categorical", "Enum"}


def _cell(name: str, cell: Any) -> Any:
    if isinstance(cell, np.generic) and not isinstance(cell, _TIMES):
        cell = cell.item()
    if isinstance(cell, Decimal):
        cell = float(cell)
    if not isinstance(cell, _CELLS):
        raise UnreadableCells(
            f"column {name!r} holds a {type(cell).__name__}: a cell is a number, a text, a boolean"
            " or None. Of a date make a number, such as the days since the first",
            param=name,
        )
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def _level(cell: Any) -> str | None:
    """Write a level as a server reads a category: true, 3, 1.5, or the text itself."""
    if cell is None or isinstance(cell, str):
        return cell
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def maker(value: object) -> str | None:
    """Name the package that a frame or a column is of: pandas, polars, or neither."""
    package = type(value).__module__.partition(".")[0]
    return package if package in {"pandas", "polars"} else None
