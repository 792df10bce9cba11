"""What to type so that a refused file is read: a refusal's options, as a shell has them."""

import shlex
from collections.abc import Iterator, Sequence

from descend.commands.options import dashed
from descend.field_errors import FieldError

__all__ = ["about_columns", "remedies"]


def about_columns(errors: Sequence[FieldError]) -> str | None:
    """Say what is wrong with a file's columns; None where the errors are about none."""
    told = [one.message for one in errors if one.column is not None]
    if not told:
        return None
    return told[0] if len(told) == 1 else f"{len(told)} columns cannot be read: {'; '.join(told)}"


def remedies(errors: Sequence[FieldError]) -> Iterator[str]:
    """Yield lines with the options to add: the likeliest for all columns, then other ways."""
    columns = [one for one in errors if one.column is not None]
    if not columns:
        return
    if all(len(one.options) <= 1 and one.code == "bad_cells" for one in columns):
        yield "Correct them; or name what stands for a missing cell: --null-values WORDS"
    first = _typed(*(one.options[0] for one in columns if one.options))
    if first:
        only = columns[0].options[0] if len(columns) == 1 else {}
        it = "have it read" if only else "have them read"
        yield f"To {'keep it as text' if 'text' in only else it}, add: {first}"
    for one in columns:
        whose = "" if len(columns) == 1 else f" for {one.column!r}"
        for way in one.options[1:]:
            yield f"or{whose}: {_typed(way)}"


def _typed(*ways: dict[str, list[str]]) -> str:
    words: dict[tuple[str, str], None] = {}
    for way in ways:
        for option, values in way.items():
            words |= dict.fromkeys((dashed(option), value) for value in values)
    return shlex.join([word for pair in words for word in pair])
