"""Programs that have made their imports: each start is a fork of one, and real in all else.

To start an interpreter and import the API costs two seconds of a core, the command line half of
one; tests do it some hundred times. A fork has the arguments, environment, folder and files that
its caller gives, and ends as any process does.
"""

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from storage.kernels import kernel_environment

__all__ = ["Fork", "Prepared", "prepared"]

ROOT = Path(__file__).parents[1]
MOST_BYTES = 2**18
MOST_FILES = 8
FD = "{fd}"  # among arguments: the number that the first passed file has in the fork


class Fork:
    """A started program, with what tests need of subprocess.Popen."""

    def __init__(self, status: int) -> None:
        self._status = os.fdopen(status, "rb", buffering=0)
        self.pid = int(self._line())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired([f"pid {self.pid}"], timeout or 0)
            self.returncode = int(self._line())
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            more = self._status.read(1)
            if not more:
                raise AssertionError("the process that prepares programs has ended")
            line += more
        return line


class Prepared:
    """A process that has imported a program and waits to be forked.

    Args:
        name: of the program, as it is called.
        module: whose `main` it is.
        more: modules that it imports when it runs.
    """

    def __init__(self, name: str, module: str, *more: str) -> None:
        self._name = name
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            fd = theirs.fileno()
            environment = {**kernel_environment(), "PATH": os.defpath, "PYTHONUNBUFFERED": "1"}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.prepared", str(fd), module, *more],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=(fd,),
            )

    def start(
        self,
        *arguments: str,
        env: Mapping[str, str],
        cwd: Path = ROOT,
        files: Sequence[int],
        passed: Sequence[int] = (),
    ) -> Fork:
        """Fork a program; `files` are its standard input, output and error."""
        ours, theirs = os.pipe()
        asked = {"name": self._name, "arguments": arguments, "env": dict(env), "cwd": str(cwd)}
        try:
            socket.send_fds(self._socket, [json.dumps(asked).encode()], [*files, theirs, *passed])
        finally:
            os.close(theirs)
        return Fork(ours)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


@cache
def prepared(name: str, module: str, *more: str) -> Prepared:
    """Return this process's one of a program."""
    made = Prepared(name, module, *more)
    atexit.register(made.close)
    return made


def _await_order(orders: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return in a child that has an order; None where there will be none any more."""
    while True:
        raw, files, _, _ = socket.recv_fds(orders, MOST_BYTES, MOST_FILES)
        if not raw:
            return None
        if os.fork() == 0:
            orders.close()
            return json.loads(raw), files
        for file in files:
            os.close(file)


def _become(order: dict[str, Any], files: list[int]) -> None:
    """Return in a child of its own, which is the program; the process between tells how it ends."""
    *standard, status = files[:4]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():
        for file in {*files, 0, 1} - {status}:
            os.close(file)
        os.write(status, b"%d\n" % pid)
        _, code = os.waitpid(pid, 0)
        os.write(status, b"%d\n" % os.waitstatus_to_exitcode(code))
        os._exit(0)
    os.close(status)
    for place, file in enumerate(standard):
        os.dup2(file, place)
        os.close(file)
    for file in files[4:]:
        os.set_inheritable(file, True)
    os.chdir(order["cwd"])
    os.environ.clear()  # noqa: TID251  it is another program's from here on
    os.environ.update(order["env"])  # noqa: TID251
    sys.argv = [order["name"]]
    sys.argv += [str(files[4]) if one == FD else one for one in order["arguments"]]


def main() -> Any:
    fd, name, *more = sys.argv[1:]
    module = importlib.import_module(name)
    for other in more:
        importlib.import_module(other)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who tells how a program ends is reaped so
    order = _await_order(socket.socket(fileno=int(fd)))
    if order is None:
        return 0
    _become(*order)
    return module.main()


if __name__ == "__main__":
    sys.exit(main())
