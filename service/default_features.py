"""Which columns a job takes for features where it names none, and what is left out, in words."""

from collections.abc import Collection

from descend.counts import counted
from descend.datasets import Column, Dataset
from descend.limits import MAX_LEVELS

__all__ = ["LEVELS_OF_AN_ID", "default_features"]

# Up to here a text column may be different in every row: a small table of names.
LEVELS_OF_AN_ID = 20
_MOST_NAMED = 10


def default_features(
    dataset: Dataset, taken: Collection[str | None], categorical: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose the features of a job that names none, as the page does.

    Args:
        dataset: what it trains on.
        taken: targets, weight and excluded columns.
        categorical: where text is refused, it is not left out either.

    Returns:
        The features, and a warning for each reason for which others are left out.
    """
    features, left_out = [], dict[str, list[str]]()
    for column in dataset.columns:
        if column.name in taken:
            continue
        refused = not column.is_numeric and categorical == "error"
        reason = None if refused else _left_out(column, dataset.n_rows)
        if reason is None:
            features.append(column.name)
        else:
            left_out.setdefault(reason, []).append(column.name)
    return tuple(features), tuple(_told(names, why) for why, names in left_out.items())


def _left_out(column: Column, n_rows: int) -> str | None:
    """Say why a column is no feature unless a job names it; None where it is one."""
    if column.unnamed:
        return "not named in the file"
    if column.missing == n_rows:
        return "empty"
    if column.is_numeric:
        return None
    levels = column.distinct
    if levels == 1:
        return "text of one level"
    if levels is None or levels > min(max(LEVELS_OF_AN_ID, n_rows / 4), MAX_LEVELS):
        return "text of too many levels"
    return None


def _told(names: list[str], reason: str) -> str:
    listed = ", ".join(map(repr, names[:_MOST_NAMED]))
    if len(names) > _MOST_NAMED:
        listed += f" and {counted(len(names) - _MOST_NAMED, 'other')}"
    subject = f"column {listed} is" if len(names) == 1 else f"columns {listed} are"
    return f"{subject} left out of the features: {reason}"
