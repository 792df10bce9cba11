"""The log of service and workers: one line an event on standard error, JSON or for eyes.

No value of anybody's data reaches it, no key and no path: events name ids, counts and codes, and of
an exception come its type, its places in the code, and the first line of its message with what is
quoted, and every decimal number, left out.
"""

import logging
import re
import sys
import threading
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from storage.log_sink import LogSink

__all__ = ["LogFormat", "LogLevel", "configure"]

MOST_FRAMES = 20
MOST_CHARACTERS = 300
# A message may say "could not convert 'what a cell holds'".
VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|\d+\.\d+|\d+(\.\d+)?[eE][+-]?\d+")


class LogFormat(StrEnum):
    """How a line is written."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least important events that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure(process: str, *, form: LogFormat, level: LogLevel) -> None:
    """Send structlog and the standard library's records (uvicorn's, Celery's) through one renderer.

    Args:
        process: what this is: api, worker or runner; a field of every line.
        form: AUTO is for eyes where standard error is a terminal, else JSON.
        level: of our own events; of other libraries' only warnings are written.

    To log never raises, whatever became of standard error.
    """
    sink = LogSink(sys.stderr)

    def named(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        named,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        sink.note_losses,
    ]
    for_eyes = form is LogFormat.CONSOLE or (form is LogFormat.AUTO and sys.stderr.isatty())
    rendering = _for_eyes() if for_eyes else _json()
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level.value),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", sink)),
        cache_logger_on_first_use=True,
    )
    _lead_the_standard_library(sink, shared, rendering)
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    threading.excepthook = _show_dead_thread


def _json() -> list[Processor]:
    return [
        structlog.processors.ExceptionRenderer(_told),
        structlog.processors.JSONRenderer(),
    ]


def _for_eyes() -> list[Processor]:
    colors = sys.stderr.isatty()
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_print)]


def _lead_the_standard_library(
    sink: LogSink, shared: list[Processor], rendering: list[Processor]
) -> None:
    handler: logging.Handler = logging.StreamHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object
) -> None:
    """Python's own way writes lines that are no JSON, with paths."""
    place = f"{_place(filename)}:{lineno}"
    told = {"category": category.__name__, "place": place, "message": _harmless(str(message))}
    structlog.get_logger().warning("python_warning", **told)


def _show_dead_thread(dead: threading.ExceptHookArgs) -> None:
    """Python's own way writes the whole message, and what it holds, and may fail at it."""
    name = dead.thread.name if dead.thread else None
    error = dead.exc_value or dead.exc_type()
    structlog.get_logger().error("thread_died", thread=name, exc_info=error)


_transform = ExceptionDictTransformer(show_locals=False, max_frames=MOST_FRAMES, use_rich=False)


def _told(exc_info: ExcInfo) -> list[dict[str, Any]]:
    """Write an exception and its causes, the outermost first, as a line of JSON can hold them."""
    return [
        {
            "type": found["exc_type"],
            "message": _harmless(found["exc_value"]),
            "frames": [
                f"{_place(frame['filename'])}:{frame['lineno']} {frame['name']}"
                for frame in found["frames"]
            ],
        }
        for found in _transform(exc_info)
    ]


def _harmless(message: str) -> str:
    first, _, _ = message.partition("\n")  # what follows may be SQL with its parameters
    return VALUES.sub("…", first)[:MOST_CHARACTERS]


def _place(filename: str) -> str:
    """Name a file of code by its last parts: where it is installed is nobody's business."""
    return "/".join(Path(filename).parts[-3:])


def _print(file: TextIO, exc_info: ExcInfo) -> None:
    for error in _told(exc_info):
        file.writelines(f"\n    {frame}" for frame in error["frames"])
        file.write(f"\n  {error['type']}: {error['message']}")
