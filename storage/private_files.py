"""What Descend writes is its owner's alone: folders 0700, files 0600, whatever the caller's umask.

Datasets, models and logs are somebody's data, and a backup holds all of it.
"""

import os
from pathlib import Path

__all__ = ["FOLDER_MODE", "PRIVATE_UMASK", "keep_private", "make_private"]

FOLDER_MODE = 0o700
PRIVATE_UMASK = 0o077


def keep_private() -> None:
    """Have this process, and what it starts, write files that are nobody else's."""
    os.umask(PRIVATE_UMASK)


def make_private(data: Path) -> None:
    """Make a data folder, or close one that is ours to others.

    Ours is what belongs to this user and is empty, or has a database in it: `--data /tmp` must not
    close /tmp.

    Raises:
        OSError: when it cannot be made.
    """
    data.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    found = data.stat()
    mine = found.st_uid == os.geteuid() and found.st_mode & PRIVATE_UMASK
    if mine and ((data / "descend.db").exists() or not any(data.iterdir())):
        data.chmod(FOLDER_MODE)
