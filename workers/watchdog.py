"""Ends a worker whose supervisor hangs: it would be alive, and deaf, for ever.

`descend up` listens from outside too; under compose and systemd there is only this, and whoever
starts what has ended.
"""

import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import structlog

from descend.pulse import Pulse, Silence
from storage.vital_threads import VitalThread, end_this_process

__all__ = ["Watchdog"]

LOOK_SECONDS = 0.5

log = structlog.get_logger()


class Watchdog:
    """Looks twice a second whether the pulse was touched.

    Args:
        watched: the thread that touches; where it hangs is logged before the end.
        deaf_seconds: how long its silence is borne.
    """

    def __init__(
        self,
        pulse: Pulse,
        watched: threading.Thread,
        *,
        deaf_seconds: float,
        on_failure: Callable[[], None] = end_this_process,
    ) -> None:
        self.found_it_hanging = False
        self._pulse = pulse
        self._watched = watched
        self._silence = Silence(deaf_seconds)
        self._on_failure = on_failure
        self._closing = threading.Event()
        self._thread = VitalThread(self._watch, "watchdog", on_failure=on_failure)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()

    def _watch(self) -> None:
        seen = 0
        while not self._closing.wait(LOOK_SECONDS):
            touches = self._pulse.touches
            self._silence.look(touched=touches != seen)
            seen = touches
            if self._silence.is_too_long:
                log.error(
                    "supervisor_hangs", seconds=round(self._silence.seconds), at=self._places()
                )
                self.found_it_hanging = True
                self._on_failure()
                return

    def _places(self) -> list[str]:
        """Say where in the code the thread is, the innermost last."""
        frame = sys._current_frames().get(self._watched.ident or 0)  # noqa: SLF001  the only way
        return [
            f"{'/'.join(Path(place.filename).parts[-2:])}:{place.lineno} {place.name}"
            for place in traceback.extract_stack(frame)[-8:]
        ]
