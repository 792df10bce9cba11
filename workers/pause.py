"""How long a worker claims nothing after there was no room: until there is."""

import random
import time
from pathlib import Path

import structlog

__all__ = ["Pause"]

LOOK_SECONDS = 0.5
PROBE_BYTES = 2**20
# A probe found room, and what was claimed then did not, again: that needs more than the probe does.
TRIES_AT_ONCE = 3
FIRST_SECONDS = 5.0
LONGEST_SECONDS = 300.0

log = structlog.get_logger()


class Pause:
    """Ends as soon as a mebibyte can be written; when that was not enough, ever later."""

    def __init__(self) -> None:
        self.until = 0.0  # the next look
        self._n_begun = 0
        self._lasts = False

    @property
    def lasts(self) -> bool:
        return self._lasts

    def begin(self) -> None:
        self._n_begun += 1
        self._lasts = True
        in_vain = self._n_begun - TRIES_AT_ONCE
        seconds = min(FIRST_SECONDS * 2.0 ** (in_vain - 1), LONGEST_SECONDS) if in_vain > 0 else 0
        self.until = time.monotonic() + max(LOOK_SECONDS, seconds * random.uniform(0.5, 1.0))  # noqa: S311

    def is_over(self, folder: Path) -> bool:
        """Look whether there is room again, where there was none; the next look is put off."""
        if self._lasts:
            self._lasts = not _has_room(folder)
            self.until = time.monotonic() + LOOK_SECONDS
            if not self._lasts:
                log.info("room_again", tried=self._n_begun)
        return not self._lasts

    def end(self) -> None:
        """What was to be written was: the next time is the first."""
        self._n_begun = 0


def _has_room(folder: Path) -> bool:
    """Try: quotas and limits on files' sizes are not seen in the number of free blocks."""
    probe = folder / "probe"
    try:
        probe.write_bytes(bytes(PROBE_BYTES))
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)
    return True
