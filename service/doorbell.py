"""Rings the workers' doorbell: Celery messages by name, sent from a thread of its own.

A ring may be lost, doubled or late and nothing breaks (the row is the job): so nothing is retried
here, failures are only logged, and whoever rings never waits.
"""

import threading
from collections import Counter

import structlog
from celery import Celery

from descend.jobs import WAKE_TASK
from storage.vital_threads import VitalThread

__all__ = ["Doorbell"]

logger = structlog.get_logger(__name__)

SOCKET_SECONDS = 2
# A ring costs 0.5 ms of CPU: what is submitted within this time after one shares the next.
BURST_SECONDS = 0.02
EXPIRES_SECONDS = 60
CLOSE_SECONDS = 1.0


class Doorbell:
    """Wake workers through the broker; with an empty URL workers only poll."""

    def __init__(self, broker_url: str) -> None:
        self._celery = _sender(broker_url) if broker_url else None
        self.rings: Counter[str] = Counter(sent=0, failed=0)
        self._wanted: set[str] = set()
        self._rung = threading.Event()
        self._closing = threading.Event()
        self._thread = VitalThread(self._run, "doorbell")
        self._thread.start()

    def ring(self, queue: str) -> None:
        """Ask for the queue's workers to be woken; never blocks, never raises."""
        self._wanted.add(queue)
        self._rung.set()

    def check(self) -> str | None:
        """Say why the broker cannot be reached; None where it can."""
        if self._celery is None:
            return "no broker is configured: workers poll"
        try:
            with self._celery.connection_for_write() as connection:
                connection.default_channel.client.ping()
        except Exception as error:  # noqa: BLE001  whatever it is: a reason, not a failure of ours
            return f"the broker does not answer: {type(error).__name__}"
        return None

    def close(self) -> None:
        """Send what was asked for and end the thread; a broker that is away is not waited for."""
        self._closing.set()
        self._rung.set()
        self._thread.join(timeout=CLOSE_SECONDS)

    def _run(self) -> None:
        while True:
            self._rung.wait()
            self._rung.clear()
            while self._wanted:
                self._send(self._wanted.pop())
            if self._closing.wait(BURST_SECONDS) and not self._rung.is_set():
                return

    def _send(self, queue: str) -> None:
        if self._celery is None:
            return
        try:
            self._celery.send_task(
                WAKE_TASK,
                args=(queue,),
                queue=f"descend.{queue}",
                ignore_result=True,
                expires=EXPIRES_SECONDS,
                retry=False,
            )
        except Exception as error:  # noqa: BLE001  whatever stands in the broker, there are others
            self.rings["failed"] += 1
            logger.warning("ring_failed", queue=queue, reason=type(error).__name__)
        else:
            self.rings["sent"] += 1


def _sender(broker_url: str) -> Celery:
    sender = Celery("descend", broker=broker_url, set_as_current=False)
    sender.conf.update(
        task_ignore_result=True,
        task_publish_retry=False,
        broker_connection_timeout=SOCKET_SECONDS,
        broker_pool_limit=1,  # one thread sends
        broker_transport_options={
            # Without them a publish into a network that drops packets hangs for ever.
            "socket_timeout": SOCKET_SECONDS,
            "socket_connect_timeout": SOCKET_SECONDS,
            "socket_keepalive": True,
        },
    )
    return sender
