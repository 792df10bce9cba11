"""What an earlier attempt left is used, or said to be of no use."""

from descend.history import History
from storage.leases import Report
from tests.chaos.stage import Lesson, Stage
from workers import training

LESSON = Lesson(epochs=2000, seed=3)
BEGUN = 700


def attempt(stage: Stage, checkpoints: dict[str, bytes], rows: History) -> None:
    """Be an earlier worker that reported BEGUN epochs of these jobs and was drained."""
    with stage.database.begin() as tx:
        for claim in tx.jobs.claim("wrk_earlier", 64, queues=["cpu"], lease_seconds=60):
            report = Report(
                job_id=claim.job_id,
                fence=claim.fence,
                epochs_done=BEGUN,
                history=rows,
                checkpoint=checkpoints[claim.job_id],
            )
            tx.jobs.release(claim.job_id, claim.fence, reason="drained", report=report)


def trained(lesson: Lesson) -> tuple[bytes, History]:
    state, (segment,) = training.advance(
        training.start([training.compress(lesson.problem())], "cpu", [None]), BEGUN
    )
    return training.save(state, 0), segment.history


def test_a_sound_checkpoint_is_resumed_and_a_damaged_one_is_not_fatal(empty_stage: Stage) -> None:
    """In one batch with a fresh neighbour, and every history is whole."""
    stage = empty_stage
    checkpoint, rows = trained(LESSON)
    sound, damaged = stage.submit_together([LESSON, LESSON])
    attempt(stage, {sound: checkpoint, damaged: checkpoint[:-1]}, rows)
    fresh = stage.submit(Lesson(epochs=1000))

    stage.hire()
    for job_id in (sound, damaged, fresh):
        stage.await_end(job_id)

    assert stage.violations() == []
    assert [stage.begun_at(job_id) for job_id in (sound, damaged, fresh)] == [[BEGUN], [BEGUN], [0]]
    assert stage.job(sound).warnings == []
    (warning,) = stage.job(damaged).warnings
    assert "trained again from the start" in warning
