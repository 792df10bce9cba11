"""File descriptors: as many as the system lets this process have, and limits that fit them."""

import resource

import structlog

from service.settings import ServiceSettings

__all__ = ["fitted", "raise_to_hard_limit"]

MOST = 65_536  # no more than that is of use, and some programs walk over all they may have
OWN = 128  # database, files, pipes to children, what libraries hold
FEW = 1024


def raise_to_hard_limit() -> int:
    """Raise this process's limit as far as it may; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft if soft != resource.RLIM_INFINITY else MOST
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def fitted(settings: ServiceSettings) -> ServiceSettings:
    """Lower the limits on connections, waiters and streams to what there are descriptors for.

    Where a limit is met the service says 503; where descriptors run out the system closes a
    connection unheard, whoever's it is.
    """
    n_descriptors = raise_to_hard_limit()
    room = max(n_descriptors - OWN, n_descriptors // 2)
    if n_descriptors < FEW:
        structlog.get_logger("service").warning("few_descriptors", limit=n_descriptors)
    most = min(settings.most_connections, room)
    return settings.model_copy(
        update={
            "most_connections": most,
            "most_waiting": min(settings.most_waiting, max(1, most // 2)),
            "most_streams": min(settings.most_streams, max(1, most // 2)),
        }
    )
