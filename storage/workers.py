"""Which worker processes are alive: for readiness, not for leases."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    Insert,
    bindparam,
    delete,
    func,
    select,
)

from storage.dialects import insert_for, now
from storage.tables import workers

__all__ = ["WorkerRepository"]


def _seen(dialect: str) -> Insert:
    given: dict[str, BindParameter[Any]] = {
        name: bindparam(name) for name in ("id", "host", "pid", "queues", "stats", "kernel")
    }
    return (
        insert_for(dialect, workers)
        .values(**given, started_at=now(), last_seen=now())
        .on_conflict_do_update(
            index_elements=[workers.c.id],
            set_={
                "last_seen": now(),
                "queues": bindparam("queues"),
                "stats": bindparam("stats"),
                "kernel": bindparam("kernel"),
            },
        )
    )


_SEEN = {dialect: _seen(dialect) for dialect in ("sqlite", "postgresql")}
_FORGET = delete(workers).where(workers.c.id == bindparam("my_worker"))
_FORGET_SILENT = delete(workers).where(
    workers.c.last_seen < now() - bindparam("my_within", type_=BigInteger)
)
_seen_lately = workers.c.last_seen >= now() - bindparam("my_within", type_=BigInteger)
_KERNELS = select(workers.c.id, workers.c.kernel, workers.c.queues).where(
    _seen_lately, workers.c.kernel != ""
)
_LIVE = select(func.count()).where(_seen_lately, workers.c.queues.contains(bindparam("my_queue")))
_STATS = select(workers.c.id, workers.c.queues, workers.c.stats).where(_seen_lately)


class WorkerRepository:
    """Worker processes, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def seen(
        self,
        worker_id: str,
        host: str,
        *,
        pid: int,
        queues: Collection[str],
        stats: Mapping[str, float] = {},
        kernel: str = "",
    ) -> None:
        """Note that this worker is alive now, and what it says of itself."""
        self._connection.execute(
            _SEEN[self._connection.dialect.name],
            {
                "id": worker_id,
                "host": host,
                "pid": pid,
                "queues": f",{','.join(queues)},",
                "stats": json.dumps(dict(stats)),
                "kernel": kernel,
            },
        )

    def forget(self, worker_id: str) -> None:
        """Note that this worker has gone, on purpose."""
        self._connection.execute(_FORGET, {"my_worker": worker_id})

    def forget_silent(self, seconds: float) -> int:
        """Forget the workers that were not seen for so long: killed, most likely."""
        silent = self._connection.execute(_FORGET_SILENT, {"my_within": round(seconds * 1e6)})
        return silent.rowcount

    def stats(self, within_seconds: float) -> list[dict[str, float]]:
        """Read what each worker that was seen within the last seconds says of itself."""
        within = {"my_within": round(within_seconds * 1_000_000)}
        return [json.loads(row.stats) for row in self._connection.execute(_STATS, within)]

    def live(self, queue: str, within_seconds: float) -> int:
        """Count the workers of this queue that were seen within the last seconds."""
        within = round(within_seconds * 1_000_000)
        return self._connection.scalar(_LIVE, {"my_within": within, "my_queue": f",{queue},"}) or 0

    def idle_slots(self, queue: str, *, within_seconds: float, but: str) -> int:
        """Count the idle slots of this queue's other live workers, as these said last."""
        within = {"my_within": round(within_seconds * 1_000_000)}
        return sum(
            int(json.loads(stats).get("slots_idle", 0))
            for worker_id, queues, stats in self._connection.execute(_STATS, within)
            if worker_id != but and f",{queue}," in queues
        )

    def other_kernels(
        self, kernel: str, *, queues: Collection[str], within_seconds: float
    ) -> dict[str, str]:
        """Find the live workers of these queues that compute with other kernels, by their ids.

        A job that moves between such workers may get other last bits than on one of them alone.
        """
        within = {"my_within": round(within_seconds * 1_000_000)}
        return {
            worker_id: other
            for worker_id, other, serves in self._connection.execute(_KERNELS, within)
            if other != kernel and set(queues) & set(serves.strip(",").split(","))
        }
