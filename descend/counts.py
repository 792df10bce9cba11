"""Numbers in sentences: one row has, two rows have."""

__all__ = ["counted", "have"]


def counted(n: int, noun: str) -> str:
    """Write a number and what it counts: 1 row, 2 rows, 0 missing cells.

    Example:
        >>> counted(1, "epoch"), counted(1200, "missing cell")
        ('1 epoch', '1200 missing cells')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def have(n: int) -> str:
    return "has" if n == 1 else "have"
