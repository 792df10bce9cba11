"""Children that read uploaded files: started when needed, limited, and replaced when they die.

A file is not trusted: it may be made to break its reader, to fill the memory, or to take for ever.
All three end a child, are said to the one who sent the file, and touch nobody else.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from descend.datasets import Dataset
from descend.errors import DescendError, InvalidDataset, Unavailable, error_class
from descend.field_errors import FieldError
from storage.arrow import Table, open_table
from storage.ingest import Ingested, ingested_at
from storage.ingest_files import Order
from storage.kernels import kernel_environment

__all__ = ["IngestPool"]

logger = structlog.get_logger(__name__)

_ROOT = Path(__file__).resolve().parents[1]
_MOST_THREADS = 8
_START_SECONDS = 60.0
_MOST_WAITING = 16
_WAIT_SECONDS = 600.0


class IngestPool:
    """At most so many children, each with one file at a time.

    Args:
        processes: children at once; further files wait.
        memory_bytes: what a child may allocate.
        seconds: what a file may take.
    """

    def __init__(self, *, processes: int, memory_bytes: int, seconds: float) -> None:
        self.lost = Counter(dict.fromkeys(("died", "late", "no_memory"), 0))  # children, by cause
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._free = threading.Semaphore(processes)
        self._queue = threading.Semaphore(processes + _MOST_WAITING)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._closed = False

    def warm(self) -> None:
        """Start a child that the first upload then need not wait for."""
        child = self._start()
        with self._lock:
            self._idle.append(child)

    def ingest(self, order: Order) -> Ingested:
        """Read a file in a child; takes as long as that.

        Raises:
            InvalidDataset: when the file is no table, takes too long or too much memory.
            Unavailable: when too many files wait.
        """
        answer = self._answer(order)
        if "dataset" in answer:
            return ingested_at(Dataset.model_validate(answer["dataset"]), order.target)
        raise self._refusal(answer)

    def read(self, order: Order) -> Table:
        """Read the columns that an order names, in a child, for as long as their file is there.

        Raises:
            InvalidDataset: as `ingest`, and when a column is missing.
            Unavailable: when too many files wait.
        """
        answer = self._answer(order)
        if "read" in answer:
            return open_table(order.target)
        raise self._refusal(answer)

    def _answer(self, order: Order) -> dict[str, Any]:
        if not self._queue.acquire(blocking=False):
            raise Unavailable("too many files are being read; try again", retry_after_seconds=5)
        try:
            with self._child() as child:
                return child.ask(order, self._seconds)
        finally:
            self._queue.release()

    def _refusal(self, answer: dict[str, Any]) -> DescendError:
        if "code" in answer:
            errors = [FieldError.model_validate(one) for one in answer["errors"]]
            kind = error_class(answer["code"])
            return kind(answer["message"], param=answer["param"], errors=errors)
        self.lost[next((cause for cause in ("late", "no_memory") if cause in answer), "died")] += 1
        if "late" in answer:
            return InvalidDataset(f"reading the file took longer than {self._seconds:g} s")
        logger.warning("ingest_child_died", reason=answer.get("died", "out of memory"))
        if "no_memory" in answer:
            return InvalidDataset(
                f"reading the file takes more than {self._memory_bytes // 2**20} MiB of memory"
            )
        return InvalidDataset(
            "the file broke the process that read it: it is damaged, or takes more than"
            f" {self._memory_bytes // 2**20} MiB of memory"
        )

    def close(self) -> None:
        """End all children; what they read is lost."""
        with self._lock:
            self._closed = True
            children = list(self._all)
            idle, self._idle = self._idle, []
        for child in children:
            child.kill()
        for child in idle:
            child.end()

    @contextlib.contextmanager
    def _child(self) -> "Iterator[_Child]":
        if not self._free.acquire(timeout=_WAIT_SECONDS):
            raise Unavailable("too many files are being read; try again", retry_after_seconds=5)
        child: _Child | None = None
        try:
            child = self._taken() or self._start()
            if not child.ready():
                raise Unavailable("the process that reads files does not start")
            yield child
        finally:
            self._give_back(child)
            self._free.release()

    def _taken(self) -> "_Child | None":
        """Take an idle child that is there still; what killed another is no fault of this file."""
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None or child.ready():
                return child
            self.lost["died"] += 1
            self._forget(child)

    def _give_back(self, child: "_Child | None") -> None:
        if child is None:
            return
        with self._lock:
            if not child.spoilt and not self._closed:
                self._idle.append(child)
                return
        self._forget(child)

    def _start(self) -> "_Child":
        child = _Child(self._memory_bytes)
        with self._lock:
            if not self._closed:
                self._all.add(child)
                return child
        child.end()
        raise Unavailable("the service is ending", retry_after_seconds=1)

    def _forget(self, child: "_Child") -> None:
        with self._lock:
            self._all.discard(child)
        child.end()


class _Child:
    """A child's handle. It has our end of its two pipes and of the sentinel, and nothing else."""

    def __init__(self, memory_bytes: int) -> None:
        self._sentinel: int | None
        theirs, self._sentinel = os.pipe()
        command = (sys.executable, "-m", "storage.ingest_child", str(memory_bytes), str(theirs))
        threads = str(min(_MOST_THREADS, os.cpu_count() or 1))
        try:
            self._process = subprocess.Popen(
                command,
                env={
                    **kernel_environment(),
                    "OPENBLAS_NUM_THREADS": "1",
                    "POLARS_MAX_THREADS": threads,
                    "PYTHONPATH": str(_ROOT),
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # polars would show cells there
                pass_fds=(theirs,),
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        self.spoilt = True  # until it has answered

    def ready(self) -> bool:
        """Ask whether it is there; a new one is after it has imported polars."""
        self.spoilt = "ready" not in (self._said(b"\n", _START_SECONDS))
        return not self.spoilt

    def ask(self, order: Order, seconds: float) -> dict[str, Any]:
        """Hand over an order and wait for its answer; who gave none is `spoilt`."""
        answer = self._said(order.model_dump_json().encode() + b"\n", seconds)
        self.spoilt = answer.get("retiring", True)
        return answer

    def _said(self, line: bytes, seconds: float) -> dict[str, Any]:
        if self._process.stdin is None:
            return {}
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError:
            return {"died": "before it was asked"}
        return self._read(seconds)

    def _read(self, seconds: float) -> dict[str, Any]:
        """Read a line within so many seconds."""
        if self._process.stdout is None:
            return {}
        descriptor = self._process.stdout.fileno()
        pipe = select.poll()
        pipe.register(descriptor, select.POLLIN)
        end = time.monotonic() + seconds
        parts: list[bytes] = []
        while not parts or not parts[-1].endswith(b"\n"):
            if not pipe.poll(1000 * max(0.0, end - time.monotonic())):
                return {"late": True}
            parts.append(os.read(descriptor, 2**20))
            if not parts[-1]:
                return {"died": f"exit code {self._process.wait()}"}
        answer: dict[str, Any] = json.loads(b"".join(parts))
        return answer

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        """Kill it and close our ends, which only its user may do."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if self._sentinel is not None:
            os.close(self._sentinel)
        self._sentinel = None
