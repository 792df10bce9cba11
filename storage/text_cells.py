"""What a cell of text means: missing, a number, true or false, as the options say."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from descend.datasets import ColumnType
from storage.cells import as_boolean
from storage.csv_form import CsvForm, Reading
from storage.number_forms import as_number, as_whole

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TextCells"]


@dataclass(frozen=True)
class TextCells:
    """How the cells of a table's columns of text are read."""

    form: CsvForm
    reading: Reading

    def cell(self, name: str) -> "pl.Expr":
        """A column's cells without blanks at their ends; null where they are missing."""
        import polars as pl

        cell = pl.col(name).str.strip_chars()
        return pl.when((cell != "") & ~cell.is_in(list(self.form.words))).then(cell)

    def text(self, name: str) -> "pl.Expr":
        """A column's cells as they are; null where they are missing: empty, in quotes or not."""
        import polars as pl

        return pl.when(self.cell(name).is_not_null()).then(pl.col(name)).alias(name)

    def cast(self, name: str, kind: ColumnType) -> "pl.Expr":
        """A column's cells as what they are; null where they are missing, or not that."""
        if kind is ColumnType.STRING:
            return self.text(name)
        return self.read(name, kind).alias(name)

    def read(self, name: str, kind: ColumnType) -> "pl.Expr":
        """Read a column's cells as numbers, or as true and false."""
        if kind is ColumnType.BOOL:
            return as_boolean(self.cell(name))
        reader = as_whole if kind is ColumnType.INT64 else as_number
        return reader(self.cell(name), self.reading.form_of(name))
