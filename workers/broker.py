"""The worker's end of the broker: what cannot be read there is thrown away, and ends nobody.

kombu lets whatever is wrong with an element of the list end the whole worker; whoever can write to
the broker could stop every worker with one push. A ring carries nothing that would be missed.
"""

from contextlib import suppress
from queue import Empty
from typing import Any

import structlog
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as of_kombu
from redis.exceptions import RedisError

__all__ = ["use_forgiving_broker"]

log = structlog.get_logger()


def use_forgiving_broker() -> None:
    """Have this process read redis:// and redis+socket:// by the classes below."""
    TRANSPORT_ALIASES["redis"] = f"{__name__}:ForgivingTransport"


class ForgivingQoS(of_kombu.QoS):
    """Forgets what it cannot restore."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002  kombu's
        try:
            super().restore_by_tag(tag, client, leftmost)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            _note(error)
            self._remove_from_indices(tag).execute()


class ForgivingChannel(of_kombu.Channel):
    """Reads on after what is no message."""

    QoS = ForgivingQoS

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except (ValueError, TypeError, RecursionError) as error:
            _note(error)
            raise Empty from None  # as if there had been nothing


class ForgivingTransport(of_kombu.Transport):
    """Delivers on after a message that Celery cannot take."""

    Channel = ForgivingChannel

    def _deliver(self, message: Any, queue: str) -> None:
        try:
            super()._deliver(message, queue)
        except (OSError, RedisError):
            raise  # the connection
        except Exception as error:  # noqa: BLE001  whatever somebody has written
            _note(error)
            self._let_go(message)

    def _let_go(self, message: Any) -> None:
        """Acknowledge what was taken and raised: else it counts as being worked on, for ever."""
        with suppress(KeyError, TypeError):  # it has no tag, or none that could be kept
            tag = message["properties"]["delivery_tag"]
            for channel in self.channels:
                if tag in channel.qos._delivered:  # noqa: SLF001
                    channel.basic_ack(tag)


def _note(error: Exception) -> None:
    log.warning("ring_unreadable", reason=type(error).__name__)
