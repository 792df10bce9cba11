"""HTTP/1.1 with a bounded head: uvicorn's httptools reader by itself keeps any length of it."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["BoundedHead"]

MOST_HEAD_BYTES = 64 * 1024


class BoundedHead(HttpToolsProtocol):
    """Refuses a request line and headers that go on and on."""

    _in_head = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's head is too long.")

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
