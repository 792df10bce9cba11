"""How a CSV file is written, as far as somebody said: options for all columns, or for one.

`thousands`, `strip` and `dates` take a value for all columns or `COLUMN:value`; what names a column
can be told only when the header has been read.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from descend.datasets import NULL_WORDS, ColumnType
from descend.errors import InvalidInput
from storage.dates import DATE_PARTS
from storage.number_forms import GROUPING, NumberForm, check_strip

__all__ = ["CsvForm", "Reading"]


@dataclass(frozen=True)
class CsvForm:
    """How a CSV file is written, and what is known of its columns.

    Attributes:
        thousands, strip, dates: values for all columns, or `COLUMN:value` for one.
        comment: lines that begin so are left out.
        skip_rows: lines before the names that are left out.
        header: `absent` where the first line is a row.
        kinds: columns that must be there, with what they are; None: numbers, or true and false.
        only: the others are not asked for: they are kept as the text they are.
        columns: those that must be readable as what they were meant to be; None: all.
        exclude: those that need not be.
    """

    delimiter: str | None = None
    null_values: tuple[str, ...] | None = None
    decimal: str = "."
    encoding: str | None = None
    comment: str | None = None
    skip_rows: int = 0
    header: str = "present"
    thousands: tuple[str, ...] = ()
    strip: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    kinds: Mapping[str, ColumnType | None] = field(default_factory=dict)
    only: bool = False
    columns: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()

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
        dates: what to make of columns of dates, by their names.
        any_dates: what to make of every column that turns out to hold dates.
    """

    form: NumberForm
    forms: Mapping[str, NumberForm]
    dates: Mapping[str, tuple[str, ...]]
    any_dates: tuple[str, ...]

    @classmethod
    def of(cls, csv: CsvForm, names: Collection[str]) -> "Reading":
        """Tell the columns of each option.

        Raises:
            InvalidInput: about a column that is not there, or a value that is none of the option's.
        """
        thousands = _by_column("thousands", csv.thousands, names)
        strip = _by_column("strip", csv.strip, names)
        dates = _by_column("dates", csv.dates, names)
        _check("thousands", thousands, GROUPING)
        _check("dates", dates, DATE_PARTS)
        for texts in strip.values():
            check_strip(texts)
        everywhere = _number_form(csv.decimal, thousands.get(None), strip.get(None, ()))
        own = {name for name in (*thousands, *strip) if name is not None}
        forms = {
            name: _number_form(
                csv.decimal,
                thousands.get(name, thousands.get(None)),
                (*strip.get(None, ()), *strip.get(name, ())),
            )
            for name in own
        }
        days = {name: parts for name, parts in dates.items() if name is not None}
        return cls(everywhere, forms, days, dates.get(None, ()))

    def form_of(self, name: str) -> NumberForm:
        """Say how the numbers of a column are written."""
        return self.forms.get(name, self.form)

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked for but numbers as programs write them."""
        asked = self.forms or self.dates or self.any_dates
        return self.form.is_plain and not asked


def _number_form(
    decimal: str, thousands: tuple[str, ...] | None, strip: tuple[str, ...]
) -> NumberForm:
    between = thousands[-1] if thousands else None
    if between == decimal:  # what groups thousands is no decimal sign: that is the other one
        decimal = "," if between == "." else "."
    return NumberForm(decimal=decimal, thousands=between, strip=strip)


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
