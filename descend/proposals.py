"""What is likely meant where a person has not said: the column to predict."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from descend.datasets import Column

__all__ = ["suggested_target"]

_LIKELY = re.compile(r"^(target|y|price|label|outcome|response)$", re.IGNORECASE)
_ID = re.compile(
    r"^(id|ids|uuid|index|idx|key|nr|no|number|row|rownames|row_?id|rank)$|(^|[_ .-])(id|no|nr)$"
    r"|[a-z]I[Dd]$"
)
_TIME = re.compile(
    r"(^|[_ .-])(year|yr|jahr|date|day|month|weekday|week|hour|minute|time|timestamp)($|[_ .\[-])",
    re.IGNORECASE,
)
_FEW_ROWS = 20


def suggested_target(columns: "Sequence[Column]", n_rows: int) -> str | None:
    """Guess which column is to be predicted: never a year, a date or an id.

    By its name, else the last column of numbers that is neither constant nor empty.
    """
    likely = [column.name for column in columns if _could_be(column, n_rows)]
    named = next((name for name in likely if _LIKELY.match(name)), None)
    return named or next(reversed(likely), None)


def _could_be(column: "Column", n_rows: int) -> bool:
    if not column.is_numeric or column.unnamed or column.is_constant or column.min is None:
        return False
    if _ID.search(column.name.strip()) or _ID.search(column.name.strip().lower()):
        return False
    return not (_TIME.search(column.name) or _counts_rows(column, n_rows) or _is_year(column))


def _counts_rows(column: "Column", n_rows: int) -> bool:
    """Whether whole numbers number the rows without a gap."""
    if column.dtype != "int64" or column.min is None or column.max is None:
        return False
    return n_rows > _FEW_ROWS and column.distinct == n_rows == column.max - column.min + 1


def _is_year(column: "Column") -> bool:
    if column.dtype != "int64" or column.min is None or column.max is None:
        return False
    return column.min >= 1900 and column.max <= 2100
