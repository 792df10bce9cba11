"""Many commits, one fsync: a SQLite write-ahead log is made durable for all who wait at once.

SQLite's synchronous=FULL calls fsync inside every commit, while it holds the write lock: eight
clients wait for eight of them in a row. Here commits leave that out (synchronous=NORMAL) and each
waits, with the lock given back, until one fsync of the log that began after its commit has ended.
What is promised is the same: when a transaction's block has ended, its rows survive a power cut.
What differs: another process may read rows in the milliseconds before they are durable.
"""

import os
import threading
from pathlib import Path
from typing import NoReturn

import structlog

from descend.errors import Unavailable

__all__ = ["GroupSync"]

# EX_IOERR of sysexits.h
IO_ERROR = 74

log = structlog.get_logger()


class GroupSync:
    """Makes the commits of one process durable.

    Args:
        database: the SQLite file; its log is beside it. The path, not a descriptor, is kept: the
            log is another file after the last connection was closed and a new one opened.
    """

    def __init__(self, database: Path) -> None:
        self._log = database.with_name(f"{database.name}-wal")
        self._changed = threading.Condition()
        self._committed = 0
        self._durable = 0
        self._busy = False

    def wait(self) -> None:
        """Return when everything committed before this call is on the disk.

        Raises:
            Unavailable: when the log cannot be opened. The rows are committed and may be seen, but
                nobody has promised them: to write them again must be harmless, as after a commit
                whose answer was lost.
        """
        with self._changed:
            self._committed += 1
            mine = self._committed
            while self._durable < mine:
                if self._busy:
                    self._changed.wait()
                else:
                    self._lead()

    def _lead(self) -> None:
        """Sync for everyone who has committed by now; called, and left, with the lock held."""
        reached = self._committed
        self._busy, synced = True, False
        self._changed.release()
        try:
            self._sync()
            synced = True
        except OSError as error:
            raise Unavailable("the database's log cannot be opened") from error
        finally:
            self._changed.acquire()
            self._busy = False
            if synced:
                self._durable = reached
            self._changed.notify_all()  # also after an error: one of them leads now

    def _sync(self) -> None:
        try:
            descriptor = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # a checkpoint has put it all into the database file, synced, and removed it
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            _stop(error)
        finally:
            os.close(descriptor)


def _stop(error: OSError) -> NoReturn:
    """End the process: after a failed fsync the kernel may drop the pages and report success.

    To try again would be to call lost rows durable. The next start reads what the disk has.
    """
    log.critical("log_not_durable", reason=error.strerror)
    os._exit(IO_ERROR)
