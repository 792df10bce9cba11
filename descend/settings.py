"""What the client takes from the environment: DESCEND_URL and DESCEND_API_KEY, nothing else.

Besides the two processes' settings classes and `descend.cli` this is the only module that reads
the environment (decision 0010): a notebook has no command line to hand the values down.
"""

import os
from dataclasses import dataclass, field

__all__ = ["DEFAULT_URL", "ClientSettings"]

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class ClientSettings:
    """Where the server is, and the key it asks for; the key is not in the repr."""

    url: str = DEFAULT_URL
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls) -> "ClientSettings":
        environment = os.environ  # noqa: TID251  decision 0010
        return cls(
            url=environment.get("DESCEND_URL") or DEFAULT_URL,
            api_key=environment.get("DESCEND_API_KEY") or None,
        )
