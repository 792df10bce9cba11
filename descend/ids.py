"""Prefixed, time-ordered ids: ds_, job_, mdl_, wrk_ over UUIDv7 (RFC 9562 section 5.7)."""

import secrets
import threading
import time
import uuid
from typing import Literal

__all__ = ["ID_PATTERNS", "new_id", "uuid7"]

Prefix = Literal["ds", "job", "mdl", "wrk"]

ID_PATTERNS: dict[Prefix, str] = {
    prefix: f"^{prefix}_[0-9a-f]{{32}}$" for prefix in ("ds", "job", "mdl", "wrk")
}

_lock = threading.Lock()
_last = 0


def uuid7() -> uuid.UUID:
    """Make a UUIDv7 that sorts after every earlier one of this process.

    48 bits of milliseconds and, in rand_a's 12 bits, a fraction of the millisecond; where two
    calls meet in one tick the later is moved on by one (RFC 9562 section 6.2, method 3).
    """
    global _last  # noqa: PLW0603  one clock per process
    with _lock:
        nanoseconds = time.time_ns()
        ticks = (nanoseconds // 1_000_000 << 12) | ((nanoseconds % 1_000_000) * 4096 // 1_000_000)
        _last = max(_last + 1, ticks)
        ticks = _last
    value = (ticks >> 12) << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64 | 0b10 << 62
    return uuid.UUID(int=value | secrets.randbits(62))


def new_id(prefix: Prefix) -> str:
    """Make an id such as `job_0193…` (32 hexadecimal digits)."""
    return f"{prefix}_{uuid7().hex}"
