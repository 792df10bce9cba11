"""A file that a command writes: whole, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from descend.errors import InvalidInput

__all__ = ["written"]


@contextmanager
def written(path: Path) -> Iterator[IO[str]]:
    """Open a file to be written; what was there before goes when all of the new is there.

    Raises:
        InvalidInput: when its folder is not there.
    """
    path = path.resolve()  # a link stays one
    if not path.parent.is_dir():
        raise InvalidInput(f"there is no folder {path.parent}")
    if path.exists() and not path.is_file():  # a device or a pipe is not replaced
        with path.open("w", newline="", encoding="utf-8") as file:
            yield file
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("x", newline="", encoding="utf-8") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
