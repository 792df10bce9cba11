"""Which columns of a file a job needs: the others are no reason to refuse it."""

from collections.abc import Mapping
from typing import Any

__all__ = ["as_line", "needed_columns"]


def needed_columns(options: Mapping[str, Any]) -> dict[str, list[str]]:
    """Say which columns of a table a job needs, or does not."""
    named = {name: value for name, value in options.items() if value}
    found: dict[str, list[str]] = {}
    if "features" in named:
        roles = [named["features"], named.get("target", []), named.get("weight", [])]
        names = [n for role in roles for n in ([role] if isinstance(role, str) else role)]
        found["columns"] = [as_line(name) for name in names]
    if "exclude" in named:
        found["exclude"] = [as_line(name) for name in named["exclude"]]
    return found


def as_line(name: str) -> str:
    """Write a column's name as a line of CSV."""
    return '"' + name.replace('"', '""') + '"'
