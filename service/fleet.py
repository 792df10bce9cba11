"""The fleet's metrics, read from the database at a scrape: every process gives the same answer.

One thread reads, for all who ask, and what it read is kept for a second. A database that is away
keeps nobody waiting for longer than half a second: its metrics are then left out.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from descend.errors import DescendError
from descend.jobs import QUEUES, JobState
from service.metric_names import FLEET
from storage import counters
from storage.database import Database
from storage.fleet import Fleet, WorkerSeen

__all__ = ["FleetReader", "fleet_families"]

KEPT_SECONDS = 1.0
PATIENCE_SECONDS = 0.5
LIVE_SECONDS = 15.0

COUNTED = {
    "descend_jobs_ended_total": counters.JOBS_ENDED,
    "descend_job_failures_total": counters.JOB_FAILURES,
    "descend_jobs_requeued_total": counters.JOBS_REQUEUED,
    "descend_leases_lost_total": counters.LEASES_LOST,
    "descend_epochs_total": counters.EPOCHS,
    "descend_runner_restarts_total": counters.RUNNER_RESTARTS,
}


@dataclass(frozen=True)
class Reading:
    """What was read, how long that took, and when."""

    fleet: Fleet
    seconds: float
    at: float


class FleetReader:
    """Reads the fleet's state, at most once a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="fleet")
        self._lock = threading.Lock()
        self._reading: Future[Reading] | None = None

    def read(self) -> Reading | None:
        """Return a reading that is at most a second old; None where the database is away."""
        with self._lock:
            reading = self._reading
            if reading is None or (reading.done() and not _is_fresh(reading)):
                reading = self._reading = self._threads.submit(self._read)
        try:
            return reading.result(PATIENCE_SECONDS)
        except (Late, DescendError):
            return None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _read(self) -> Reading:
        began = time.monotonic()
        with self._database.read() as tx:
            fleet = tx.fleet.read()
        return Reading(fleet, time.monotonic() - began, began)


def _is_fresh(reading: Future[Reading]) -> bool:
    if reading.exception() is not None:
        return False
    return time.monotonic() - reading.result().at < KEPT_SECONDS


def fleet_families(reading: Reading) -> Iterator[Metric]:
    """Write a reading as metrics."""
    fleet = reading.fleet
    yield from _queues(fleet)
    yield _claim_wait(fleet)
    for name, counter in COUNTED.items():
        yield _counter(name, (one for one in fleet.counts if one.name == counter))
    yield from _workers(fleet.workers)
    took = _gauge("descend_database_read_seconds")
    took.add_metric([], reading.seconds)
    yield took


def _queues(fleet: Fleet) -> Iterator[Metric]:
    jobs, oldest = _gauge("descend_jobs"), _gauge("descend_queue_oldest_seconds")
    loads = {(load.queue, load.state): load for load in fleet.loads}
    for queue in QUEUES:
        for state in (JobState.QUEUED, JobState.RUNNING):
            load = loads.get((queue, state))
            jobs.add_metric([queue, state.value], load.jobs if load else 0)
        first = loads.get((queue, JobState.QUEUED))
        oldest.add_metric([queue], first.oldest_seconds if first else 0)
    yield jobs
    yield oldest


def _claim_wait(fleet: Fleet) -> Metric:
    metric = FLEET["descend_claim_wait_seconds"]
    family = HistogramMetricFamily(metric.family, metric.help, labels=metric.labels)
    ends = [*counters.CLAIM_WAIT_BUCKETS, float("inf")]
    for queue in QUEUES:
        found = {
            float(one.labels[1]): one.value
            for one in fleet.counts
            if one.name == counters.CLAIM_WAIT and one.labels[0] == queue
        }
        so_far, buckets = 0.0, []
        for end in ends:
            so_far += found.get(end, 0.0)
            buckets.append(("+Inf" if end == float("inf") else str(end), so_far))
        total = sum(
            one.value
            for one in fleet.counts
            if one.name == counters.CLAIM_WAIT_SECONDS and one.labels == (queue,)
        )
        family.add_metric([queue], buckets, total)
    return family


def _counter(name: str, counted: Iterable[counters.Count]) -> Metric:
    metric = FLEET[name]
    family = CounterMetricFamily(metric.family, metric.help, labels=metric.labels)
    known = [(value,) for value in metric.known] if metric.labels else [()]
    found = {**dict.fromkeys(known, 0.0), **{one.labels: one.value for one in counted}}
    for labels, value in found.items():
        family.add_metric(labels, value)
    return family


def _workers(workers: Iterable[WorkerSeen]) -> Iterator[Metric]:
    live, silent = _gauge("descend_workers"), _gauge("descend_worker_last_seen_seconds")
    seen = tuple(workers)
    for queue in QUEUES:
        ages = [worker.seconds for worker in seen if queue in worker.queues]
        live.add_metric([queue], sum(age <= LIVE_SECONDS for age in ages))
        if ages:
            silent.add_metric([queue], min(ages))
    yield live
    yield silent
    yield from _told([worker for worker in seen if worker.seconds <= LIVE_SECONDS])


def _told(live: list[WorkerSeen]) -> Iterator[Metric]:
    """Write what live workers say of themselves."""
    slots, gpu = _gauge("descend_slots"), _gauge("descend_gpu_memory_bytes")
    for state in ("busy", "idle"):
        slots.add_metric([state], sum(_stat(worker.stats, f"slots_{state}") for worker in live))
    for worker in live:
        if total := _stat(worker.stats, "gpu_total_bytes"):
            gpu.add_metric([worker.worker_id, "total"], total)
            gpu.add_metric([worker.worker_id, "used"], _stat(worker.stats, "gpu_used_bytes"))
    yield slots
    yield gpu


def _stat(stats: Mapping[str, float], name: str) -> float:
    return float(stats.get(name, 0.0))


def _gauge(name: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, FLEET[name].help, labels=FLEET[name].labels)
