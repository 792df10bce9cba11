"""What to type so that a refused file is read: a refusal's options, as a shell has them."""

import shlex
from collections.abc import Iterator, Sequence

from descend.commands.options import dashed, quoted
from descend.field_errors import FieldError

__all__ = ["about_columns", "remedies"]

_OF_FILES = frozenset({"bad_cells", "written_numbers", "dates", "not_of_type"})


def about_columns(errors: Sequence[FieldError]) -> str | None:
    """Say what is wrong with a file's columns; None where the errors are of something else."""
    told = [one.message for one in errors if one.code in _OF_FILES]
    if not told:
        return None
    return told[0] if len(told) == 1 else f"{len(told)} columns cannot be read: {'; '.join(told)}"


def remedies(errors: Sequence[FieldError]) -> Iterator[str]:
    """Yield lines with the options to add: the likeliest for all columns, then other ways."""
    ways = [one for one in errors if one.options]
    if not ways:
        return
    if all(one.code == "bad_cells" and len(one.options) == 1 for one in ways):
        yield "Correct them; or name what stands for a missing cell: --null-values WORDS"
    only = ways[0].options[0] if len(ways) == 1 else {}
    it = "have it read" if only else "have them read"
    what = "keep it as text" if "text" in only else it if ways[0].code in _OF_FILES else "go on"
    yield f"To {what}, add: {_typed(*(one.options[0] for one in ways))}"
    for one in ways:
        whose = "" if len(ways) == 1 else f" for {one.column!r}"
        for way in one.options[1:]:
            yield f"or{whose}: {_typed(way)}"


def _typed(*ways: dict[str, list[str]]) -> str:
    words: dict[tuple[str, str], None] = {}
    for way in ways:
        for option, values in way.items():
            write = quoted if option == "exclude" else str
            words |= dict.fromkeys((dashed(option), write(value)) for value in values)
    return shlex.join([word for pair in words for word in pair])
