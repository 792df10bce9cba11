"""What all tables are made of: columns, pairs of name and value, figures, times."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich import box
from rich.table import Table
from rich.text import Text

from descend.charts import number

__all__ = ["FAILED", "MOST_ROWS", "ago", "known", "pairs", "table_of", "warnings_of"]

FAILED = "bold red"
MOST_ROWS = 200
_ID_WIDTH = len("job_") + 32


def table_of(*columns: str, right: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """A table to fill; a column in `whole` is never broken, for its cells are to be copied."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for name in columns:
        table.add_column(
            name,
            justify="right" if name in right else "left",
            overflow="fold" if name in whole else "ellipsis",
            no_wrap=True,
            min_width=_ID_WIDTH if name in whole else None,
        )
    return table


def pairs(rows: Iterable[tuple[str, str | Text | None]], *, indent: int = 0) -> Text:
    """Names and values, a line each; what has no value is left out."""
    found = [(name, value) for name, value in rows if value is not None and str(value)]
    width = max((len(name) for name, _ in found), default=0)
    lines = [
        Text.assemble(" " * indent, (f"{name:<{width}}  ", "dim"), value) for name, value in found
    ]
    return Text("\n").join(lines)


def warnings_of(warnings: Iterable[str]) -> list[Text]:
    return [Text(f"! {warning}", style="yellow") for warning in warnings]


def known(value: float | None) -> str | None:
    return None if value is None else number(value)


def ago(moment: datetime) -> str:
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"
