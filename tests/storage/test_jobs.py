"""Jobs from submission to their end, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from descend.errors import IdempotencyKeyReused, JobNotFound, ModelNotFound, QueueFull, WrongState
from descend.jobs import (
    QUESTIONS,
    Hyperparameters,
    JobError,
    JobKind,
    JobPhase,
    JobSpec,
    JobState,
    Metrics,
    StopReason,
)
from storage.database import Database
from storage.job_log import ChangePlace
from storage.jobs import Claim, Report
from tests.storage.acts import (
    a_dataset,
    a_history,
    cancel,
    claim,
    claimed,
    crash,
    expire_lease,
    expired,
    finish,
    get,
    give_back,
    history,
    release,
    report,
    rescue,
    submit,
    turn,
)


def test_a_submitted_job_is_read_back_as_it_was_answered(database: Database) -> None:
    job, created = submit(database, name="first", metadata={"team": "a"}, priority=7)

    read = get(database, job.id)

    assert created
    assert read == job
    assert read.state is JobState.QUEUED
    assert read.queue_position == 1
    assert read.resolved_hyperparameters.seed == 7
    assert read.resolved_hyperparameters.momentum == 0.0
    assert [t.reason for t in read.transitions] == ["submitted"]
    assert abs(read.created_at - datetime.now(UTC)) < timedelta(seconds=5)


def test_the_same_key_and_request_give_the_earlier_job(database: Database) -> None:
    job, _ = submit(database, key="k")

    again, created = submit(database, key="k")

    assert (again.id, created) == (job.id, False)


def test_a_key_used_for_another_request_is_refused(database: Database) -> None:
    submit(database, key="k", sha256="1")

    with pytest.raises(IdempotencyKeyReused):
        submit(database, key="k", sha256="2")


def test_a_full_queue_refuses_and_says_when_to_come_again(database: Database) -> None:
    submit(database, max_queued=1)

    with pytest.raises(QueueFull) as refusal:
        submit(database, max_queued=1)

    assert refusal.value.retry_after_seconds


def test_a_repeated_request_is_answered_even_when_the_queue_is_full(database: Database) -> None:
    job, _ = submit(database, key="k", max_queued=1)

    again, _ = submit(database, key="k", max_queued=1)

    assert again.id == job.id


def test_jobs_are_claimed_by_priority_and_then_in_order(database: Database) -> None:
    first, second, urgent = (submit(database, priority=p)[0].id for p in (5, 5, 9))

    order = [claim(database)[0].job_id for _ in range(3)]

    assert order == [urgent, first, second]


def test_queue_positions_follow_the_order_of_service(database: Database) -> None:
    jobs = [submit(database, priority=p)[0] for p in (5, 5, 9)]

    positions = [get(database, job.id).queue_position for job in jobs]
    with database.read() as tx:
        listed = [job.queue_position for job in tx.jobs.page().data]

    assert positions == [2, 3, 1]
    assert listed == [1, 3, 2]
    assert jobs[2].queue_position == 1


def test_a_second_claim_returns_nothing(database: Database) -> None:
    submit(database)
    claim(database)

    assert claim(database) == []


def test_small_jobs_are_claimed_together(database: Database) -> None:
    ids = [submit(database)[0].id for _ in range(5)]

    taken = claim(database, limit=4)

    assert [c.job_id for c in taken] == ids[:4]
    assert all((c.fence, c.attempt, c.crashes) == (1, 1, 0) for c in taken)


def test_a_claim_brings_everything_that_training_needs(database: Database) -> None:
    submit(database, timeout_seconds=60)

    (taken,) = claim(database)

    assert taken.dataset.inline == b"rows"
    assert (taken.targets, taken.features, taken.weight) == (("y",), ("x0",), None)
    assert taken.hyperparameters.seed == 7
    assert taken.hyperparameters.learning_rate == "auto"
    assert (taken.checkpoint, taken.epochs_done, taken.timeout_seconds) == (None, 0, 60)


def test_a_large_job_is_claimed_alone(database: Database) -> None:
    large, _ = submit(database, dataset=a_dataset(n_rows=10**8))
    small, _ = submit(database)

    together = claim(database, limit=10)
    after = claim(database, limit=10)

    assert [c.job_id for c in together] == [large.id]
    assert [c.job_id for c in after] == [small.id]


def test_a_large_job_does_not_keep_the_small_ones_before_and_after_it(database: Database) -> None:
    small = submit(database)[0].id
    large = submit(database, dataset=a_dataset(n_rows=10**8))[0].id
    later = submit(database)[0].id

    together = claim(database, limit=10)
    after = claim(database, limit=10)

    assert [c.job_id for c in together] == [small, later]
    assert [c.job_id for c in after] == [large]


def test_a_job_that_crashed_twice_is_claimed_alone(database: Database) -> None:
    suspect = submit(database)[0].id
    for _ in range(2):
        crash(database, claim(database)[0])
    submit(database)

    assert [c.job_id for c in claim(database, limit=10)] == [suspect]


def test_a_queue_is_served_by_its_workers_alone(database: Database) -> None:
    submit(database, device="cuda")

    with database.read() as tx:
        seen = [tx.jobs.has_queued(["cpu"]), tx.jobs.has_queued(["cpu", "cuda"])]
        depth = tx.jobs.queue_depth()

    assert claim(database) == []
    assert seen == [False, True]
    assert depth == {"cuda": 1}


def test_a_claim_may_take_questions_alone(database: Database) -> None:
    trained, asked = submit(database)[0].id, submit(database, kind=JobKind.PLAN)[0].id

    with database.begin() as tx:
        taken = tx.jobs.claim("w1", 9, queues=["cpu"], lease_seconds=30, kinds=QUESTIONS)
        seen = [tx.jobs.has_queued(["cpu"], kinds=QUESTIONS), tx.jobs.has_queued(["cpu"])]

    assert [claim.job_id for claim in taken] == [asked]
    assert seen == [False, True]
    assert get(database, trained).state is JobState.QUEUED


def test_the_oldest_queued_job_says_how_long_it_waits(database: Database) -> None:
    submit(database)

    with database.read() as tx:
        waited, nobody = tx.jobs.oldest_queued_seconds("cpu"), tx.jobs.oldest_queued_seconds("cuda")

    assert waited is not None
    assert 0 <= waited < 5
    assert nobody is None


def test_a_report_moves_progress_and_shows_what_was_resolved(database: Database) -> None:
    held = claimed(database)
    resolved = Hyperparameters(learning_rate=0.25, max_epochs=1000)

    accepted = report(
        database,
        held,
        250,
        history=a_history(250),
        resolved=resolved,
        engine="batched",
        device="cpu",
        warnings=("slow",),
    )

    job = get(database, held.job_id)
    assert accepted
    assert (job.progress.epoch, job.progress.fraction) == (250, 0.25)
    assert job.resolved_hyperparameters.learning_rate == 0.25
    assert (job.engine, job.device, job.warnings) == ("batched", "cpu", ["slow"])
    assert job.estimated_finish is not None
    assert job.started_at is not None
    assert job.estimated_finish >= job.started_at


def test_a_finish_stores_state_weights_and_history_at_once(database: Database) -> None:
    held = claimed(database)
    report(database, held, 400, history=a_history(400))

    finished = finish(
        database,
        held,
        history=a_history(600, total=1000),
        metrics=Metrics(n_samples=3, epochs=1000, train_loss=0.5),
    )

    job = get(database, held.job_id)
    with database.read() as tx:
        model = tx.models.of_job(held.job_id)
    assert finished
    assert (job.state, job.stop_reason) == (JobState.SUCCEEDED, StopReason.MAX_EPOCHS)
    assert job.metrics is not None
    assert job.metrics.train_loss == 0.5
    assert (model.id, model.coef, model.intercept) == (job.model_id, [[2.0]], [0.5])
    assert len(history(database, held.job_id)) == 1000
    assert [t.state for t in job.transitions] == ["queued", "running", "succeeded"]


def test_a_failed_job_says_why_and_has_no_model(database: Database) -> None:
    held = claimed(database)
    error = JobError(code="diverged", message="the rate is above the bound", detail={"bound": 0.5})

    finish(
        database,
        held,
        state=JobState.FAILED,
        stop_reason=StopReason.DIVERGED,
        model=None,
        error=error,
    )

    job = get(database, held.job_id)
    assert (job.state, job.error, job.model_id) == (JobState.FAILED, error, None)
    with database.read() as tx, pytest.raises(ModelNotFound):
        tx.models.of_job(held.job_id)


def test_a_finish_whose_commit_was_unknown_is_true_again(database: Database) -> None:
    held = claimed(database)
    finish(database, held)

    assert finish(database, held)


def test_a_queued_job_is_cancelled_at_once(database: Database) -> None:
    job, _ = submit(database)

    cancelled = cancel(database, job.id)

    assert (cancelled.state, cancelled.stop_reason) == (JobState.CANCELLED, StopReason.CANCELLED)
    assert claim(database) == []


def test_a_cancel_of_a_running_job_comes_with_the_next_heartbeat(database: Database) -> None:
    held = claimed(database)
    other = claimed(database)

    asked = cancel(database, held.job_id)
    with database.begin() as tx:
        beat = tx.jobs.beat(
            "w1", {held.job_id: held.fence, other.job_id: other.fence}, lease_seconds=30
        )

    assert (asked.state, asked.intent) == (JobState.RUNNING, "cancel")
    assert beat.cancel == {held.job_id}
    assert beat.lost == frozenset()


def test_an_accepted_cancel_never_becomes_a_success(database: Database) -> None:
    held = claimed(database)
    cancel(database, held.job_id)

    finished = finish(database, held)

    job = get(database, held.job_id)
    assert finished
    assert (job.state, job.stop_reason, job.model_id) == (
        JobState.CANCELLED,
        StopReason.CANCELLED,
        None,
    )


def test_a_cancelled_job_that_is_drained_is_not_queued_again(database: Database) -> None:
    held = claimed(database)
    cancel(database, held.job_id)

    release(database, held)

    assert get(database, held.job_id).state is JobState.CANCELLED


def test_cancelling_twice_changes_nothing(database: Database) -> None:
    held = claimed(database)
    finish(database, held)
    before = get(database, held.job_id)

    assert cancel(database, held.job_id) == before


def test_what_is_not_there_is_not_found(database: Database) -> None:
    with database.begin() as tx:
        for act in (tx.jobs.get, tx.jobs.request_cancel, tx.jobs.delete, tx.jobs.history):
            with pytest.raises(JobNotFound):
                act("job_0")


def test_a_drained_job_goes_on_from_its_checkpoint_without_a_crash(database: Database) -> None:
    held = claimed(database)
    last = Report(
        job_id=held.job_id,
        fence=held.fence,
        epochs_done=300,
        history=a_history(300),
        checkpoint=b"state at 300",
    )

    released = release(database, held, report=last)
    (again,) = claim(database, worker="w2")

    assert released
    assert (again.checkpoint, again.epochs_done) == (b"state at 300", 300)
    assert (again.attempt, again.crashes, again.fence) == (2, 0, held.fence + 2)
    assert len(history(database, held.job_id)) == 300


@pytest.mark.parametrize("hours", [0, 1])
def test_a_job_given_back_is_claimed_at_once_also_when_the_clock_was_set_back(
    database: Database, hours: int
) -> None:
    held = claimed(database)
    release(database, held)
    clock_set_back(database, hours=hours)

    assert [one.job_id for one in claim(database)] == [held.job_id]


def test_a_lease_from_before_the_clock_was_set_back_has_expired(database: Database) -> None:
    submit(database)
    (dead,) = claim(database, lease_seconds=0.01)  # PostgreSQL has been up for longer
    clock_set_back(database, hours=1)
    alive = claimed(database)

    assert rescue(database) == [dead.job_id]
    assert get(database, alive.job_id).state is JobState.RUNNING


def clock_set_back(database: Database, *, hours: int) -> None:
    """Make all that was written so far be of the future."""
    with database.begin() as tx:
        tx.connection.execute(
            text(
                "UPDATE jobs SET created_at = created_at + :by, changed_at = changed_at + :by,"
                " claimed_at = claimed_at + :by, started_at = started_at + :by,"
                " not_before = not_before + :by, lease_until = lease_until + :by"
            ),
            {"by": hours * 3_600_000_000},
        )


def test_a_drained_job_can_be_kept_back_for_a_while(database: Database) -> None:
    held = claimed(database)

    release(database, held, delay_seconds=60)

    assert claim(database) == []
    with database.read() as tx:
        assert not tx.jobs.has_queued(["cpu"])


def test_history_after_the_checkpoint_is_forgotten_at_the_next_claim(database: Database) -> None:
    held = claimed(database)
    report(database, held, 300, history=a_history(300), checkpoint=b"state at 300")
    report(database, held, 500, history=a_history(200, total=500))
    crash(database, held)

    (again,) = claim(database)

    assert again.epochs_done == 300
    assert len(history(database, held.job_id)) == 300
    assert get(database, held.job_id).progress.epoch == 300


def test_a_report_written_twice_is_there_once(database: Database) -> None:
    held = claimed(database)
    rows = a_history(300)

    report(database, held, 300, history=rows)
    report(database, held, 300, history=rows)

    assert len(history(database, held.job_id)) == 300


def test_three_crashes_quarantine_a_job_with_the_reason(database: Database) -> None:
    submit(database)

    states = [crash(database, claim(database)[0]) for _ in range(3)]

    assert states == [JobState.QUEUED, JobState.QUEUED, JobState.QUARANTINED]
    with database.read() as tx:
        (job,) = tx.jobs.page().data
    assert job.error is not None
    assert job.error.code == "crashed"
    assert "SIGKILL" in job.error.message
    assert job.stop_reason is StopReason.CRASHED
    assert claim(database) == []


def test_a_crash_of_a_job_to_be_cancelled_cancels_it(database: Database) -> None:
    held = claimed(database)
    cancel(database, held.job_id)

    assert crash(database, held) is JobState.CANCELLED


def test_an_expired_lease_is_rescued_and_is_no_crash(database: Database) -> None:
    dead, alive = claimed(database), claimed(database)
    expire_lease(database, dead.job_id)

    rescued = rescue(database)
    (again,) = claim(database, worker="w2")

    assert rescued == [dead.job_id]
    assert (again.job_id, again.crashes, again.fence) == (dead.job_id, 0, dead.fence + 2)
    assert get(database, alive.job_id).state is JobState.RUNNING
    assert rescue(database) == []


def test_ten_lost_leases_quarantine_a_job_and_nine_do_not(database: Database) -> None:
    submit(database)
    states = []
    for _ in range(10):
        (held,) = claim(database)
        expire_lease(database, held.job_id)
        rescue(database)
        states.append(get(database, held.job_id).state)

    assert states == [JobState.QUEUED] * 9 + [JobState.QUARANTINED]
    error = get(database, held.job_id).error
    assert error is not None
    assert error.message.endswith("lost 10 times; the last time: lease expired")


def test_a_job_that_four_workers_were_lost_with_is_claimed_alone(database: Database) -> None:
    claimed(database)
    for _ in range(3):
        (held,) = expired_and_claimed_again(database)
    expire_lease(database, held.job_id)
    rescue(database)
    submit(database)

    assert [one.job_id for one in claim(database, limit=5)] == [held.job_id]


def expired_and_claimed_again(database: Database) -> list[Claim]:
    with database.read() as tx:
        (job,) = tx.jobs.page().data
    expire_lease(database, job.id)
    rescue(database)
    return claim(database)


def test_who_renewed_after_the_clock_of_a_judgement_is_not_rescued(database: Database) -> None:
    held = claimed(database)
    expire_lease(database, held.job_id)
    with database.read() as tx:
        expired = tx.jobs.expired()

    with database.begin() as tx:
        tx.jobs.beat("w1", {held.job_id: held.fence}, lease_seconds=1e-6)
    with database.begin() as tx:
        rescued = tx.jobs.rescue(expired)

    assert rescued == []


def test_time_that_a_worker_missed_does_not_count_to_the_timeout(database: Database) -> None:
    held = claimed(database, timeout_seconds=10)
    turn(database, held, worked_seconds=12.0)

    def beat(missed_seconds: float) -> frozenset[str]:
        with database.begin() as tx:
            held_now = {held.job_id: held.fence}
            return tx.jobs.beat(
                "w1", held_now, lease_seconds=30, missed_seconds=missed_seconds
            ).expired

    assert beat(11.0) == frozenset()
    assert beat(0.0) == frozenset()
    with database.begin() as tx:
        tx.connection.execute(text("UPDATE jobs SET work_started_at = work_started_at - 10000000"))
    assert beat(0.0) == {held.job_id}


def test_a_heartbeat_renews_the_lease(database: Database) -> None:
    held = claimed(database)
    expire_lease(database, held.job_id)

    with database.begin() as tx:
        tx.jobs.beat("w1", {held.job_id: held.fence}, lease_seconds=30)

    assert rescue(database) == []


def test_a_job_past_its_timeout_is_said_to_be_expired(database: Database) -> None:
    held, untimed = claimed(database, timeout_seconds=1), claimed(database)
    for one in (held, untimed):
        turn(database, one, worked_seconds=2.0)

    assert expired(database, held, untimed) == {held.job_id}


def test_time_in_which_a_claimed_job_waits_for_its_neighbours_does_not_count_to_the_timeout(
    database: Database,
) -> None:
    held = claimed(database, timeout_seconds=1)
    with database.begin() as tx:
        tx.connection.execute(text("UPDATE jobs SET claimed_at = claimed_at - 60000000"))
    unbegun = expired(database, held)

    turn(database, held, JobPhase.LOADING, worked_seconds=0.6)
    turn(database, held, JobPhase.WAITING)
    waiting = get(database, held.job_id)
    with database.begin() as tx:
        tx.connection.execute(text("UPDATE jobs SET claimed_at = claimed_at - 60000000"))
    loaded = expired(database, held)
    turn(database, held, JobPhase.TRAINING, worked_seconds=0.6)

    assert (unbegun, loaded) == (frozenset(), frozenset())
    assert (waiting.state, waiting.work_started_at) == (JobState.RUNNING, None)
    assert expired(database, held) == {held.job_id}


def test_work_of_an_attempt_before_counts_to_the_timeout(database: Database) -> None:
    held = claimed(database, timeout_seconds=10)
    turn(database, held, worked_seconds=6.0)
    release(database, held)
    (again,) = claim(database)
    before_it_begins = expired(database, again)

    turn(database, again, worked_seconds=6.0)

    assert before_it_begins == frozenset()
    assert expired(database, again) == {again.job_id}


def test_a_turn_to_other_work_does_not_set_the_clock_back(database: Database) -> None:
    held = claimed(database, timeout_seconds=1)
    turn(database, held, JobPhase.LOADING, worked_seconds=2.0)

    turn(database, held, JobPhase.TRAINING, worked_seconds=0.1)

    assert expired(database, held) == {held.job_id}


def test_a_running_job_tells_what_is_being_done_about_it_and_an_ended_one_when_it_began(
    database: Database,
) -> None:
    held = claimed(database)
    told = [get(database, held.job_id).progress.phase]
    for phase in (JobPhase.LOADING, JobPhase.WAITING, JobPhase.TRAINING):
        turn(database, held, phase, worked_seconds=None if phase is JobPhase.WAITING else 5.0)
        told.append(get(database, held.job_id).progress.phase)

    finish(database, held)

    ended = get(database, held.job_id)
    assert told == [JobPhase.WAITING, JobPhase.LOADING, JobPhase.WAITING, JobPhase.TRAINING]
    assert ended.progress.phase is None
    assert ended.work_started_at is not None
    assert ended.finished_at is not None
    assert (ended.finished_at - ended.work_started_at).total_seconds() >= 5.0


def test_a_report_and_an_end_say_when_the_work_began_where_nothing_did_before(
    database: Database,
) -> None:
    reported, ended = claimed(database), claimed(database)

    report(database, reported, 5, worked_seconds=2.0)
    finish(database, ended, worked_seconds=2.0)

    assert get(database, reported.job_id).progress.phase is JobPhase.TRAINING
    for held in (reported, ended):
        began = get(database, held.job_id).work_started_at
        assert began is not None
        assert (datetime.now(UTC) - began).total_seconds() == pytest.approx(2.0, abs=1.0)


def test_a_job_given_back_before_it_began_is_as_if_it_had_not_been_claimed(
    database: Database,
) -> None:
    held = claimed(database)

    given = give_back(database, held)

    job = get(database, held.job_id)
    (again,) = claim(database, worker="w2")
    assert given
    assert (job.state, job.attempt, job.started_at) == (JobState.QUEUED, 0, None)
    assert [move.reason for move in job.transitions] == ["submitted", "claimed", "rebalanced"]
    assert (again.fence, again.attempt) == (held.fence + 2, 1)
    assert not give_back(database, held)


def test_a_job_that_has_been_reported_on_is_not_given_back_uncounted(database: Database) -> None:
    held = claimed(database)
    report(database, held, 5)

    assert not give_back(database, held)
    assert get(database, held.job_id).state is JobState.RUNNING


def test_a_cancel_that_was_asked_for_is_kept_when_a_job_is_given_back(database: Database) -> None:
    held = claimed(database)
    cancel(database, held.job_id)

    assert give_back(database, held)
    assert get(database, held.job_id).state is JobState.CANCELLED


LONG_EPOCHS = Hyperparameters(max_epochs=1_000_000)


def test_of_several_who_could_have_them_one_takes_its_share_of_the_work(database: Database) -> None:
    for _ in range(8):
        submit(database, hyperparameters=LONG_EPOCHS)
    large = submit(database, hyperparameters=Hyperparameters(max_epochs=9_000_000), priority=9)[0]

    shares = [len(claim(database, limit=64, shares=2)) for _ in range(5)]

    assert get(database, large.id).state is JobState.RUNNING
    assert shares == [1, 4, 2, 1, 1]  # the first is more than half of all


def test_little_work_is_not_shared(database: Database) -> None:
    for _ in range(8):
        submit(database, hyperparameters=Hyperparameters(max_epochs=100))

    assert len(claim(database, limit=64, shares=4)) == 8


def test_a_change_tells_no_attempt_that_was_given_back_before_it_began(database: Database) -> None:
    held = claimed(database)
    give_back(database, held)
    claim(database)

    with database.read() as tx:
        of_all = tx.logs.changes(JobKind.TRAIN, ChangePlace(), limit=9)
        of_one = tx.logs.logs([held.job_id])[held.job_id].changes

    assert [change.data.attempt for _, change in of_all] == [0, 1, 0, 1]
    assert [change.data.attempt for change in of_one] == [0, 1, 0, 1]


def test_a_turn_under_an_old_fence_changes_nothing(database: Database) -> None:
    held = claimed(database)
    release(database, held)
    (again,) = claim(database)

    assert not turn(database, held)
    assert get(database, again.job_id).progress.phase is JobPhase.WAITING


def test_time_in_the_queue_does_not_count_to_the_timeout(database: Database) -> None:
    held = claimed(database, timeout_seconds=10)
    release(database, held)
    with database.begin() as tx:
        tx.connection.execute(text("UPDATE jobs SET started_at = started_at - 60000000"))
    (again,) = claim(database)

    with database.begin() as tx:
        beat = tx.jobs.beat("w1", {again.job_id: again.fence}, lease_seconds=30)

    assert beat.expired == frozenset()


@pytest.mark.parametrize(
    ("column", "written"),
    [
        ("hyperparameters", '{"learning_rate": 0.1, "momentum_of_tomorrow": 1}'),
        ("hyperparameters", '{"max_epochs": -1}'),
        ("spec", '{"dataset": "ds_1", "of_tomorrow": true}'),
        ("features", "no JSON"),
    ],
)
def test_a_job_that_cannot_be_read_ends_and_its_neighbours_are_claimed(
    database: Database, column: str, written: str
) -> None:
    first, bad, last = (submit(database)[0].id for _ in range(3))
    spoil(database, bad, column=column, written=written)

    taken = claim(database, limit=3)
    job = get(database, bad)

    assert [one.job_id for one in taken] == [first, last]
    assert (job.state, job.stop_reason) == (JobState.FAILED, StopReason.ERROR)
    assert job.error is not None
    assert job.error.code == "unreadable"
    assert [move.state for move in job.transitions] == ["queued", "running", "failed"]
    assert claim(database) == []


def test_a_job_that_cannot_be_read_is_seen_listed_and_cancelled(database: Database) -> None:
    job_id = submit(database)[0].id
    spoil(database, job_id, column="hyperparameters", written='{"of_tomorrow": 1}')

    job = cancel(database, job_id)

    assert (job.state, job.spec.model_fields_set) == (JobState.CANCELLED, set())
    assert any("cannot be read" in warning for warning in job.warnings)
    with database.read() as tx:
        assert [one.id for one in tx.jobs.page().data] == [job_id]


def spoil(database: Database, job_id: str, *, column: str, written: str) -> None:
    """Write into a job what this version cannot read."""
    with database.begin() as tx:
        tx.connection.execute(
            text(f"UPDATE job_specs SET {column} = :written WHERE job_id = :id"),  # noqa: S608
            {"id": job_id, "written": written},
        )


@pytest.mark.parametrize("lost", ["released", "crashed", "rescued"])
def test_every_write_of_a_worker_that_lost_its_job_is_fenced(database: Database, lost: str) -> None:
    zombie = claimed(database)
    if lost == "released":
        release(database, zombie)
    elif lost == "crashed":
        crash(database, zombie)
    else:
        expire_lease(database, zombie.job_id)
        rescue(database)
    (owner,) = claim(database, worker="w2")
    before = get(database, owner.job_id)

    with database.begin() as tx:
        beat = tx.jobs.beat("w1", {zombie.job_id: zombie.fence}, lease_seconds=30)
    writes = [
        report(database, zombie, 900, history=a_history(900), checkpoint=b"stale"),
        finish(database, zombie, history=a_history(1000)),
        release(database, zombie),
        release(database, zombie, report=Report(job_id=zombie.job_id, fence=1, epochs_done=1)),
    ]

    assert beat.lost == {zombie.job_id}
    assert writes == [False] * 4
    assert crash(database, zombie) is None
    assert get(database, owner.job_id) == before
    assert len(history(database, owner.job_id)) == 0
    assert finish(database, owner)


def test_a_worker_that_lost_its_job_to_the_end_is_fenced(database: Database) -> None:
    zombie = claimed(database)
    expire_lease(database, zombie.job_id)
    rescue(database)
    (owner,) = claim(database, worker="w2")
    finish(database, owner)

    assert not finish(database, zombie)


def test_a_terminal_row_refuses_every_update(database: Database) -> None:
    held = claimed(database)
    finish(database, held)

    with pytest.raises(DBAPIError, match="never changes"), database.begin() as tx:
        tx.connection.execute(text("UPDATE jobs SET epochs_done = 0"))


def test_a_finished_job_is_deleted_with_its_history_and_keeps_its_model(database: Database) -> None:
    held = claimed(database)
    finish(database, held, history=a_history(10))
    model_id = get(database, held.job_id).model_id

    with database.begin() as tx:
        tx.jobs.delete(held.job_id)

    with database.read() as tx:
        left = tx.connection.scalar(text("SELECT count(*) FROM history_chunks"))
        assert left == 0
        assert tx.models.get(str(model_id)).coef == [[2.0]]
        with pytest.raises(JobNotFound):
            tx.jobs.get(held.job_id)


def test_a_job_that_has_not_ended_is_not_deleted(database: Database) -> None:
    held = claimed(database)

    with pytest.raises(WrongState, match="running"), database.begin() as tx:
        tx.jobs.delete(held.job_id)


def test_an_ended_job_has_no_checkpoint_and_a_queued_one_keeps_it(database: Database) -> None:
    done, drained = claimed(database), claimed(database)
    for held in (done, drained):
        report(database, held, 1, history=a_history(1), checkpoint=b"state")

    finish(database, done)
    release(database, drained)

    with database.read() as tx:
        kept = tx.connection.scalars(text("SELECT job_id FROM checkpoints")).all()
    assert kept == [drained.job_id]


def test_states_grow_a_version_with_every_visible_change(database: Database) -> None:
    held = claimed(database)
    seen = []
    for act in (lambda: None, lambda: report(database, held, 1), lambda: finish(database, held)):
        act()
        with database.read() as tx:
            seen.append(tx.jobs.states([held.job_id, "job_0"]))

    assert [list(states) for states in seen] == [[held.job_id]] * 3
    versions = [states[held.job_id][1] for states in seen]
    assert versions == sorted(set(versions))
    assert seen[-1][held.job_id][0] is JobState.SUCCEEDED


def test_pages_are_newest_first_and_go_on_from_a_cursor(database: Database) -> None:
    ids = [submit(database)[0].id for _ in range(5)]

    with database.read() as tx:
        first = tx.jobs.page(limit=2)
        second = tx.jobs.page(limit=2, after=first.last_id)
        last = tx.jobs.page(limit=2, after=second.last_id)

    listed = [job.id for page in (first, second, last) for job in page.data]
    assert listed == ids[::-1]
    assert [page.has_more for page in (first, second, last)] == [True, True, False]


def test_pages_are_filtered_by_state_dataset_name_and_metadata(database: Database) -> None:
    dataset = a_dataset()
    named, _ = submit(database, name="Price of 100% wool", metadata={"team": "a", "run": "1"})
    of_data, _ = submit(database, dataset=dataset, metadata={"team": "a"})
    ended, _ = submit(database, name="price of silk")
    cancel(database, ended.id)

    def found(**filters: object) -> set[str]:
        with database.read() as tx:
            return {job.id for job in tx.jobs.page(**filters).data}  # type: ignore[arg-type]

    assert found(q="PRICE") == {named.id, ended.id}
    assert found(q="100%") == {named.id}
    assert found(q=of_data.id[:40]) == {of_data.id}
    assert found(state=JobState.CANCELLED) == {ended.id}
    assert found(dataset=dataset.id) == {of_data.id}
    assert found(metadata={"team": "a"}) == {named.id, of_data.id}
    assert found(metadata={"team": "a", "run": "1"}) == {named.id}


def test_a_deep_queue_is_full_at_its_limit_exactly(sqlite_database: Database) -> None:
    answered = [submit(sqlite_database, max_queued=700)[0].queue_position for _ in range(700)]

    with pytest.raises(QueueFull):
        submit(sqlite_database, max_queued=700)

    assert answered == list(range(1, 701))


def test_any_text_that_the_contract_accepts_is_stored_as_it_is(database: Database) -> None:
    odd = "naïve 🐙 \u2028 \"'; DROP TABLE jobs; -- %s :x {} \\ \t\n"

    job, _ = submit(database, name=odd, metadata={odd[:60]: odd}, key=odd)

    read = get(database, job.id)
    assert (read.name, read.metadata) == (odd, {odd[:60]: odd})
    assert submit(database, key=odd)[0].id == job.id


@pytest.mark.parametrize(
    "spec", [{"name": "\0"}, {"metadata": {"\0": ""}}, {"metadata": {"a": "\0"}}]
)
def test_text_that_postgresql_cannot_hold_is_refused_by_the_contract(spec: object) -> None:
    with pytest.raises(ValidationError):
        JobSpec.model_validate({"dataset": a_dataset().id} | spec)  # type: ignore[operator]


def test_two_processes_do_not_fill_a_deep_queue_beyond_its_limit(
    sqlite_database: Database, sqlite_url: str
) -> None:
    other = Database(sqlite_url)  # as another process: it knows nothing of the first one's counts
    refused = 0

    for i in range(720):
        try:
            submit(other if i % 2 else sqlite_database, max_queued=700)
        except QueueFull:
            refused += 1

    with sqlite_database.read() as tx:
        depth = tx.jobs.queue_depth()
    other.close()
    assert (depth, refused) == ({"cpu": 700}, 20)
