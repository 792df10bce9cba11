"""Jobs of one claim, one after another: whose time runs, and who else may have them."""

from datetime import timedelta
from itertools import product

from descend.jobs import JobPhase, JobState
from tests.chaos.stage import Lesson, Stage
from tests.servers import until


def test_jobs_that_wait_for_others_of_their_claim_do_not_expire_meanwhile(
    own_stage: Stage,
) -> None:
    job_ids = unlike(own_stage, Lesson.lasting(seconds=0.9), timeout_seconds=3)
    own_stage.hire()

    def phases() -> set[JobPhase | None]:
        return {own_stage.job(job_id).progress.phase for job_id in job_ids}

    until(lambda: phases() >= {JobPhase.TRAINING, JobPhase.WAITING}, what="one trains, others wait")
    jobs = [own_stage.await_end(job_id) for job_id in job_ids]

    assert [job.state for job in jobs] == [JobState.SUCCEEDED] * 8
    ends = [job.finished_at - job.started_at for job in jobs if job.finished_at and job.started_at]
    assert max(ends) > timedelta(seconds=3)
    assert all(own_stage.claims(job_id) == [1] for job_id in job_ids)


def unlike(stage: Stage, lesson: Lesson, **more: object) -> list[str]:
    """Submit eight jobs, no two of which can train in one batch."""
    asked = lesson.hyperparameters()
    ways = product((0.0, 1e-3), (0.0, 0.5), (["x0"], ["x0", "x1"]))
    return [
        stage.submit(
            lesson,
            features=names,
            hyperparameters=asked.model_copy(update={"l2": l2, "momentum": momentum}),
            **more,
        )
        for l2, momentum, names in ways
    ]
