"""Jobs of one claim, one after another: whose time runs, and who else may have them."""

from datetime import timedelta
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from descend.jobs import Hyperparameters, JobPhase, JobState
from tests.chaos.stage import Lesson, Stage
from tests.servers import Program, until
from workers.batch import _floor, in_order
from workers.payments import Held
from workers.sharing import chosen

ENDLESS = Lesson.lasting(seconds=60)


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


def test_what_waits_goes_to_a_worker_that_comes_and_is_idle_and_is_no_second_attempt(
    own_stage: Stage,
) -> None:
    job_ids = unlike(own_stage, ENDLESS)
    own_stage.hire()
    until(lambda: all(own_stage.claims(one) for one in job_ids), what="one worker has them all")

    second = own_stage.hire()
    moved = until(lambda: owned(own_stage, second, job_ids), seconds=60, what="it has some")
    job = own_stage.job(moved[0])
    for job_id in job_ids:
        own_stage.cancel(job_id)
    states = {own_stage.await_end(job_id).state for job_id in job_ids}

    reasons = [move.reason for move in job.transitions]
    assert reasons == ["submitted", "claimed", "rebalanced", "claimed"]
    assert job.attempt == 1
    assert states == {JobState.CANCELLED}


def test_two_idle_workers_share_what_comes(own_stage: Stage) -> None:
    own_stage.hire_two()
    until(lambda: idle_slots(own_stage) == 2, seconds=60, what="both say that they are idle")

    job_ids = unlike(own_stage, ENDLESS)
    for worker in own_stage.workers:
        until(lambda: owned(own_stage, worker, job_ids), seconds=60, what="both have some")  # noqa: B023
    for job_id in job_ids:
        own_stage.cancel(job_id)

    jobs = [own_stage.await_end(job_id) for job_id in job_ids]
    assert {job.state for job in jobs} == {JobState.CANCELLED}
    assert not any(move.reason == "rebalanced" for job in jobs for move in job.transitions)


def owned(stage: Stage, worker: Program, job_ids: list[str]) -> list[str]:
    """The jobs that the worker has now."""
    query = text("SELECT id, owner FROM jobs WHERE owner IS NOT NULL")
    with stage.database.read() as tx:
        owners = {row.id: row.owner for row in tx.connection.execute(query)}
    return [one for one in job_ids if owners.get(one) in stage.ids_of(worker)]


def idle_slots(stage: Stage) -> int:
    with stage.database.read() as tx:
        return tx.workers.idle_slots("cpu", within_seconds=60, but="")


@pytest.mark.parametrize(
    ("works", "n_idle", "given"),
    [
        ([6, 7, 8, 9], 1, [9, 6]),
        ([5], 1, [5]),
        ([1, 1, 1, 30], 1, [30]),
        ([4, 4, 4], 2, [4, 4]),
        ([4, 4], 0, []),
    ],
)
def test_the_longest_are_given_to_the_idle_up_to_their_part(
    works: list[int], n_idle: int, given: list[int]
) -> None:
    assert [held.claim.work for held in chosen(map(held_of, works), n_idle)] == given


@pytest.mark.parametrize(
    ("costs", "order"),
    [
        ([6, 9, 7, 8], [9, 8, 7, 6]),  # alike: the longest first, so that the end is short
        ([60, 3600, 1], [1, 60, 3600]),  # none waits for one of another size
        ([1, 3600, 2, 4, 5, 1800], [4, 2, 1, 5, 3600, 1800]),
        ([], []),
    ],
)
def test_a_runner_takes_cheap_ones_first_and_of_those_alike_the_longest(
    costs: list[int], order: list[int]
) -> None:
    assert in_order(costs, cost=float) == order


def test_an_epoch_with_more_to_do_is_longer_however_few_its_rows() -> None:
    ways: list[dict[str, Any]] = [
        {},
        {"momentum": 0.5},
        {"l2": 0.1},
        {"l2": 0.1, "momentum": 0.5},
        {"l2": 0.1, "l1": 0.1, "validation_fraction": 0.2},
        {"loss": "absolute"},
        {"loss": "absolute", "l1": 0.1},
    ]

    floors = [_floor(Hyperparameters.model_validate(way)) for way in ways]

    assert floors == sorted(set(floors))


def held_of(work: int) -> Held:
    claim = SimpleNamespace(work=work)
    return Held(claim, 0, 0, None)  # type: ignore[arg-type]  # nothing else of it is looked at


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
