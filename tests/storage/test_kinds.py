"""Jobs that answer instead of training; statistics of models; models deleted."""

import numpy as np
import pytest

from descend.errors import ModelNotFound
from descend.jobs import JobKind, JobState, StopReason
from descend.statistics import Statistics, TargetStatistics
from storage.database import Database
from tests.storage.acts import MODEL, cancel, claim, finish, get, submit

STATISTICS = Statistics(
    names=["x0", "(intercept)"],
    n_samples=3,
    df_model=1,
    df_residual=1,
    rank=2,
    condition_number=3.0,
    targets=[
        TargetStatistics(
            target="y",
            residual_sd=0.5,
            r2=0.9,
            adjusted_r2=0.8,
            std_errors={"classical": [0.1, 0.2]},
        )
    ],
)
SPREAD = np.array([2.0, 0.5, 0.2, 0.1, 0.0, 0.4])  # mean, scale, root by rows
ANSWER = {"state": JobState.SUCCEEDED, "stop_reason": StopReason.ANSWERED, "model": None}


def test_an_answer_is_read_back_with_its_job(database: Database) -> None:
    job, _ = submit(database, kind=JobKind.PLAN, hyperparameters={"max_epochs": 500})
    assert (job.kind, job.progress.max_epochs) == (JobKind.PLAN, 1)
    (held,) = claim(database)
    assert held.kind is JobKind.PLAN
    assert held.hyperparameters.max_epochs == 500

    assert finish(database, held, **ANSWER, epochs_done=1, result='{"rank": 2}')

    found = get(database, job.id)
    assert found.kind is JobKind.PLAN
    assert found.result == {"rank": 2}
    assert found.stop_reason is StopReason.ANSWERED
    assert found.progress.fraction == 1.0
    assert found.model_id is None


def test_a_cancelled_question_keeps_no_answer(database: Database) -> None:
    job, _ = submit(database, kind=JobKind.PLAN)
    (held,) = claim(database)
    cancel(database, job.id)

    assert finish(database, held, **ANSWER, epochs_done=1, result="{}")

    assert get(database, job.id).state is JobState.CANCELLED
    assert get(database, job.id).result is None


def test_a_finish_that_is_repeated_keeps_one_answer(database: Database) -> None:
    job, _ = submit(database, kind=JobKind.PLAN)
    (held,) = claim(database)

    assert finish(database, held, **ANSWER, epochs_done=1, result="{}")
    assert finish(database, held, **ANSWER, epochs_done=1, result="[]")

    assert get(database, job.id).result == {}


def test_lists_show_trainings_unless_asked(database: Database) -> None:
    trained, _ = submit(database)
    planned, _ = submit(database, kind=JobKind.PLAN)

    with database.read() as tx:
        pages = [tx.jobs.page(), tx.jobs.page(kind=JobKind.PLAN), tx.jobs.page(kind=None)]

    assert [[job.id for job in page.data] for page in pages] == [
        [trained.id],
        [planned.id],
        [planned.id, trained.id],
    ]


def model_with_statistics(database: Database) -> str:
    job, _ = submit(database)
    (held,) = claim(database)
    assert finish(database, held, statistics=STATISTICS, covariance=SPREAD.tobytes())
    model_id = get(database, job.id).model_id
    assert model_id is not None
    return model_id


def test_statistics_are_stored_with_the_model(database: Database) -> None:
    model_id = model_with_statistics(database)

    with database.read() as tx:
        known = tx.models.statistics(model_id)

    assert known is not None
    assert known.statistics == STATISTICS
    assert known.spread is not None
    v = np.array([(3.0 - 2.0) / 0.5, 1.0]) @ [[0.2, 0.1], [0.0, 0.4]]
    assert known.spread.leverage(np.array([[3.0]])) == pytest.approx([v @ v])


def test_a_model_without_statistics_has_none(database: Database) -> None:
    job, _ = submit(database)
    (held,) = claim(database)
    assert finish(database, held, model=MODEL)

    with database.read() as tx:
        assert tx.models.statistics(str(get(database, job.id).model_id)) is None
        with pytest.raises(ModelNotFound):
            tx.models.statistics("mdl_none")


def test_a_deleted_model_is_gone_with_its_statistics(database: Database) -> None:
    model_id = model_with_statistics(database)

    with database.begin() as tx:
        tx.models.delete(model_id)

    with database.begin() as tx:
        for read in (tx.models.get, tx.models.statistics, tx.models.delete):
            with pytest.raises(ModelNotFound):
                read(model_id)
