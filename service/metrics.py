"""What one API process measures of itself, and its page of metrics with the fleet's.

prometheus-fastapi-instrumentator is not used: it looks for the route of every request a second
time. Here the route is the one that FastAPI found (service.witness).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from service.dependencies import Parts
from service.fleet import FleetReader, fleet_families
from service.metric_names import PROCESS
from storage.timings import Timings

__all__ = ["MEDIA_TYPE", "HttpMetrics", "MetricsPage"]

BUILD = {version("descend"): 1}
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)

# What is asked at a scrape: a number, or one for each value of the metric's label.
Source = Callable[[], float | Mapping[str, float]]


class HttpMetrics:
    """Requests: some microseconds each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        requests = PROCESS["descend_http_requests_total"]
        seconds = PROCESS["descend_http_request_seconds"]
        errors = PROCESS["descend_request_errors_total"]
        self._requests = Counter(requests.family, requests.help, requests.labels, registry=registry)
        self._seconds = Histogram(
            seconds.family,
            seconds.help,
            seconds.labels,
            registry=registry,
            buckets=REQUEST_BUCKETS,
        )
        self._errors = Counter(errors.family, errors.help, errors.labels, registry=registry)
        self._known: dict[tuple[str, str, int], Counter] = {}
        self._timed: dict[str, Histogram] = {}

    def answered(self, route: str, method: str, status: int) -> None:
        key = (route, method, status)
        counter = self._known.get(key)
        if counter is None:
            counter = self._known[key] = self._requests.labels(route, method, str(status))
        counter.inc()

    def began(self, route: str, seconds: float) -> None:
        histogram = self._timed.get(route)
        if histogram is None:
            histogram = self._timed[route] = self._seconds.labels(route)
        histogram.observe(seconds)

    def refused(self, code: str) -> None:
        self._errors.labels(code).inc()


class MetricsPage:
    """All metrics that an API process shows, as Prometheus reads them."""

    def __init__(self, parts: Parts) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._fleet = FleetReader(parts.database)
        self.http = HttpMetrics(self._registry)
        self._registry.register(_Fleet(self._fleet))
        self._registry.register(_Process(_sources(parts), parts.database.writes))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def close(self) -> None:
        self._fleet.close()


def _sources(parts: Parts) -> dict[str, Source]:
    return {
        "descend_event_streams": lambda: parts.seats.taken,
        "descend_long_polls": lambda: parts.watcher.waiting,
        "descend_upload_bytes_total": lambda: parts.uploads.received_bytes,
        "descend_uploads_total": lambda: parts.uploads.outcomes,
        "descend_ingest_children_lost_total": lambda: parts.files.lost,
        "descend_doorbell_rings_total": lambda: parts.doorbell.rings,
        "descend_disk_free_bytes": lambda: _free_bytes(parts),
        "descend_build_info": lambda: BUILD,
    }


def _free_bytes(parts: Parts) -> float:
    try:
        return parts.disk.free_bytes()
    except OSError:
        return math.nan


class _Fleet(Collector):
    def __init__(self, fleet: FleetReader) -> None:
        self._fleet = fleet

    def describe(self) -> Iterable[Metric]:
        return []  # registering must not read the database

    def collect(self) -> Iterator[Metric]:
        reading = self._fleet.read()
        up = _family("descend_database_up")
        up.add_metric([], float(reading is not None))
        yield up
        if reading is not None:
            yield from fleet_families(reading)


class _Process(Collector):
    """What parts of the process know anyway, asked at a scrape."""

    def __init__(self, sources: dict[str, Source], writes: Timings) -> None:
        self._sources = sources
        self._writes = writes

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        for name, source in self._sources.items():
            family = _family(name)
            value = source()
            if isinstance(value, Mapping):
                for label, number in value.items():
                    family.add_metric([label], number)
            else:
                family.add_metric([], value)
            yield family
        yield self._written()

    def _written(self) -> Metric:
        metric = PROCESS["descend_database_write_seconds"]
        buckets, seconds = self._writes.snapshot()
        family = HistogramMetricFamily(metric.family, metric.help, labels=metric.labels)
        ends = [("+Inf" if end == float("inf") else str(end), n) for end, n in buckets]
        family.add_metric([], ends, seconds)
        return family


def _family(name: str) -> CounterMetricFamily | GaugeMetricFamily:
    metric = PROCESS[name]
    kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    return kind(metric.family, metric.help, labels=metric.labels)
