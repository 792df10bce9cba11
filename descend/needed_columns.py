"""Which columns of a file a job needs: the others are no reason to refuse it."""

from collections.abc import Mapping
from typing import Any

__all__ = ["needed_columns"]


def needed_columns(options: Mapping[str, Any]) -> dict[str, list[str]]:
    """Say which columns of a CSV a job needs, or does not: others are no reason to refuse it."""
    named = {name: value for name, value in options.items() if value}
    found: dict[str, list[str]] = {}
    if "features" in named:
        roles = [named["features"], named.get("target", []), named.get("weight", [])]
        names = [n for role in roles for n in ([role] if isinstance(role, str) else role)]
        found["columns"] = [_as_line(name) for name in names]
    if "exclude" in named:
        found["exclude"] = [_as_line(name) for name in named["exclude"]]
    return found


def _as_line(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
