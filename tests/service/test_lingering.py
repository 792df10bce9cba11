"""Who is refused while the body is still being sent is told why: the answer, never a reset."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from descend.client import Client
from descend.errors import BodyTooLarge
from service.settings import ServiceSettings
from storage.migrate import migrate
from tests.service.conftest import serving

BLOCK = b"1\n" * 2**15
N_BLOCKS = 600  # 39 MB: more than all buffers between two sockets hold
NOBODY = "mdl_" + "0" * 32


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    settings = ServiceSettings(data=tmp_path_factory.mktemp("data"))
    migrate(settings.url)
    limits = json.dumps({"upload_bytes": 2**20, "inline_json_bytes": 2**20})
    with serving(settings, DESCEND_LIMITS=limits) as client:
        yield client


def sent_whole(service: httpx2.Client, path: str, kind: str, *, chunked: bool) -> tuple[int, bytes]:
    """Send a whole request before reading anything, as simple clients do; the answer comes back."""
    port = service.base_url.port
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {N_BLOCKS * len(BLOCK)}"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\n{length}"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode())
        for _ in range(N_BLOCKS):
            connection.sendall(b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK) if chunked else BLOCK)
        connection.sendall(b"0\r\n\r\n" if chunked else b"")
        answer = b"".join(iter(lambda: connection.recv(2**16), b""))
    start, _, body = answer.partition(b"\r\n\r\n")
    return int(start.split()[1]), body


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("/v1/datasets", "text/csv", 413),
        ("/v1/datasets", "text/odd", 415),
        ("/v1/jobs", "application/json", 413),
        (f"/v1/models/{NOBODY}/predict", "text/csv", 413),
    ],
)
def test_who_sends_everything_first_reads_why_it_was_refused(
    service: httpx2.Client, path: str, kind: str, status: int, *, chunked: bool
) -> None:
    answered, body = sent_whole(service, path, kind, chunked=chunked)

    assert (answered, json.loads(body)["status"]) == (status, status)


def test_our_client_is_told_why_however_large_its_file(
    service: httpx2.Client, tmp_path: Path
) -> None:
    path = tmp_path / "large.csv"
    path.write_bytes(b"a\n" + BLOCK * N_BLOCKS)

    with Client(str(service.base_url)) as client, pytest.raises(BodyTooLarge, match="1048576"):
        client.upload(path)


def test_a_refusal_goes_out_before_the_rest_has_come(service: httpx2.Client) -> None:
    port = service.base_url.port
    head = f"POST /v1/datasets HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: text/odd\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=3) as connection:
        connection.sendall(f"{head}Content-Length: 1000000\r\n\r\nfirst".encode())
        answer = connection.recv(2**16)

    assert answer.startswith(b"HTTP/1.1 415")
