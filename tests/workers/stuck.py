"""A worker whose database never answers again once the file `stuck` is in the data folder.

Run as `python -m tests.workers.stuck` with a worker's environment.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from storage.database import Database, Transaction
from workers.app import build
from workers.settings import WorkerSettings


class StuckDatabase(Database):
    """As a disk that hangs: no error, no answer."""

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        if (settings.data / "stuck").exists():
            threading.Event().wait()
        with super().begin() as tx:
            yield tx


if __name__ == "__main__":
    settings = WorkerSettings()
    sys.exit(build(settings, database=StuckDatabase(settings.url)).run())
