"""A line between a client and a real server that loses what it is told to lose."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

__all__ = ["LossyLine", "lossy_line"]


class LossyLine:
    """Forwards connections; `lose_answers` of the next requests are cut off unanswered.

    The request itself has reached the server when its answer is lost.
    """

    def __init__(self, server_url: str) -> None:
        at = urlsplit(server_url)
        self._server = (str(at.hostname), int(at.port or 80))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.lose_answers = 0
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection there is; new ones are forwarded as before."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._server)
            self._ends += [near, far]
            for source, target, answers in ((near, far, False), (far, near, True)):
                threading.Thread(
                    target=self._carry, args=(source, target, answers), daemon=True
                ).start()

    def _carry(self, source: socket.socket, target: socket.socket, answers: bool) -> None:  # noqa: FBT001
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if answers and self.lose_answers:
                    self.lose_answers -= 1
                    break
                target.sendall(piece)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextlib.contextmanager
def lossy_line(server_url: str) -> Iterator[LossyLine]:
    line = LossyLine(server_url)
    try:
        yield line
    finally:
        line.close()
