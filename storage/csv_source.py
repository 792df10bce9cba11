"""A CSV file that is about to be read: where it is, its columns' names, what a cell of it means."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descend.datasets import ColumnType
from storage.cells import as_boolean
from storage.csv_form import CsvForm, Reading
from storage.number_forms import as_number, as_whole

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """A file of text in UTF-8, its header read."""

    path: Path
    delimiter: str
    names: list[str]
    form: CsvForm
    reading: Reading
    head: bytes | None = None  # the first lines: to begin with a large file takes polars 20 ms

    def scan(self, n_rows: int, **more: Any) -> "pl.LazyFrame":
        """Read so many rows, their cells as text unless a schema is given."""
        import polars as pl

        schema = more.pop("schema", dict.fromkeys(self.names, pl.String))
        return pl.scan_csv(
            self.head or self.path,
            separator=self.delimiter,
            schema=schema,
            n_rows=n_rows,
            **more,
        )

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
