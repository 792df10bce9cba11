"""Which server a command talks to: the one named, the one found, or one of its own.

    --url or DESCEND_URL -> a stack of the data folder (its stack.json) -> http://127.0.0.1:8000
    -> `train` and `plan` only: a stack of their own in the data folder, stopped when they end

A command that uses a folder's stack holds a shared lock on <data>/users.lock; who started a stack
for itself waits for that lock before stopping it, so that no other command loses its server.
"""

import importlib.util
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from descend.errors import DescendError, Unauthorized, Unreachable

if TYPE_CHECKING:
    from descend.commands.sessions import Session
    from descend.stack import Stack

__all__ = ["DEFAULT_URL", "found", "how_to_start", "used_or_started"]

DEFAULT_URL = "http://127.0.0.1:8000"


@contextmanager
def found(url: str | None, data: Path) -> Iterator[str]:
    """Name the server to ask; hold the data folder's stack where it is that one."""
    if url is not None:
        yield url
        return
    with _used(data):
        yield _live_url(data) or DEFAULT_URL


@contextmanager
def used_or_started(session: "Session") -> Iterator[str]:
    """Name a server that answers: one that is there, or one for the length of this block."""
    while True:
        with found(None, session.data) as url:
            if _answers(session, url):
                yield url
                return
        if not _can_start():
            raise Unreachable(f"no Descend server answers at {DEFAULT_URL}")
        with _started(session) as started:
            if started is not None:
                yield started
                return
        time.sleep(0.2)  # another command is starting one in this folder: look again


def how_to_start(url: str | None, data: Path) -> str:
    """Say what to do where no server answers."""
    if url is not None:
        return "Is it running, and is this its address? See --url and DESCEND_URL."
    kept = f" It will serve what is kept in {data}." if (data / "descend.db").exists() else ""
    if _can_start():
        return f"Start one, and leave it running: descend up.{kept}"
    return (
        "This is the client alone. Run a server from a checkout (make up) or with"
        " docker compose up, or name one: --url, DESCEND_URL."
    )


def _can_start() -> bool:
    parts = ("fcntl", "storage", "service", "workers")
    return all(importlib.util.find_spec(part) for part in parts)


def _answers(session: "Session", url: str) -> bool:
    """Ask something small. What is not Descend at the usual port is as good as nothing there."""
    try:
        seconds = 3.0 if url == DEFAULT_URL else 30.0  # a stack that was just started takes longer
        with session.connect(url, retries=0, timeout_seconds=seconds) as client:
            next(iter(client.jobs()), None)
    except Unauthorized:
        raise
    except DescendError:
        return False
    return True


def _live_url(data: Path) -> str | None:
    """Read where the folder's stack serves, if the launcher that wrote it down is alive."""
    from descend.processes import Kin

    try:
        record = json.loads((data / "stack.json").read_text())
        launcher = Kin(record["launcher"]["pid"], record["launcher"]["born"])
        return str(record["url"]) if launcher.alive else None
    except (OSError, ValueError, KeyError):
        return None


@contextmanager
def _used(data: Path) -> Iterator[None]:
    """Hold the shared lock of the folder's users, where there is such a folder."""
    if not (data / "stack.json").exists():
        yield
        return
    import fcntl

    from descend.processes import private

    with open(data / "users.lock", "a", opener=private) as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


@contextmanager
def _started(session: "Session") -> Iterator[str | None]:
    """Run a stack on a free port; None where another one has the folder."""
    from descend import stack

    session.note(f"No server is running: starting one in {session.data}, for this command only.")
    stop = threading.Event()
    options = stack.Options("127.0.0.1", 0, session.data.resolve(), 1, session.environment)
    with ExitStack() as last:  # the users' lock is let go when the stack has stopped, not before
        try:
            with stack.running(options, stop) as running, _tended(running, stop):
                session.runs_server = True
                yield running.url
                last.enter_context(_alone(session))
            session.note(
                f"The server has stopped; what it kept is in {session.data}."
                " Before other commands on it: descend up."
            )
        except stack.Taken:
            yield None
        except stack.Refused as error:
            raise Unreachable(str(error)) from None


@contextmanager
def _tended(running: "Stack", stop: threading.Event) -> Iterator[None]:
    """Start again what dies, in a thread of its own."""

    def tend() -> None:
        while not stop.wait(0.2):
            running.tend()  # never raises

    thread = threading.Thread(target=tend, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _alone(session: "Session") -> Iterator[None]:
    """Wait until no other command uses the folder's stack, and let none come."""
    import fcntl

    from descend.processes import private

    with open(session.data / "users.lock", "a", opener=private) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            session.note("Another command uses this server: waiting for it. Ctrl-C stops it now.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
