"""Columns of text that were meant to be something else: numbers, dates, true and false.

One rule: what nearly all cells of a column are, the column was meant to be. Numbers in another
form, with bad cells among them, dates and booleans are refused with the option that reads them;
what is left is text, with a warning where some cells look like numbers (docs/decisions/0006).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from descend.field_errors import FieldError
from storage.cells import as_boolean, first_rows, stripped
from storage.column_errors import as_text, column_error, refuse_columns, rows_named
from storage.dates import DATE_PARTS, date_of_text
from storage.number_forms import NumberForm, as_number
from storage.text_cells import TextCells
from storage.written_numbers import Written, written_numbers

if TYPE_CHECKING:
    import polars as pl

__all__ = ["few", "number_error", "refuse_meant"]

_OTHER_DATE = (
    r"^(?:[0-9]{1,2}\.[0-9]{1,2}\.(?:[0-9]{4}|[0-9]{2})|[0-9]{1,2}/[0-9]{1,2}/(?:[0-9]{4}|[0-9]{2})"
    r"|[0-9]{1,2}-[0-9]{1,2}-[0-9]{4}|[0-9]{4}[/.][0-9]{1,2}[/.][0-9]{1,2}"
    r"|[0-9]{1,2}[ -][A-Za-z]{3,9}\.?[ -](?:[0-9]{4}|[0-9]{2}))(?:[ T][0-9:. ]+(?:[AaPp][Mm])?)?$"
)
_DIGIT_AT_AN_END = r"^[^\p{L}0-9]{0,3}[0-9]|[0-9][^\p{L}0-9]{0,3}$"
_INFINITE = r"(?i)^[+-]?inf(inity)?$"


@dataclass(frozen=True)
class _Counts:
    """How many of a column's cells are present, and how many of these are what."""

    present: int
    numbers: int
    infinite: int
    booleans: int
    dates: int
    other_dates: int
    digits: int
    edged: int
    zeros: int


def few(bad: int, present: int) -> bool:
    """Whether so many bad cells leave a column what the others are: a tenth, or one of three."""
    return 10 * bad <= present or (bad == 1 and present >= 3)


def refuse_meant(scan: "pl.LazyFrame", names: Sequence[str], cells: TextCells) -> list[str]:
    """Look at columns of text, whatever the table is, and refuse what they were not meant to be.

    Args:
        scan: the table, its missing cells null.
        names: the columns.
        cells: how their cells were read.

    Returns:
        Warnings about the others, and about columns that nobody needs to be readable.

    Raises:
        InvalidDataset: about columns that were meant to be something else, all of them.
    """
    errors, warnings = [], []
    for name, count in _counts(scan, names, cells.reading.form_of).items():
        column = _Column(scan, name, cells.reading.form_of(name), count, cells.form.typed)
        error = column.meant() if count.present else None
        if error is not None:
            errors.append(_without_text(error) if name in cells.form.kinds else error)
        elif name not in cells.form.kinds and (warning := column.warning()):
            warnings.append(warning)
    spare = [error for error in errors if cells.form.is_spare(error.column or "")]
    refuse_columns([error for error in errors if error not in spare], typed=cells.form.typed)
    return warnings + [f"{error.message}: kept as text, since it is no feature" for error in spare]


def _without_text(error: FieldError) -> FieldError:
    """Where a column's type is given, it cannot be kept as text."""
    ways = [options for options in error.options if "text" not in options]
    return error.model_copy(update={"options": ways})


def number_error(scan: "pl.LazyFrame", name: str, cells: TextCells) -> FieldError | None:
    """Say what stands in the way of a column that is to be numbers; None where nothing does."""
    form = cells.reading.form_of(name)
    count = _counts(scan, [name], lambda _: form)[name]
    return _Column(scan, name, form, count, cells.form.typed).no_numbers()


