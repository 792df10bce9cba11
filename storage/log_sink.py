"""Where log lines go: standard error, in a way that cannot fail whoever logs.

A log on a full disk raised ENOSPC out of `except` blocks, and ended the very threads that were to
carry on. Here a line is written or it is lost, and the next one that is written says how many were.
"""

import os
from typing import TextIO

from structlog.typing import EventDict, WrappedLogger

__all__ = ["LogSink"]


class LogSink:
    """A file of lines as structlog and logging want one; `write` never raises, nor does `flush`.

    Each line is one write to the descriptor: nothing is left in a buffer to fail later, and the
    processes that share a file (a worker and its runners) do not write into each other's lines.
    """

    def __init__(self, stream: TextIO) -> None:
        self.lost = 0  # lines since the last one that was written
        self._stream = stream
        self._torn = False  # the last line stops in its middle
        try:
            self._descriptor: int | None = stream.fileno()
        except (OSError, ValueError):  # a test's, which has no descriptor
            self._descriptor = None

    def write(self, text: str) -> int:
        try:
            self._write(text)
        except (OSError, ValueError):  # full, gone, closed
            self.lost += 1
        else:
            self.lost = 0
        return len(text)

    def flush(self) -> None:
        """Nothing waits here."""

    def isatty(self) -> bool:
        return self._stream.isatty()

    def note_losses(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Say in the first line that can be written again how many could not (a processor)."""
        if self.lost:
            event["lines_lost"] = self.lost
        return event

    def _write(self, text: str) -> None:
        if self._descriptor is None:
            self._stream.write(text)
            return
        line = ("\n" if self._torn else "") + text
        rest = memoryview(line.encode("utf-8", "backslashreplace"))
        while rest:
            written = os.write(self._descriptor, rest)
            rest, self._torn = rest[written:], written < len(rest)
