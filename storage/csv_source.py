"""A CSV file that is about to be read: where it is, its columns' names, what a cell of it means."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.text_cells import TextCells

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Source"]


@dataclass(frozen=True)
class Source(TextCells):
    """A file of text in UTF-8, its header read."""

    path: Path
    delimiter: str
    names: list[str]
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
