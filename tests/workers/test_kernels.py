"""A worker says what it computes with, and that another would compute otherwise."""

import json
from typing import Any

from tests.chaos.stage import Lesson, Stage
from tests.servers import Program, until
from workers.kernels import platform

WARNING = "worker_of_other_kernel"


def warning_of(worker: Program) -> dict[str, Any]:
    lines = [line for line in worker.output.splitlines() if WARNING in line]
    event: dict[str, Any] = json.loads(lines[0]) if lines else {}
    return event


def test_a_worker_computes_with_the_kernels_of_the_process_that_started_it(stage: Stage) -> None:
    job = stage.await_end(stage.submit(Lesson(epochs=100)))

    with stage.database.read() as tx:
        receipt = tx.models.get(job.model_id or "").receipt

    assert receipt is not None
    assert (receipt.cpu, receipt.kernel) == (platform().cpu, platform().kernel)
    assert "openblas" in platform().kernel


def test_a_second_worker_of_another_kernel_says_so_at_start_and_a_like_one_does_not(
    own_stage: Stage,
) -> None:
    first = own_stage.hire()

    like = own_stage.hire()
    other = own_stage.hire(ATEN_CPU_CAPABILITY="default")
    warning = until(lambda: warning_of(other), what="the warning")

    assert (warning_of(first), warning_of(like)) == ({}, {})
    assert warning["other_kernel"] == platform().kernel
    assert "ATEN_CPU_CAPABILITY=default" in warning["kernel"]
    assert warning["other_worker_id"] in own_stage.ids_of(first, like)
