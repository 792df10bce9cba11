"""Numbers in sentences: one row has, two rows have; parts as percentages, or as times."""

__all__ = ["counted", "have", "times_above"]

_MOST_PERCENT = 1000.0


def counted(n: int, noun: str) -> str:
    """Write a number and what it counts: 1 row, 2 rows, 0 missing cells.

    Example:
        >>> counted(1, "epoch"), counted(1200, "missing cell")
        ('1 epoch', '1200 missing cells')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def have(n: int) -> str:
    return "has" if n == 1 else "have"


def times_above(part: float) -> str:
    """Write how far something lies above what it is a part of: 2.5 % above, 24 times as high.

    Example:
        >>> times_above(0.025), times_above(24.1)
        ('2.5 % above', '25.1 times')
    """
    percent = 100 * part
    return f"{percent:.3g} % above" if percent <= _MOST_PERCENT else f"{1 + part:.3g} times"
