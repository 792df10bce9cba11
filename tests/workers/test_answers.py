"""Questions answered in the runner, and what the worker believes of an answer."""

import json
from pathlib import Path

import numpy as np
import pytest
import structlog

from descend.datasets import InlineXY
from descend.diagnostics import Diagnostics
from descend.errors import InvalidInput, StorageFull
from descend.gradients import Gradients
from descend.jobs import Hyperparameters, JobKind, JobState, StopReason
from descend.plans import Plan
from storage.database import Database
from storage.ingest import JsonTable
from storage.leases import Outcome
from tests.storage.acts import claim, submit
from tests.workers.tables import assignment as job_on
from tests.workers.tables import written
from workers.answers import answer
from workers.frames import Platform
from workers.orders import Assignment
from workers.payments import Held
from workers.reports import Entry, Fate
from workers.settle import payment_for

LESSON = {"learning_rate": 0.01, "standardize": False}
PLATFORM = Platform(torch_version="2.13.0", cpu="any", kernel="any")
AT = {"coef": [[1.5]], "intercept": [0.5], "features": ["x0"]}


def assignment(kind: JobKind, **hyperparameters: object) -> Assignment:
    data = JsonTable.of(InlineXY(X=[[1.0], [2.0], [3.0], [5.0]], y=[2.0, 4.1, 5.9, 10.0])).ingested(
        name=None
    )
    assert data.inline is not None
    return Assignment(
        job_id="job_1",
        fence=1,
        attempt=1,
        hyperparameters=Hyperparameters.model_validate(hyperparameters).resolved(0),
        device="cpu",
        features=("x0",),
        targets=("y",),
        weight=None,
        missing="error",
        categorical="one_hot",
        data=data.inline,
        validation=None,
        factors=None,
        parent_factors=None,
        parent_rows=0,
        checkpoint=None,
        epochs_done=0,
        kind=kind,
    )


SCRATCH = Path("nowhere")  # what is small needs none


def alive() -> None:
    """Nothing is wished."""


def test_a_plan_is_answered_with_an_estimate_of_its_time() -> None:
    entry = answer(assignment(JobKind.PLAN, **LESSON), alive=alive, scratch=SCRATCH)

    told = Plan.model_validate_json(entry.result or b"")
    assert entry.stop_reason is StopReason.ANSWERED
    assert told.n_samples == 4
    assert told.engine == "compressed"
    assert told.seconds is not None
    assert 0 < told.seconds < 60


def test_a_plan_of_mini_batches_puts_many_rows_where_training_puts_them(tmp_path: Path) -> None:
    n, levels = 36_000, 1_000  # 288 MB, encoded: more than is held in memory
    town = [f"t{i % levels}" for i in range(n)]
    data = written(tmp_path / "t.arrow", {"town": town, "y": [1.0] * n}, rows=n)
    job = job_on(data, ("town",), hyperparameters={"batch_size": 32}, kind=JobKind.PLAN)

    # there, and not in the system's temporary folder
    with pytest.raises(StorageFull, match=r"take 288,000,000 bytes .* make room and send") as lack:
        answer(job, alive=alive, scratch=tmp_path / "full")
    assert lack.value.param == "hyperparameters.batch_size"


@pytest.mark.parametrize("asked", [{"max_epochs": 1}, {"batch_size": 2}, {"optimizer": "lbfgs"}])
def test_every_way_of_training_has_an_estimate(asked: dict[str, object]) -> None:
    entry = answer(assignment(JobKind.PLAN, **asked), alive=alive, scratch=SCRATCH)

    told = Plan.model_validate_json(entry.result or b"")
    assert told.seconds is not None
    assert 0 < told.seconds < 60


def test_a_plan_of_what_takes_no_epochs_has_no_time() -> None:
    entry = answer(assignment(JobKind.PLAN, optimizer="exact"), alive=alive, scratch=SCRATCH)

    told = Plan.model_validate_json(entry.result or b"")
    assert told.seconds is None
    assert told.min_loss is not None


def test_gradients_are_taken_on_the_rows() -> None:
    entry = answer(assignment(JobKind.GRADIENTS, **LESSON, init=AT), alive=alive, scratch=SCRATCH)

    told = Gradients.model_validate_json(entry.result or b"")
    assert told.weights == [[1.5, 0.5]]
    assert told.jacobian == [[1.0, 1.0], [2.0, 1.0], [3.0, 1.0], [5.0, 1.0]]


