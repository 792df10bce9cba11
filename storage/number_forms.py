"""How numbers are written in text, and their reading: decimal sign, grouping, what stands beside.

Nothing is guessed here: a form is what somebody asked for, or a candidate that storage.text_columns
tries before it names an option.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from descend.errors import InvalidInput

if TYPE_CHECKING:
    import polars as pl

__all__ = ["GROUPING", "NumberForm", "as_number", "as_whole", "check_strip"]

# A space is also one that does not break a line, a thin and a narrow one; an apostrophe also ’.
GROUPING = {",": ",", ".": r"\.", "'": "['\u2019]", " ": "[ \u00a0\u2009\u202f]"}
_MINUS = "\u2212"
ACCOUNTING = "()"
TRAILING_MINUS = "-"


@dataclass(frozen=True)
class NumberForm:
    """How a column's numbers are written.

    Attributes:
        decimal: the decimal sign, `.` or `,`.
        thousands: what stands between groups of three digits before it; None: nothing.
        strip: texts taken off either end, once; `()` reads (12) as -12, `-` reads 12- as -12.
    """

    decimal: str = "."
    thousands: str | None = None
    strip: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether numbers are written as programs write them."""
        return self == NumberForm()


def as_number(cell: "pl.Expr", form: NumberForm) -> "pl.Expr":
    """Read a cell, without blanks at its ends, as a finite number; null where it is none."""
    import polars as pl

    number = _plain_text(cell, form).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def as_whole(cell: "pl.Expr", form: NumberForm) -> "pl.Expr":
    """Read a cell as a whole number of 64 bits; null where it is none."""
    import polars as pl

    return _plain_text(cell, form).cast(pl.Int64, strict=False)


def check_strip(texts: "tuple[str, ...]") -> None:
    """Refuse to take off what is part of a number, or would take its sign with it.

    Raises:
        InvalidInput: naming `strip`, and what to send instead.
    """
    for text in texts:
        if text in ("(", ")"):
            raise InvalidInput(
                "send strip=(): without its parentheses a number would lose its sign",
                param="strip",
            )
        if not text.strip() or (text != TRAILING_MINUS and not re.search(r"[^0-9.,'+\-\s]", text)):
            raise InvalidInput(
                "name a text beside the numbers, such as a currency sign: digits, signs and blanks"
                " are parts of numbers (see thousands and decimal)",
                param="strip",
            )


def _plain_text(cell: "pl.Expr", form: NumberForm) -> "pl.Expr":
    """Write a cell as a program would write its number; null where groups are not of three."""
    import polars as pl

    cell = _stripped(cell, form.strip).str.replace(_MINUS, "-", literal=True)
    if form.thousands is not None:
        between = GROUPING[form.thousands]
        fraction = rf"(?:{re.escape(form.decimal)}[0-9]*)?(?:[eE][+-]?[0-9]+)?"
        grouped = rf"^[+-]?[1-9][0-9]{{0,2}}(?:{between}[0-9]{{3}})+{fraction}$"
        cell = (
            pl.when(~cell.str.contains(between))
            .then(cell)
            .when(cell.str.contains(grouped))
            .then(cell.str.replace_all(between, ""))
        )
    if form.decimal != ".":
        # A point in a file with decimal commas groups thousands: 1.234 must not become 1.234.
        cell = cell.str.replace(".", "_", literal=True).str.replace(form.decimal, ".", literal=True)
    return cell


def _stripped(cell: "pl.Expr", texts: tuple[str, ...]) -> "pl.Expr":
    """Take the texts off either end; a sign before, between or behind them stays one."""
    if not texts:
        return cell
    signs = {ACCOUNTING, TRAILING_MINUS}
    words = sorted({text.strip() for text in texts} - signs, key=lambda text: (-len(text), text))
    beside = f"(?:{'|'.join(map(re.escape, words))})?" if words else ""
    minus = rf"[\-{_MINUS}]"
    if ACCOUNTING in texts:
        cell = cell.str.replace(r"^([^()\-]*)\(([^()]+)\)([^()\-]*)$", "-${1}${2}${3}")
    if TRAILING_MINUS in texts:
        behind = rf"^([^\-{_MINUS}].*?)\s*{minus}\s*({beside})$"
        cell = cell.str.replace(behind, "-${1}${2}")
    if words:
        sign = rf"([+\-{_MINUS}]?)"
        whole = rf"^{sign}\s*{beside}\s*{sign}\s*(.*?)\s*{beside}$"
        cell = cell.str.replace(whole, "${1}${2}${3}")
    return cell
