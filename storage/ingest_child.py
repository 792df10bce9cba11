"""`python -m storage.ingest_child`: the process that reads uploaded files, and has nothing else.

It is started by storage.ingest_pool with limits, an empty environment and no descriptor but its
pipes: no database, no socket, no secret. An order comes as one line of JSON, an answer leaves as
one; an empty line asks whether anybody is there. Whatever a file does to polars or numpy happens
here; when this process dies of it, it is replaced. Its last words name a place in the code, never
what a message might hold of the data.
"""

import fcntl
import json
import os
import resource
import select
import signal
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from descend.errors import DescendError
from storage.ingest_files import Order, ingest_file, read_file

__all__ = ["main"]

# What the allocator has kept of a large file is given back by leaving; another child is as good.
RETIRING_BYTES = 2**30


def main() -> None:
    """Serve orders until the pipe closes; arguments: memory in bytes, the sentinel's descriptor."""
    memory, sentinel = int(sys.argv[1]), int(sys.argv[2])
    # What maps files may be as large as they are: RLIMIT_AS would count them, this does not.
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent(sentinel)
    sys.excepthook = _last_words
    import polars  # noqa: F401  before the first order comes

    for line in sys.stdin.buffer:
        if line == b"\n":
            _answer({"ready": True})
            continue
        answer = _done(Order.model_validate_json(line))
        _answer({**answer, "retiring": _most_resident_bytes() > RETIRING_BYTES})


def _most_resident_bytes() -> int:
    """Read how large this program has been; getrusage counts what the parent was before exec."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _done(order: Order) -> dict[str, Any]:
    try:
        if order.columns is not None:
            read_file(order)
            return {"read": True}
        return {"dataset": ingest_file(order).model_dump(mode="json")}
    except DescendError as error:
        return {
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "errors": [one.model_dump() for one in error.errors],
        }
    except MemoryError:
        return {"no_memory": True}


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _die_with_parent(sentinel: int) -> None:
    """Have the kernel kill this process when the sentinel's other end, the parent, is gone."""
    fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(sentinel, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(sentinel, fcntl.F_GETFL)
    fcntl.fcntl(sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([sentinel], [], [], 0)[0]:  # it went before the flag was set
        os._exit(1)


def _last_words(kind: type[BaseException], _: BaseException, trace: TracebackType | None) -> None:
    places = [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        for frame in traceback.extract_tb(trace)
    ]
    _answer({"died": f"{kind.__name__} at {' '.join(places[-4:])}"})


if __name__ == "__main__":
    main()