@pytest.fixture(scope="module")
def tall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More rows than a rate for mini-batches looks at."""
    x = np.random.default_rng(0).exponential(size=20_000)
    columns = {"x": x, "y": 2 * x + np.sin(np.arange(20_000))}
    return written(tmp_path_factory.mktemp("tall") / "tall.arrow", columns, rows=20_000)


@pytest.mark.parametrize("kind", [JobKind.PLAN, JobKind.GRADIENTS])
def test_mini_batches_are_asked_about_the_objective_of_all_rows(tall: Path, kind: JobKind) -> None:
    told = []
    for batch_size in (None, 32):
        asked = {"batch_size": batch_size, "learning_rate": 0.01, "max_epochs": 2}
        job = job_on(tall, ("x",), hyperparameters=asked, kind=kind)
        told.append(json.loads(answer(job, alive=alive, scratch=SCRATCH).result or b""))

    on_all_rows, in_batches = told
    same = {"min_loss", "min_objective", "rank", "stability_bound", "condition_number"}
    if kind is JobKind.GRADIENTS:
        same = {"autograd", "by_hand", "loss", "eigenvalues", "minimum", "refused"}
    for name in same:
        assert in_batches[name] == on_all_rows[name], name


def test_diagnostics_are_of_the_weights_given() -> None:
    entry = answer(assignment(JobKind.DIAGNOSTICS, init=AT), alive=alive, scratch=SCRATCH)

    told = Diagnostics.model_validate_json(entry.result or b"")
    residuals = {row.row: row.residual for row in told.targets[0].rows}
    assert residuals == pytest.approx({1: 0.0, 2: 0.6, 3: 0.9, 4: 2.0})


def test_diagnostics_without_weights_are_refused() -> None:
    with pytest.raises(InvalidInput, match="given weights"):
        answer(assignment(JobKind.DIAGNOSTICS), alive=alive, scratch=SCRATCH)


def test_the_work_ends_where_it_is_not_wished_any_more() -> None:
    def gone() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        answer(assignment(JobKind.PLAN), alive=gone, scratch=SCRATCH)


def held(database: Database, kind: JobKind) -> Held:
    submit(database, kind=kind)
    (taken,) = claim(database)
    return Held(taken, 0, 0, structlog.get_logger())


def answered(of: Held, result: bytes | None) -> Entry:
    return Entry(
        of.claim.job_id,
        of.fence,
        fate=Fate.SUCCEEDED,
        epochs_done=1,
        stop_reason=StopReason.ANSWERED,
        result=result,
    )


def test_an_answer_is_believed_when_the_contract_has_it(sqlite_database: Database) -> None:
    of = held(sqlite_database, JobKind.PLAN)
    told = answer(assignment(JobKind.PLAN, **LESSON), alive=alive, scratch=SCRATCH)

    payment = payment_for(answered(of, told.result), of, platform=PLATFORM)

    assert isinstance(payment, Outcome)
    assert payment.state is JobState.SUCCEEDED
    assert payment.result is not None
    assert Plan.model_validate_json(payment.result).n_samples == 4


@pytest.mark.parametrize("result", [None, b"", b"{}", b'{"object": "gradients"}', b"\xff"])
def test_no_other_answer_is_believed(sqlite_database: Database, result: bytes | None) -> None:
    of = held(sqlite_database, JobKind.PLAN)

    payment = payment_for(answered(of, result), of, platform=PLATFORM)

    assert isinstance(payment, Outcome)
    assert (payment.state, payment.result) == (JobState.FAILED, None)


def test_a_training_is_not_answered_and_a_question_not_trained(sqlite_database: Database) -> None:
    of = held(sqlite_database, JobKind.TRAIN)
    told = answer(assignment(JobKind.PLAN, **LESSON), alive=alive, scratch=SCRATCH)

    other = held(sqlite_database, JobKind.PLAN)
    with_weights = Entry(
        other.claim.job_id,
        other.fence,
        fate=Fate.SUCCEEDED,
        epochs_done=1,
        stop_reason=StopReason.MAX_EPOCHS,
        coef=np.ones((1, 1)),
        intercept=np.ones(1),
    )

    untrained = payment_for(answered(of, told.result), of, platform=PLATFORM)
    unanswered = payment_for(with_weights, other, platform=PLATFORM)

    for payment, lacks in ((untrained, "without weights"), (unanswered, "without an answer")):
        assert isinstance(payment, Outcome)
        assert payment.state is JobState.FAILED
        assert payment.error is not None
        assert lacks in payment.error.message
