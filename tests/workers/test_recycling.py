"""A runner is replaced when it has served its time, and jobs do not notice."""

from tests.chaos.stage import Lesson, Stage
from tests.servers import until


def test_a_runner_that_has_served_its_jobs_is_replaced(empty_stage: Stage) -> None:
    stage = empty_stage
    worker = stage.hire(DESCEND_JOBS_PER_RUNNER="1")
    (first,) = until(worker.runners)

    job_id = stage.submit(Lesson(epochs=100))
    stage.await_end(job_id)
    (second,) = until(lambda: [pid for pid in worker.runners() if pid != first])
    again = stage.submit(Lesson(epochs=100, seed=1))
    stage.await_end(again)

    assert second != first
    assert stage.violations() == []
    assert "runner_lost" not in worker.output
