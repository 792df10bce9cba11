"""Columns that cannot be taken: every one of them in one refusal, each with what would read it.

A refusal names columns, counts, the first rows and options; it shows no cell.
"""

import csv
import io
from collections.abc import Iterable, Sequence

from descend.errors import InvalidDataset
from descend.field_errors import FieldError

__all__ = ["as_text", "column_error", "merged_options", "refuse_columns", "rows_named"]

MOST_NAMED = 10
MOST_COLUMNS = 100
_CORRECT = "Correct them; or name what stands for a missing cell in null_values; or "
_OF_CSV = "see delimiter and decimal; or "


def column_error(
    name: str,
    message: str,
    *,
    code: str,
    rows: Sequence[int] = (),
    n_cells: int | None = None,
    options: Iterable[dict[str, list[str]]] = (),
    as_text_too: bool = True,
) -> FieldError:
    """Describe a column that cannot be taken; to keep it as text is a way unless it may not be."""
    ways = [*options, *([{"text": [as_text(name)]}] if as_text_too else [])]
    return FieldError(
        param=name,
        message=f"column {name!r} {message}",
        code=code,
        column=name,
        rows=list(rows),
        n_cells=n_cells,
        options=ways,
    )


def as_text(name: str) -> str:
    """Write a column's name as the option `text` takes it: a line of CSV."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([name])
    return line.getvalue()


def rows_named(rows: Sequence[int]) -> str:
    """Name rows for a person."""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows))}"


def refuse_columns(found: Sequence[FieldError], *, typed: bool = False) -> None:
    """Raise one error about all columns that were found wrong; return where there are none.

    Args:
        found: the columns.
        typed: they are not of a CSV, where a wrong delimiter may be the cause.

    Raises:
        InvalidDataset: `param` is the first column, `errors` has all of them.
    """
    if not found:
        return
    first = found[0]
    if len(found) == 1:
        message = f"{first.message}{_cure(first, typed=typed)}"
    else:
        told = "; ".join(one.message for one in found[:MOST_NAMED])
        more = f"; and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        together = _sent(merged_options(found))
        cure = f". Send {together}" if together else ""
        message = f"{len(found)} columns cannot be read as they are: {told}{more}{cure}"
    raise InvalidDataset(message, param=first.param, errors=found[:MOST_COLUMNS])


def merged_options(found: Iterable[FieldError]) -> dict[str, list[str]]:
    """Put the likeliest option of each column together: what a second try would send."""
    merged: dict[str, list[str]] = {}
    for one in found:
        for option, values in (one.options[0] if one.options else {}).items():
            known = merged.setdefault(option, [])
            known += [value for value in values if value not in known]
    if "text" in merged:
        merged["text"] = [",".join(merged["text"])]
    return merged


def _cure(one: FieldError, *, typed: bool) -> str:
    said = "; or ".join(_sent(way) for way in one.options if "text" not in way)
    text = next((_sent(way) for way in one.options if "text" in way), None)
    if text is None:
        return f". Send {said}" if said else ""
    if one.code != "bad_cells" and not said:
        return f"; or {text} keeps it as text"
    return (
        f". Send {said}; or {text} to keep it as text"
        if said
        else f". {_CORRECT}{'' if typed else _OF_CSV}keep the column as text with {text}"
    )


def _sent(options: dict[str, list[str]]) -> str:
    pairs = [f"{option}={value}" for option, values in options.items() for value in values]
    return " and ".join(pairs)
