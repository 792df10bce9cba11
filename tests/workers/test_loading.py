"""What a job holds of its table while it loads, trains and is solved: never all of it."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.workers.tables import assignment, written
from workers.batch import load, rehearse, work_on
from workers.loading import load_problem, load_rows
from workers.mapping import IN_MEMORY_BYTES
from workers.orders import Assignment
from workers.training import Factored, Mapped

FEATURES = tuple(f"x{j}" for j in range(9))
N, BATCH = 300_000, 10_000
TABLE_BYTES = N * (len(FEATURES) + 1) * 8
# A batch's columns encoded, a tile and its factor; the table is 24 MB.
MOST_BYTES = TABLE_BYTES // 8


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    columns: dict[str, object] = {name: rng.normal(size=N) for name in (*FEATURES, "y")}
    columns["w"] = rng.uniform(0.5, 2, size=N)
    columns["gaps"] = [None if i % 50 == 7 else float(i % 7) for i in range(N)]
    return written(tmp_path_factory.mktemp("large") / "t.arrow", columns, rows=BATCH)


def peak(act: Callable[[], object]) -> int:
    """Bytes that were allocated at most, beyond what there was."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module", autouse=True)
def _what_is_imported_at_first_use() -> None:
    rehearse()


def train(job: Assignment, scratch: Path | None = None) -> None:
    work = work_on([load(job, scratch=scratch)])
    while work.live:
        work.advance(100)


@pytest.mark.parametrize("missing", ["error", "drop", "mean"])
def test_a_factor_is_made_without_holding_the_table(path: Path, missing: str) -> None:
    features = FEATURES if missing == "error" else (*FEATURES, "gaps")
    job = assignment(path, features, missing=missing)

    assert peak(lambda: load_problem(job)) < MOST_BYTES


def test_a_job_is_trained_without_holding_the_table(path: Path) -> None:
    job = assignment(path, FEATURES, hyperparameters={"max_epochs": 200, "tol": 0})

    assert peak(lambda: train(job)) < MOST_BYTES


def test_a_job_is_solved_and_its_statistics_made_without_holding_the_table(path: Path) -> None:
    job = assignment(path, FEATURES, hyperparameters={"optimizer": "exact"})

    assert peak(lambda: train(job)) < MOST_BYTES


def test_rows_in_memory_are_what_this_would_notice(path: Path) -> None:
    assert peak(lambda: load_rows(assignment(path, FEATURES))) > TABLE_BYTES


def test_batches_are_drawn_from_rows_that_weigh_or_look_like_one(tmp_path: Path) -> None:
    columns = {"x": [1e200, 1.0, -1e200, 3.0], "y": [0.0, 2.0, 9.0, 6.0], "w": [0.0, 1.0, 0.0, 2.0]}
    data = written(tmp_path / "weighted.arrow", columns)

    rows = load_problem(assignment(data, ("x",), weight="w", hyperparameters={"batch_size": 2}))

    trained = rows.problem.trained
    assert isinstance(trained, Mapped)
    assert trained.X[:, 0].tolist() == [1.0, 1.0, 1.0, 3.0]
    assert trained.Y[:, 0].tolist() == [2.0, 2.0, 2.0, 6.0]
    assert np.asarray(trained.omega).tolist() == [0.0, 1.0, 0.0, 2.0]


@pytest.mark.parametrize("asked", [{}, {"validation_fraction": 0.3}], ids=str)
def test_rows_for_batches_lie_in_a_file_without_gaps(
    path: Path, tmp_path: Path, asked: dict[str, object]
) -> None:
    job = assignment(path, FEATURES, weight="w", hyperparameters={"batch_size": 64, **asked})

    problem = load_problem(job, scratch=tmp_path).problem

    for rows in (problem.trained, problem.held):
        if rows is None or rows.n * rows.n_features * 8 < IN_MEMORY_BYTES:
            continue
        assert isinstance(rows, Mapped)
        assert rows.omega is not None
        for part in (rows.X, rows.Y, rows.omega):
            assert isinstance(part, np.memmap)
            assert part.flags.c_contiguous
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("loss", ["squared", "absolute"])
@pytest.mark.parametrize("more", [{}, {"weight": "w"}, {"missing": "drop"}], ids=str)
def test_a_job_is_trained_in_batches_without_holding_the_table(
    path: Path, tmp_path: Path, loss: str, more: dict[str, str]
) -> None:
    asked = {"loss": loss, "batch_size": 8192, "max_epochs": 1, "tol": 0}
    features = (*FEATURES, "gaps") if more.get("missing") else FEATURES
    job = assignment(path, features, hyperparameters={**asked, "validation_fraction": 0.1}, **more)

    held = peak(lambda: train(job, scratch=tmp_path))

    # Held-out rows so few that they are in memory, 2^14 rows for a rate, the order of a chunk.
    assert held < TABLE_BYTES * 2 // 3


def test_rows_to_validate_batches_on_are_not_held_either(path: Path, tmp_path: Path) -> None:
    asked = {"loss": "huber", "batch_size": 8192, "max_epochs": 1}
    job = assignment(path, FEATURES, hyperparameters=asked, validation=path)

    assert peak(lambda: train(job, scratch=tmp_path)) < TABLE_BYTES * 2 // 3


def test_the_minimum_of_batches_is_that_of_all_rows(path: Path, tmp_path: Path) -> None:
    job = assignment(path, FEATURES, hyperparameters={"batch_size": 512}, factors=tmp_path / "f")

    batches = load_problem(job, scratch=tmp_path).problem
    whole = load_problem(assignment(path, FEATURES)).problem
    again = load_problem(job, scratch=tmp_path).problem

    assert isinstance(batches.trained, Mapped)
    for one in (batches, again):
        assert isinstance(one.factored, Factored)
        assert one.factored.digest() == whole.trained.digest()
