"""Celery's settings are those of the table, and none is misspelt; the process edges are kept."""

import re
from pathlib import Path

import pytest
from celery.app.defaults import DEFAULTS
from pydantic import ValidationError

from workers.app import celery_settings
from workers.runner import first_chunk, next_chunk
from workers.settings import WorkerSettings

WORKERS = Path(__file__).parents[2] / "workers"


def test_every_setting_is_one_of_celerys() -> None:
    settings = celery_settings(slots=1, queues=["cpu"])

    assert settings.keys() <= DEFAULTS.keys()


def test_celery_carries_rings_and_nothing_else() -> None:
    settings = celery_settings(slots=3, queues=["cpu", "cuda"])

    expected = {
        "task_ignore_result": True,
        "result_backend": None,
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "worker_pool": "threads",
        "worker_concurrency": 3,
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_soft_shutdown_timeout": 0.0,
        "accept_content": ["json"],
        "task_serializer": "json",
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "task_create_missing_queues": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }
    assert expected.items() <= settings.items()
    assert [queue.name for queue in settings["task_queues"]] == ["descend.cpu", "descend.cuda"]
    transport = settings["broker_transport_options"]
    assert transport["socket_timeout"] == 5
    assert transport["health_check_interval"] == 10


def test_queues_are_read_from_a_list_with_commas() -> None:
    assert WorkerSettings(queues="cuda, cpu").queues == ("cuda", "cpu")  # type: ignore[arg-type]


def test_an_unknown_queue_is_refused() -> None:
    with pytest.raises(ValidationError, match="unknown queues"):
        WorkerSettings(queues="gpu")  # type: ignore[arg-type]


def test_the_warm_module_is_imported_by_the_fork_server_alone() -> None:
    """It starts a session and ignores signals: side effects that nobody else may have."""
    importing = re.compile(r"(import|from) workers\.warm|from workers import .*\bwarm\b")

    found = [path.name for path in WORKERS.rglob("*.py") if importing.search(path.read_text())]

    assert found == []


def test_nothing_between_worker_and_runner_is_pickled() -> None:
    """A Connection's send and recv pickle; its send_bytes and recv_bytes do not."""
    pickling = re.compile(r"import pickle|pipe\.(send|recv)\(|torch\.(save|load)\(")
    names = ("frames", "spool", "orders", "reports", "process", "runner", "batch")

    found = {name: pickling.findall((WORKERS / f"{name}.py").read_text()) for name in names}

    assert not any(found.values()), found


@pytest.mark.parametrize(("cells", "expected"), [(6, 32), (2**20, 16), (10**9, 1)])
def test_the_first_chunk_is_small_where_an_epoch_is_large(cells: int, expected: int) -> None:
    assert first_chunk(cells) == expected


@pytest.mark.parametrize(
    ("epochs", "seconds", "expected"),
    [(32, 0.0032, 256), (1000, 0.1, 1000), (1000, 0.4, 250), (1, 3.0, 1), (32, 0.0, 256)],
)
def test_a_chunk_aims_at_a_tenth_of_a_second_and_grows_eightfold_at_most(
    epochs: int, seconds: float, expected: int
) -> None:
    assert next_chunk(epochs, seconds) == expected
