"""A wire between a client and a real server that a test can cut, or make lose an answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

__all__ = ["Wire", "wire"]


class Wire:
    """Forwards connections until they are cut; new ones may be made afterwards.

    Of the next answers `lose_answers` are cut off; the requests have reached the server then.
    """

    def __init__(self, url: str) -> None:
        self._target = ("127.0.0.1", int(urlsplit(url).port or 80))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.lose_answers = 0
        self._ends: list[socket.socket] = []
        self._pumps: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def cut(self) -> int:
        """End every connection; return how many there were."""
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        return len(ends) // 2

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes the one who accepts
        self._listening.close()
        self._accepting.join()
        self.cut()
        for pump in self._pumps:
            pump.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._target)
                self._ends += [near, far]
                pump = threading.Thread(target=self._pump, args=(near, far), daemon=True)
                pump.start()
                self._pumps.append(pump)

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        """Forward both ways, and close both ends when the connection is over."""
        back = threading.Thread(target=self._answer, args=(far, near), daemon=True)
        with near, far:
            back.start()
            with suppress(OSError):
                while chunk := near.recv(65536):
                    far.sendall(chunk)
            _end(near, far)
            back.join()

    def _answer(self, far: socket.socket, near: socket.socket) -> None:
        with suppress(OSError):
            while chunk := far.recv(65536):
                if self.lose_answers:
                    self.lose_answers -= 1
                    break
                near.sendall(chunk)
        _end(far, near)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def wire(url: str) -> Iterator[Wire]:
    laid = Wire(url)
    try:
        yield laid
    finally:
        laid.close()
