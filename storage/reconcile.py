"""The tick of every process: any number of copies is harmless, for the SQL is idempotent."""

from dataclasses import replace

from descend.jobs import QUEUES
from storage.artefacts import FACTORS, LocalArtefacts
from storage.database import Database
from storage.vigil import Vigil

__all__ = ["ORPHAN_SECONDS", "UNHEARD_SECONDS", "reconcile", "rescue", "sweep"]

# Bytes come before their row: what no row names may still get one, but not after a day.
ORPHAN_SECONDS = 24 * 3600.0

# A worker that was killed never signs off; for a day it can be seen how long it has been silent.
SILENT_SECONDS = 24 * 3600.0

# A job that waits this long may have lost its bell; where the workers are only busy, one more
# ring costs half a millisecond.
UNHEARD_SECONDS = 5.0


def rescue(database: Database, vigil: Vigil) -> list[str]:
    """Give jobs back whose lease ran out while this process watched; return their ids.

    Where none did, no write lock is taken.
    """
    with database.read() as tx:
        expired = tx.jobs.expired()
    vigil.saw(expired.clock / 1e6)
    believed = frozenset(lease for lease in expired.leases if vigil.lasts(lease / 1e6))
    if not believed:
        return []
    with database.begin() as tx:
        return tx.jobs.rescue(replace(expired, leases=believed))


def reconcile(database: Database, vigil: Vigil) -> list[str]:
    """Give jobs with expired leases back; name the queues whose workers should be woken."""
    if rescue(database, vigil):
        return list(QUEUES)
    with database.read() as tx:
        waited = {queue: tx.jobs.oldest_queued_seconds(queue) for queue in QUEUES}
    return [queue for queue, seconds in waited.items() if (seconds or 0) > UNHEARD_SECONDS]


def sweep(database: Database, artefacts: LocalArtefacts) -> list[str]:
    """Delete what killed uploads, workers and lost transactions left behind; return the keys."""
    with database.read() as tx:
        named, living = tx.datasets.artefacts(), tx.datasets.ids()

    def keep(key: str) -> bool:
        """What rows name, and what is kept beside a dataset that is still there."""
        kind, _, rest = key.partition("/")
        return key in named or (kind == FACTORS and rest.partition("/")[0] in living)

    swept = artefacts.sweep(keep, ORPHAN_SECONDS)
    with database.begin() as tx:  # after it: a full disk has room for this only then
        tx.workers.forget_silent(SILENT_SECONDS)
    return swept
