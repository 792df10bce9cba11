"""The Celery app of a worker and its settings, each with its reason.

Celery carries one thing: a ring. The job is the row, so nothing is acknowledged late, retried,
scheduled or kept by Celery. This module and no other of this package reads the environment.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import structlog
from celery import Celery, signals
from kombu.entity import Queue

from descend.pulse import Pulse
from storage import logs
from storage.database import Database
from storage.private_files import keep_private
from workers.broker import use_forgiving_broker
from workers.settings import WorkerSettings
from workers.supervisor import Supervisor
from workers.tasks import register
from workers.watchdog import Watchdog

__all__ = ["Worker", "build", "celery_settings"]

JOIN_SECONDS = 15.0  # a drain takes at most 5, and longer while the fork server still imports

log = structlog.get_logger()


class Worker:
    """A worker process: Celery in the main thread, the supervisor beside it, watched."""

    def __init__(
        self,
        celery: Celery,
        supervisor: Supervisor,
        watchdog: Watchdog,
        settings: WorkerSettings,
    ) -> None:
        self.celery = celery
        self.supervisor = supervisor
        self._watchdog = watchdog
        self._settings = settings
        # Celery keeps weak references to receivers: these are held by this object.
        signals.worker_init.connect(self._start)
        signals.setup_logging.connect(self._setup_logging)
        signals.worker_shutting_down.connect(self._drain)
        signals.worker_shutdown.connect(self._join)

    def run(self) -> int:
        """Work until SIGTERM; return the exit status."""
        settings = self._settings
        keep_private()
        logs.configure("worker", form=settings.log_format, level=settings.log_level)
        structlog.contextvars.bind_contextvars(worker_id=self.supervisor.worker_id)
        argv = ["--quiet", "worker", "-n", f"{self.supervisor.worker_id}@%h", "-l", "WARNING"]
        # Neither is needed, and without them a reconnect has fewer parts to get stuck in.
        argv += ["--without-gossip", "--without-mingle"]
        try:
            self.celery.worker_main(argv)
            status = 0
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else 1
        self._join()
        if self.supervisor.is_alive():
            # It hangs in the database: what it holds comes back by its lease. Runners end with us.
            log.error("supervisor_did_not_end")
            os._exit(1)
        return 1 if self.supervisor.failed else status

    def _start(self, **_: Any) -> None:
        """Not at worker_ready, which never comes while the broker is down; jobs do not need it."""
        try:
            self.supervisor.start()
            self._watchdog.start()
        except RuntimeError:
            # Celery logs what a signal's receiver raises, and goes on: deaf.
            log.exception("supervisor_not_started")
            sys.exit(1)

    def _setup_logging(self, **_: Any) -> None:
        """Being connected keeps Celery from replacing the handlers."""

    def _drain(self, **_: Any) -> None:
        """Called in a signal handler: sets a flag and sends a byte."""
        self.supervisor.drain()

    def _join(self, **_: Any) -> None:
        self._watchdog.close()  # the drain has limits of its own
        self.supervisor.drain()
        if self.supervisor.is_alive() and not self._watchdog.found_it_hanging:
            self.supervisor.join(JOIN_SECONDS)


def build(settings: WorkerSettings | None = None, *, database: Database | None = None) -> Worker:
    """Build a worker.

    Args:
        settings: read from the environment where absent.
        database: opened from the settings where absent.
    """
    settings = settings or WorkerSettings()
    pulse = Pulse(settings.pulse_fd)
    supervisor = Supervisor(database or Database(settings.url), settings, pulse=pulse)
    watchdog = Watchdog(pulse, supervisor, deaf_seconds=settings.deaf_seconds)
    use_forgiving_broker()
    celery = Celery("descend", broker=settings.broker_url, set_as_current=False)
    celery.conf.update(celery_settings(slots=settings.slots, queues=settings.queues))
    register(celery, supervisor.ring)
    return Worker(celery, supervisor, watchdog, settings)


def celery_settings(*, slots: int, queues: Sequence[str]) -> dict[str, Any]:
    """State every setting that differs from Celery's default, or must not drift with it."""
    return {
        **SETTINGS,
        "worker_concurrency": slots,
        # A misspelt queue fails at start instead of being made and never rung.
        "task_queues": [Queue(f"descend.{queue}") for queue in queues],
        "task_create_missing_queues": False,
    }


SETTINGS: dict[str, Any] = {
    # The database has the results; a backend keeps keys for ever and leaks subscriptions.
    "task_ignore_result": True,
    "result_backend": None,
    # Early: a ring has nothing to redeliver. Late acks ran a long task three times at once.
    "task_acks_late": False,
    # The lease covers a lost worker; redelivery could only loop.
    "task_reject_on_worker_lost": False,
    "broker_transport_options": {
        # Bounds the junk in `unacked`, nothing else: rings are acknowledged at once.
        "visibility_timeout": 300,
        # The default, none, hung for more than 45 s on a network that drops packets.
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        # Finds half-open sockets: deaf for 19 s after a 110 s drop, instead of for ever.
        "health_check_interval": 10,
    },
    # Survive any order of starting, and any outage; meanwhile the supervisor polls.
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # A queue that is no list, a command that is not permitted: again later, like an outage.
    "broker_channel_error_retry": True,
    # Threads: nothing forks (CUDA, locks), and the main loop stays alive to be signalled.
    # The solo pool loses tasks at SIGTERM and cannot hear it while one runs.
    "worker_pool": "threads",
    # A hoarded ring is a ring not heard; the claim is in the database, so it hardly matters.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    # A two-second blip of the broker must not end hours of training.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # Has no effect on threads, and loses tasks on solo.
    "worker_soft_shutdown_timeout": 0.0,
    # Never pickle: who can write to the broker could otherwise run code here.
    "accept_content": ["json"],
    "task_serializer": "json",
    "result_serializer": "json",
    # Fewer sockets, and nobody who can write to the broker can shut this worker down.
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    # The logs are ours, JSON; nothing printed becomes a log line.
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "enable_utc": True,
}
