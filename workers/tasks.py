"""The one task: an adapter of a line. It may come twice, late or never, and nothing breaks."""

from collections.abc import Callable

from celery import Celery

from descend.jobs import WAKE_TASK

__all__ = ["register"]


def register(celery: Celery, ring: Callable[[], None]) -> None:
    """Have the doorbell's message ring the supervisor; its thread claims, not this one."""

    @celery.task(name=WAKE_TASK, ignore_result=True)
    def wake(queue: str) -> None:  # noqa: ARG001  every queue of this worker is looked at
        ring()
