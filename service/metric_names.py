"""Every metric of /metrics: name, type, labels, meaning. docs/reference.md says the same.

`FLEET` is read from the database and is the same at every API process; `PROCESS` is of the process
that answers.
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["BUILT_IN", "FLEET", "PROCESS", "Metric"]


@dataclass(frozen=True)
class Metric:
    """One family. `labels`: their values are words of ours, so that their number is bounded."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    # Values shown from the start: of a series that begins with its first event, rate() sees none.
    known: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The name as prometheus_client wants it."""
        return self.name.removesuffix("_total")


def _named(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


FLEET = _named(
    Metric("descend_jobs", "gauge", "Jobs that have not ended", ("queue", "state")),
    Metric(
        "descend_queue_oldest_seconds",
        "gauge",
        "For how long the oldest queued job could have been claimed; 0 where none waits",
        ("queue",),
    ),
    Metric(
        "descend_claim_wait_seconds",
        "histogram",
        "From the moment a job could be claimed to its claim",
        ("queue",),
    ),
    Metric(
        "descend_jobs_ended_total",
        "counter",
        "Jobs that ended; counted with their end, and kept when the job is deleted",
        ("kind", "state", "engine"),
    ),
    Metric(
        "descend_job_failures_total",
        "counter",
        "Jobs that ended as failed or quarantined, by the code of their error",
        ("code",),
        known=(
            "diverged",
            "crashed",
            "internal_error",
            "gpu_oom",
            "device_unavailable",
            "invalid_dataset",
            "corrupt_artefact",
        ),
    ),
    Metric(
        "descend_jobs_requeued_total",
        "counter",
        "Running jobs that went back to the queue",
        ("cause",),
        known=("drained", "rebalanced", "runner_lost", "lease_expired"),
    ),
    Metric(
        "descend_leases_lost_total",
        "counter",
        "Leases that ran out because their worker was silent",
    ),
    Metric(
        "descend_epochs_total",
        "counter",
        "Epochs trained, those repeated after a crash too; counted with each report",
    ),
    Metric(
        "descend_runner_restarts_total",
        "counter",
        "Training processes that ended and were replaced; workers tell every 5 seconds",
        ("cause",),
        known=("retired", "killed", "exited", "hung", "not_let_go", "cuda_fault", "server_died"),
    ),
    Metric("descend_workers", "gauge", "Workers that were seen in the last 15 seconds", ("queue",)),
    Metric(
        "descend_worker_last_seen_seconds",
        "gauge",
        "Since the last sign of life of any worker; absent after a day without one",
        ("queue",),
    ),
    Metric("descend_slots", "gauge", "Training processes of live workers", ("state",)),
    Metric(
        "descend_gpu_memory_bytes",
        "gauge",
        "Memory of the GPU that a live worker has used, as the driver counts it",
        ("worker", "kind"),
    ),
    Metric(
        "descend_database_read_seconds",
        "gauge",
        "What reading the metrics above took the last time",
    ),
)

PROCESS = _named(
    Metric("descend_database_up", "gauge", "1 if the database answered this scrape in time"),
    Metric(
        "descend_database_write_seconds",
        "histogram",
        "From the wish to write to the rows being durable",
    ),
    Metric(
        "descend_http_requests_total",
        "counter",
        "Requests answered; a path of no route is unmatched",
        ("route", "method", "status"),
    ),
    Metric(
        "descend_http_request_seconds",
        "histogram",
        "Until the answer began; a long-poll counts what it waited",
        ("route",),
    ),
    Metric(
        "descend_request_errors_total",
        "counter",
        "Refusals, by the code of their problem",
        ("code",),
    ),
    Metric("descend_event_streams", "gauge", "Event streams that are open"),
    Metric("descend_long_polls", "gauge", "Requests that wait for a job's end"),
    Metric(
        "descend_upload_bytes_total",
        "counter",
        "Bytes of uploads and of files to predict received, as sent",
    ),
    Metric("descend_uploads_total", "counter", "Uploads, by what became of them", ("outcome",)),
    Metric(
        "descend_ingest_children_lost_total",
        "counter",
        "Processes reading a file that broke, took too long or ran out of memory; each is replaced",
        ("cause",),
    ),
    Metric(
        "descend_doorbell_rings_total",
        "counter",
        "Messages to wake workers; one that failed costs a second, for workers poll",
        ("outcome",),
    ),
    Metric("descend_disk_free_bytes", "gauge", "Room left where artefacts and the SQLite file are"),
    Metric("descend_build_info", "gauge", "Always 1", ("version",)),
)

# prometheus_client's ProcessCollector; Linux only.
BUILT_IN = (
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
)
