"""An Arrow schema as a file or a stream tells it: which columns are categories, which unreadable.

The words are those of Schema.fbs. Parquet written by Arrow holds one too, in its footer.
"""

import struct
from base64 import b64decode
from dataclasses import dataclass, field
from itertools import islice

from storage.arrow import FlatTable, flat_root

__all__ = ["ArrowSchema", "read_schema", "schema_of_message"]

_MOST_DEPTH, _MOST_FIELDS = 32, 20_000
_INT, _INT_BITS = 2, 64
_DECIMAL, _TEMPORAL = 7, {8: "date", 10: "timestamp"}
# What is neither numbers, nor true and false, nor text.
_UNREADABLE = _TEMPORAL | {
    4: "binary", 9: "time", 11: "interval", 12: "list", 13: "struct", 14: "union", 15: "binary",
    16: "list", 17: "map", 18: "duration", 19: "binary", 21: "list", 22: "run-end encoded",
    23: "binary", 25: "list", 26: "list",
}  # fmt: skip
_EXTENSION, _UUID = "ARROW:extension:name", {"arrow.uuid", "uuid"}


@dataclass(frozen=True)
class ArrowSchema:
    """The columns' names, in order, and what is said of some of them."""

    names: list[str] = field(default_factory=list)
    categories: frozenset[str] = frozenset()
    unreadable: dict[str, str] = field(default_factory=dict)
    wide: tuple[str, ...] = ()  # with integers of more than 64 bits, at any depth

    @property
    def foreign(self) -> set[str]:
        """The columns that nothing here can do anything with; of dates there are numbers."""
        return {name for name, kind in self.unreadable.items() if kind not in _TEMPORAL.values()}


def read_schema(schema: FlatTable) -> ArrowSchema:
    """Read a schema's columns.

    Raises:
        ValueError: where it is nested too deeply, or a name inside of a column holds a NUL, at
            which arro3 ends its process; struct.error, IndexError where it is torn.
    """
    fields = [(one.text(0), one) for one in schema.tables(1)]
    _check_inner([one for _, one in fields])
    kinds = {name: _unreadable(one) for name, one in fields}
    return ArrowSchema(
        names=[name for name, _ in fields],
        categories=frozenset(name for name, one in fields if one.table(4) is not None),
        unreadable={name: kind for name, kind in kinds.items() if kind is not None},
        wide=tuple(name for name, one in fields if _is_wide(one)),
    )


def schema_of_message(encoded: bytes) -> ArrowSchema:
    """Read the schema that Arrow leaves in a Parquet footer; an empty one where it is torn."""
    try:
        message = b64decode(encoded)
        start = 8 if message[:4] == b"\xff\xff\xff\xff" else 4
        header = flat_root(message[start:]).table(2)
        return ArrowSchema() if header is None else read_schema(header)
    except (struct.error, IndexError, ValueError, RecursionError):
        return ArrowSchema()


def _check_inner(outer: list[FlatTable]) -> None:
    """Look at the fields inside of fields, level by level; one may stand in many places."""
    level, seen = outer, 0
    for _ in range(_MOST_DEPTH):
        level = [inner for one in level for inner in islice(one.tables(5), _MOST_FIELDS)]
        seen += len(level)
        if seen > _MOST_FIELDS or any("\0" in one.text(0) for one in level):
            break
        if not level:
            return
    raise ValueError("no schema")


def _is_wide(one: FlatTable) -> bool:
    """Whether a field, whose depth was checked, is or holds integers that arro3 ends itself at."""
    details = one.table(3)
    if one.number(2, "<B") == _INT and details is not None and details.number(0, "<i") > _INT_BITS:
        return True
    return any(map(_is_wide, one.tables(5)))


def _unreadable(one: FlatTable) -> str | None:
    kind, details = one.number(2, "<B"), one.table(3)
    pairs = {pair.text(0): pair.text(1) for pair in one.tables(6)}
    if pairs.get(_EXTENSION) in _UUID:
        return "uuid"
    if kind == _DECIMAL and details is not None and details.number(2, "<i", 128) > 128:
        return "decimal256"
    return _UNREADABLE.get(kind)
