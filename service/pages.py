"""The dashboard's built files, read once: what they are, how they are sent, what they may load."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.responses import Response

__all__ = ["WEB", "Page", "assets", "index"]

WEB = Path(__file__).with_name("web")
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Scripts and styles of its own files and nothing else: no inline code, no other origin, no frame.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
YEAR = "public, max-age=31536000, immutable"  # an asset's name holds a hash of its content


@dataclass(frozen=True)
class Page:
    """A built file, as it is and as gzip."""

    content: bytes
    packed: bytes
    headers: dict[str, str]

    def response(self, *, accept_encoding: str, if_none_match: str) -> Response:
        """Send it, packed where the browser can unpack it; 304 where the browser has it."""
        if if_none_match == self.headers["etag"]:
            return Response(status_code=304, headers=self.headers)
        if "gzip" in accept_encoding:
            return Response(self.packed, headers=self.headers | {"content-encoding": "gzip"})
        return Response(self.content, headers=self.headers)


@cache
def index() -> Page | None:
    """Read the page, the first time it is asked for; None in a checkout without it."""
    path = WEB / "index.html"
    if not path.exists():
        return None
    return _read(path, **{"content-security-policy": POLICY, "cache-control": "no-cache"})


@cache
def assets() -> dict[str, Page]:
    """Read what the page loads, by file name."""
    files = sorted((WEB / "assets").glob("*.*"))
    return {path.name: _read(path, **{"cache-control": YEAR}) for path in files}


def _read(path: Path, **headers: str) -> Page:
    content = path.read_bytes()
    return Page(
        content,
        gzip.compress(content, mtime=0),
        {
            "content-type": MEDIA_TYPES[path.suffix],
            "etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
            "vary": "accept, accept-encoding",
            **headers,
        },
    )
