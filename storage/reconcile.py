"""The tick of every process: any number of copies is harmless, for the SQL is idempotent."""

from descend.jobs import QUEUES
from storage.database import Database

__all__ = ["UNHEARD_SECONDS", "reconcile"]

# A job that waits this long may have lost its bell; where the workers are only busy, one more
# ring costs half a millisecond.
UNHEARD_SECONDS = 5.0


def reconcile(database: Database) -> list[str]:
    """Give jobs with expired leases back; name the queues whose workers should be woken."""
    with database.begin() as tx:
        rescued = tx.jobs.rescue()
    if rescued:
        return list(QUEUES)
    with database.read() as tx:
        waited = {queue: tx.jobs.oldest_queued_seconds(queue) for queue in QUEUES}
    return [queue for queue, seconds in waited.items() if (seconds or 0) > UNHEARD_SECONDS]
