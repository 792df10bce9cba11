"""How a table's text is written, as far as somebody said: options for all columns, or for one.

`decimal`, `thousands`, `strip` and `dates` take a value for all columns or `COLUMN:value`; what
names a column can be told only when the header, or the schema, has been read.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from descend.datasets import NULL_WORDS, ColumnType
from descend.errors import InvalidInput
from storage.dates import DATE_PARTS
from storage.number_forms import GROUPING, NumberForm, check_strip

__all__ = ["CsvForm", "Reading"]

_DECIMALS = (".", ",")
_Values = Mapping[str | None, tuple[str, ...]]


@dataclass(frozen=True)
class CsvForm:
    """How a CSV file or a typed table's text is written, and what is known of its columns.

    Attributes:
        decimal, thousands, strip, dates: values for all columns, or `COLUMN:value` for one.
        comment: lines that begin so are left out.
        skip_rows: lines before the names that are left out.
        header: `absent` where the first line is a row.
        kinds: columns that must be there, with what they are; None: numbers, or true and false.
        known: these are the columns of a table or a model that is there.
        only: the others are not asked for: they are kept as the text they are.
        columns: those that must be readable as what they were meant to be; None: all.
        exclude: those that need not be.
        typed: the table says what its columns are; text is text unless an option reads it.
    """

    delimiter: str | None = None
    null_values: tuple[str, ...] | None = None
    decimal: tuple[str, ...] = ()
    encoding: str | None = None
    comment: str | None = None
    skip_rows: int = 0
    header: str = "present"
    thousands: tuple[str, ...] = ()
    strip: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    kinds: Mapping[str, ColumnType | None] = field(default_factory=dict)
    known: bool = False
    only: bool = False
    columns: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    typed: bool = False

    def is_spare(self, name: str) -> bool:
        """Whether a column may be kept as text where it was meant to be something else."""
        return name in self.exclude or (self.columns is not None and name not in self.columns)

    @property
    def words(self) -> tuple[str, ...]:
        """The words that stand for a missing cell; an empty cell always does."""
        return NULL_WORDS if self.null_values is None else self.null_values


@dataclass(frozen=True)
class Reading:
    """The options of a form, by the columns that a header names.

    Attributes:
        forms: how numbers are written in columns of their own form; in the others as in `form`.
        any_form: whether `form` was asked for.
        dates: what to make of columns of dates, by their names.
        any_dates: what to make of every column that turns out to hold dates.
    """

    form: NumberForm
    forms: Mapping[str, NumberForm]
    dates: Mapping[str, tuple[str, ...]]
    any_dates: tuple[str, ...]
    any_form: bool

    @classmethod
    def of(cls, csv: CsvForm, names: Collection[str]) -> "Reading":
        """Tell the columns of each option.

        Raises:
            InvalidInput: about a column that is not there, or a value that is none of the option's.
        """
        decimal = _by_column("decimal", csv.decimal, names)
        thousands = _by_column("thousands", csv.thousands, names)
        strip = _by_column("strip", csv.strip, names)
        dates = _by_column("dates", csv.dates, names)
        _check("decimal", decimal, _DECIMALS)
        _check("thousands", thousands, GROUPING)
        _check("dates", dates, DATE_PARTS)
        for texts in strip.values():
            check_strip(texts)
        _refuse_one_sign(decimal, thousands)
        asked = dict.fromkeys((*decimal, *thousands, *strip))
        forms = {name: _number_form(name, decimal, thousands, strip) for name in (None, *asked)}
        everywhere = forms.pop(None)
        own = {name: form for name, form in forms.items() if name is not None}
        days = {name: parts for name, parts in dates.items() if name is not None}
        return cls(everywhere, own, days, dates.get(None, ()), None in asked)

    def form_of(self, name: str) -> NumberForm:
        """Say how the numbers of a column are written."""
        return self.forms.get(name, self.form)

    def is_asked(self, name: str) -> bool:
        """Whether somebody said how the numbers of a column are written."""
        return self.any_form or name in self.forms

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked for but numbers as programs write them."""
        asked = self.forms or self.dates or self.any_dates
        return self.form.is_plain and not asked


def _number_form(
    name: str | None, decimal: _Values, thousands: _Values, strip: _Values
) -> NumberForm:
    """Put together what is said of a column and of all; what is said of the column alone wins."""
    sign = decimal.get(name, decimal.get(None, (".",)))[-1]
    between = thousands.get(name, thousands.get(None, (None,)))[-1]
    if between == sign and name in decimal and name is not None:
        between = None
    elif between == sign:  # what groups thousands is no decimal sign: that is the other one
        sign = "," if between == "." else "."
    own = strip.get(name, ()) if name is not None else ()
    return NumberForm(decimal=sign, thousands=between, strip=(*strip.get(None, ()), *own))


def _refuse_one_sign(decimal: _Values, thousands: _Values) -> None:
    """Refuse one sign for two things, where both are said of the same columns."""
    for name in decimal.keys() & thousands.keys():
        if decimal[name][-1] == thousands[name][-1]:
            whose = "" if name is None else f" of column {name!r}"
            raise InvalidInput(
                f"{decimal[name][-1]!r} is the decimal sign{whose}: it cannot group thousands, too",
                param="thousands",
            )


def _by_column(
    option: str, values: Iterable[str], names: Collection[str]
) -> dict[str | None, tuple[str, ...]]:
    found: dict[str | None, tuple[str, ...]] = {}
    for value in values:
        column, text = _parted(option, value, names)
        found[column] = (*found.get(column, ()), text)
    return found


def _parted(option: str, value: str, names: Collection[str]) -> tuple[str | None, str]:
    """Part `COLUMN:value`; a column's name may have a colon, and so may a text to strip."""
    before, colon, behind = value.partition(":")
    if not colon or not behind:
        return None, value
    if not before:
        return None, behind
    column = max((name for name in names if value.startswith(f"{name}:")), key=len, default=None)
    if column is None:
        raise InvalidInput(
            f"there is no column {before!r}: send COLUMN:value for one column, or a value for all",
            param=option,
        )
    return column, value[len(column) + 1 :]


def _check(
    option: str, found: Mapping[str | None, tuple[str, ...]], allowed: Collection[str]
) -> None:
    for column, values in found.items():
        wrong = next((value for value in values if value not in allowed), None)
        if wrong is not None:
            whose = "" if column is None else f" for column {column!r}"
            listed = ", ".join("a space" if one == " " else one for one in allowed)
            raise InvalidInput(f"send one of {listed}{whose}", param=option)