@dataclass(frozen=True)
class _Column:
    scan: "pl.LazyFrame"
    name: str
    form: NumberForm
    count: _Counts
    typed: bool

    def meant(self) -> FieldError | None:
        """Say as what the column is refused; None where it is text."""
        count = self.count
        if count.dates and few(count.present - count.dates, count.present):
            return self._dates()
        if count.other_dates and few(count.present - count.other_dates, count.present):
            return column_error(
                self.name,
                "holds dates: write them as 2024-12-31, which can be made numbers with dates=",
                code="dates",
            )
        if count.booleans and few(count.present - count.booleans, count.present):
            return self._booleans()
        bad = count.present - count.numbers
        if not bad:
            return self._numbers_as_text()
        if count.numbers and (few(bad, count.present) or bad == count.infinite):
            return self.no_numbers()
        return self._written()

    def _numbers_as_text(self) -> FieldError:
        """The column is numbers, in a table that has another type for them."""
        read = {"decimal": [f"{self.name}:{self.form.decimal}"]}
        text = {"text": [as_text(self.name)]}
        zeros = self.count.zeros
        but = f", {zeros} of them with a 0 before them, as ids have it" if zeros else ""
        return column_error(
            self.name,
            f"holds numbers written as text{but}",
            code="written_numbers",
            options=[text, read] if zeros else [read, text],
            as_text_too=False,
        )

    def no_numbers(self) -> FieldError | None:
        """The column is numbers but for some cells."""
        bad, present = self.count.present - self.count.numbers, self.count.present
        if not bad:
            return None
        written = written_numbers(self.scan, self.name, self.form, present=present)
        ways = (
            written.options(self.name, alone=self.typed)
            if written.n_cells > self.count.numbers
            else []
        )
        rows = self._rows(written.form if ways and written.n_cells < present else self.form)
        are = "is" if bad == 1 else "are"
        how = f", but written {written.how}" if ways else ""
        return column_error(
            self.name,
            f"holds numbers, but {bad} of its {present} cells {are} no finite number{how}:"
            f" {rows_named(rows)}",
            code="bad_cells",
            rows=rows,
            n_cells=bad,
            options=ways,
        )

    def _written(self) -> FieldError | None:
        """The column is numbers that are written otherwise."""
        count = self.count
        if not few(count.present - count.digits, count.present):
            return None
        written = written_numbers(self.scan, self.name, self.form, present=count.present)
        if not few(count.present - written.n_alike, count.present):
            return None
        bad = count.present - written.n_cells
        read = few(bad, count.present)
        rows = self._rows(written.form if bad and read else self.form)
        return column_error(
            self.name,
            self._told(written if read else None, rows, bad),
            code="written_numbers",
            rows=rows,
            n_cells=bad if read and bad else count.present - count.numbers,
            options=written.options(self.name, alone=self.typed) if read else [],
        )

    def _told(self, written: Written | None, rows: list[int], bad: int) -> str:
        if written is None:
            return (
                "holds numbers with different units beside them, or groups that are not of three"
                f" digits, which no option reads: {rows_named(rows)}"
            )
        told = f"holds numbers written {written.how}"
        if bad:
            return f"{told}, but {bad} of its {self.count.present} cells: {rows_named(rows)}"
        return f"{told}: {rows_named(rows)}"

    def _dates(self) -> FieldError:
        import polars as pl

        wrong = date_of_text(stripped(self.name)).is_null() & stripped(self.name).is_not_null()
        bad = self.count.present - self.count.dates
        rows = first_rows(self.scan, wrong if bad else pl.col(self.name).is_not_null())
        are = "is" if bad == 1 else "are"
        but = f", but {bad} of its {self.count.present} cells {are} none: {rows_named(rows)}"
        return column_error(
            self.name,
            "holds dates, which can become days since the first, year, month or weekday"
            f"{but if bad else ''}",
            code="dates",
            rows=rows,
            n_cells=bad or None,
            options=[{"dates": [f"{self.name}:{part}"]} for part in DATE_PARTS],
        )

    def _booleans(self) -> FieldError | None:
        cell = stripped(self.name)
        bad, present = self.count.present - self.count.booleans, self.count.present
        if not bad:
            return None
        rows = first_rows(self.scan, cell.is_not_null() & as_boolean(cell).is_null())
        are = "is" if bad == 1 else "are"
        return column_error(
            self.name,
            f"holds true and false, but {bad} of its {present} cells {are} neither:"
            f" {rows_named(rows)}",
            code="bad_cells",
            rows=rows,
            n_cells=bad,
        )

    def warning(self) -> str | None:
        count, bad = self.count, self.count.present - self.count.numbers
        if count.booleans and count.booleans == count.present:
            return (
                f"column {self.name!r} is text, though its cells are true and false: each distinct"
                " one is a level"
            )
        if count.numbers:
            are = "is no number, that" if bad == 1 else "are no numbers, the first"
            return (
                f"column {self.name!r} is text: {bad} of its {count.present} cells {are} in row"
                f" {self._rows(self.form)[0]}"
            )
        if count.edged and few(count.present - count.edged, count.present):
            return (
                f"column {self.name!r} is text, though nearly all of its cells begin or end with a"
                " digit: each distinct one is a level"
            )
        return None

    def _rows(self, form: NumberForm) -> list[int]:
        cell = stripped(self.name)
        return first_rows(self.scan, cell.is_not_null() & as_number(cell, form).is_null())


def _counts(
    scan: "pl.LazyFrame", names: Sequence[str], form_of: Callable[[str], NumberForm]
) -> dict[str, _Counts]:
    import polars as pl

    asked = []
    for name in names:
        cell = stripped(name)
        endless = cell.str.contains(_INFINITE) | (cell.cast(pl.Float64, strict=False).is_infinite())
        counted = {
            "present": cell.count(),
            "numbers": as_number(cell, form_of(name)).count(),
            "infinite": endless.sum(),
            "booleans": as_boolean(cell).count(),
            "dates": date_of_text(cell).count(),
            "other_dates": cell.str.contains(_OTHER_DATE).sum(),
            "digits": cell.str.contains("[0-9]").sum(),
            "edged": cell.str.contains(_DIGIT_AT_AN_END).sum(),
            "zeros": cell.str.contains(r"^[+-]?0[0-9]").sum(),
        }
        asked += [how_many.alias(f"{what}\0{name}") for what, how_many in counted.items()]
    if not asked:
        return {}
    found: dict[str, dict[str, int]] = {}
    for key, value in scan.select(asked).collect(engine="streaming").row(0, named=True).items():
        what, name = key.split("\0", 1)
        found.setdefault(name, {})[what] = value
    return {name: _Counts(**counts) for name, counts in found.items()}
