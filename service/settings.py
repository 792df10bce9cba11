"""The service's settings: environment variables DESCEND_…, read once by service.app."""

from pathlib import Path

from pydantic import Field

from descend.limits import Limits
from storage.settings import StorageSettings

__all__ = ["ServiceSettings"]


class ServiceSettings(StorageSettings):
    """What one API process needs to know."""

    host: str = Field("127.0.0.1", description="address to serve; any but loopback needs a key")
    port: int = Field(8000, ge=0, le=65535, description="0: any free one")
    broker_url: str = Field("", description="the doorbell's Redis; empty: workers only poll")
    api_key_file: Path | None = Field(
        None, description="a file with the one API key, dsc_<id>_<secret>; none: no key is asked"
    )
    limits: Limits = Field(Limits(), description="a JSON object: what the server accepts")
    most_waiting: int = Field(
        1000, ge=1, description="requests that may wait for jobs at once; 503 beyond"
    )
    most_streams: int = Field(
        1000, ge=1, description="event streams that may be open at once; 503 beyond"
    )
    most_connections: int = Field(
        10_000,
        ge=1,
        description="connections at once, fewer where there are not so many descriptors; the next"
        " takes the place of one without a request, or 503",
    )
    head_seconds: float = Field(
        10.0, gt=0, description="for a request's head to come; then 408 and the connection ends"
    )
    body_seconds: float = Field(
        30.0, gt=0, description="for a KiB more of a body to come; then 408 and the connection ends"
    )
    body_memory_bytes: int = Field(
        512 * 2**20,
        ge=16 * 2**20,
        description="what JSON bodies above 256 KiB may cost together, each ten times its bytes;"
        " others wait, 503 after 30 s",
    )
    reconcile_seconds: float = Field(
        2.0, gt=0, description="between two searches for lost leases and unheard bells, jittered"
    )
    ingest_processes: int = Field(2, ge=1, description="uploaded files read at the same time")
    ingest_memory_bytes: int = Field(
        4 * 2**30, ge=2**29, description="what reading a file may allocate; beyond it is refused"
    )
    ingest_seconds: float = Field(
        600.0, gt=0, description="what reading a file may take; beyond it is refused"
    )
