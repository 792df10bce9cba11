"""A dataset's factor is made once: the next job reads no rows, and appended rows alone are read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descend.errors import CorruptArtefact
from tests.workers.tables import assignment, written
from workers import training
from workers.factors import MOST_KEPT, FactorFolder, View
from workers.loading import Loaded, load_problem
from workers.orders import Assignment
from workers.tables import Columns

FEATURES = ("a", "b", "town")
N = 40


def cells(n: int = N, *, gaps: bool = False, towns: str = "RBO", seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    town = [towns[i] for i in rng.integers(len(towns), size=n)]
    y = a - 2 * b + np.array([ord(t) % 7 for t in town]) + rng.normal(size=n)
    holes = [None if gaps and i % 11 == 3 else float(v) for i, v in enumerate(a)]
    return {"a": holes, "b": b.tolist(), "town": town, "y": y.tolist(), "w": [1.0, 2.0] * (n // 2)}


@pytest.fixture
def job(tmp_path: Path) -> Assignment:
    data = written(tmp_path / "t.arrow", cells(gaps=True), rows=16)
    return assignment(data, FEATURES, missing="drop", factors=tmp_path / "factors")


def factor_of(loaded: Loaded) -> training.Factor:
    sample = loaded.problem.trained
    assert isinstance(sample, training.Factored)
    return sample.factor


def same_factor(one: training.Factor, other: training.Factor) -> bool:
    return training.factor_to_bytes(one) == training.factor_to_bytes(other)


def loss_far(one: Loaded, other: Loaded) -> float:
    """How far two factors' losses are apart at some weights, relatively."""
    coef = np.random.default_rng(1).normal(size=(1, one.problem.n_features))
    losses = [loaded.problem.trained.loss(coef, np.ones(1)) for loaded in (one, other)]
    return abs(losses[0] - losses[1]) / losses[0]


def without_file(job: Assignment) -> Assignment:
    assert isinstance(job.data, Path)
    job.data.unlink()
    return job


def held_out(job: Assignment, seed: int) -> Assignment:
    h = job.hyperparameters.model_copy(update={"validation_fraction": 0.25, "seed": seed})
    return replace(job, hyperparameters=h)


def test_of_many_splits_those_used_last_are_kept_and_the_whole_beside_them(
    job: Assignment,
) -> None:
    load_problem(job)
    for seed in range(MOST_KEPT):
        load_problem(held_out(job, seed))
    load_problem(held_out(job, 0))  # used again

    load_problem(held_out(job, MOST_KEPT))

    assert job.factors is not None
    assert len(list(job.factors.iterdir())) == MOST_KEPT + 1
    without_file(job)
    load_problem(job)
    load_problem(held_out(job, 0))
    load_problem(held_out(job, MOST_KEPT))


# The same dataset again


def test_the_second_job_does_not_open_the_file(job: Assignment) -> None:
    first = load_problem(job)

    second = load_problem(without_file(job))

    assert same_factor(factor_of(first), factor_of(second))
    assert second.encoding == first.encoding
    assert (
        second.warnings == first.warnings == ("4 of 40 rows have missing cells and are left out",)
    )
    assert second.problem.features == ("a", "b", "town=O", "town=R")


def test_other_hyperparameters_find_the_same_factor(job: Assignment) -> None:
    first = load_problem(job)
    h = job.hyperparameters.model_copy(update={"max_epochs": 7, "l2": 0.1, "seed": 5})

    second = load_problem(replace(without_file(job), hyperparameters=h))

    assert same_factor(factor_of(first), factor_of(second))


def test_rows_held_out_have_a_factor_of_their_own(job: Assignment) -> None:
    h = job.hyperparameters.model_copy(update={"validation_fraction": 0.25, "seed": 3})
    job = replace(job, hyperparameters=h)
    first = load_problem(job)

    second = load_problem(without_file(job))

    held, again = first.problem.held, second.problem.held
    assert isinstance(held, training.Factored)
    assert isinstance(again, training.Factored)
    assert (first.problem.n_train, first.problem.n_eval) == (27, 9)
    assert same_factor(factor_of(first), factor_of(second))
    assert same_factor(held.factor, again.factor)
    assert not same_factor(factor_of(first), held.factor)


@pytest.mark.parametrize(
    "other",
    [
        {"features": ("b", "a", "town")},
        {"features": ("a", "b")},
        {"targets": ("w",)},
        {"weight": "w"},
        {"missing": "mean"},
        {"validation_fraction": 0.5},
        {"validation_fraction": 0.5, "seed": 2},
    ],
)
def test_another_way_of_looking_at_the_dataset_reads_it(
    job: Assignment, other: dict[str, Any]
) -> None:
    load_problem(job)
    half = job.hyperparameters.model_copy(update={"validation_fraction": 0.5, "seed": 1})
    load_problem(replace(job, hyperparameters=half))
    changed = dict(other)
    asked = {k: changed.pop(k) for k in ("validation_fraction", "seed") if k in changed}
    h = job.hyperparameters.model_copy(update=asked)

    with pytest.raises(CorruptArtefact):
        load_problem(replace(without_file(job), hyperparameters=h, **changed))


def test_a_folder_that_cannot_be_written_costs_no_job(job: Assignment, tmp_path: Path) -> None:
    (tmp_path / "factors").write_text("a file is in the way")

    loaded = load_problem(job)

    assert factor_of(loaded).n_rows == 36


def test_nothing_is_kept_where_no_folder_is_named(job: Assignment, tmp_path: Path) -> None:
    load_problem(replace(job, factors=None))

    assert not (tmp_path / "factors").exists()


def test_rows_that_are_trained_on_as_they_are_keep_nothing(job: Assignment, tmp_path: Path) -> None:
    h = job.hyperparameters.model_copy(update={"loss": "huber", "huber_delta": 1.0})
    load_problem(job)

    loaded = load_problem(replace(job, hyperparameters=h))

    assert isinstance(loaded.problem.trained, training.Rows)
    assert len(list((tmp_path / "factors").iterdir())) == 1


# Damage


def the_file(job: Assignment) -> Path:
    assert job.factors is not None
    (path,) = job.factors.iterdir()
    return path


def test_a_damaged_factor_is_as_good_as_none_and_is_made_anew(job: Assignment) -> None:
    first = load_problem(job)
    path = the_file(job)
    whole = path.read_bytes()
    cut = (b"", whole[:-1], whole[:100], whole + b"more")
    other = [len(body).to_bytes(8, "little") + body for body in (b"[]", b"null", b"{}")]
    for damaged in (*cut, *other):
        path.write_bytes(damaged)

        again = load_problem(job)

        assert same_factor(factor_of(first), factor_of(again))
        assert path.read_bytes() == whole


def test_no_byte_can_be_wrong_unnoticed(job: Assignment) -> None:
    load_problem(job)
    path = the_file(job)
    whole = bytearray(path.read_bytes())
    view = View(Columns(FEATURES, ("y",), None, "drop", "one_hot"))
    assert job.factors is not None
    assert FactorFolder(job.factors).find(view) is not None

    unnoticed = []
    for place in range(len(whole)):
        for bit in (0x01, 0x10):
            whole[place] ^= bit
            path.write_bytes(whole)
            if FactorFolder(job.factors).find(view) is not None:
                unnoticed.append(place)
            whole[place] ^= bit

    assert unnoticed == []


# Appended rows


def appended(tmp_path: Path, job: Assignment, rows: dict[str, Any], **more: Any) -> Assignment:
    """A job on a dataset that begins with the job's, whose own rows are poisoned in the file."""
    whole, poisoned = ({k: [*v, *rows[k]] for k, v in cells(gaps=True).items()} for _ in range(2))
    poisoned["b"] = [1e9] * N + poisoned["b"][N:]
    written(tmp_path / "whole.arrow", whole, rows=16)
    data = written(tmp_path / "poisoned.arrow", poisoned, rows=16)
    asked = {"factors": None, "parent_factors": job.factors, "parent_rows": N, **more}
    return replace(job, data=data, **asked)


def cold(child: Assignment) -> Loaded:
    """The same with the true file, and without the parent's factor."""
    assert isinstance(child.data, Path)
    whole = child.data.with_name("whole.arrow")
    return load_problem(replace(child, data=whole, parent_factors=None))


@pytest.mark.parametrize("weight", [None, "w"])
def test_only_the_appended_rows_are_read(
    job: Assignment, tmp_path: Path, weight: str | None
) -> None:
    job = replace(job, weight=weight)
    load_problem(job)
    child = appended(tmp_path, job, cells(21 * 2, gaps=True, seed=5))

    loaded = load_problem(child)

    expected = cold(child)
    assert loss_far(loaded, expected) < 1e-13
    assert loaded.warnings == expected.warnings
    assert loaded.problem.n_train == 36 + 42 - 4


def test_appended_rows_of_which_none_is_used_leave_the_factor_as_it_is(
    job: Assignment, tmp_path: Path
) -> None:
    parent = load_problem(job)
    rows = cells(4, seed=5) | {"a": [None] * 4}
    child = appended(tmp_path, job, rows)

    loaded = load_problem(child)

    assert same_factor(factor_of(loaded), factor_of(parent))
    assert loaded.warnings == ("8 of 44 rows have missing cells and are left out",)


def test_what_was_merged_is_kept_for_the_next(job: Assignment, tmp_path: Path) -> None:
    load_problem(job)
    child = appended(tmp_path, job, cells(10, seed=5), factors=tmp_path / "child")
    first = load_problem(child)

    second = load_problem(without_file(child))

    assert same_factor(factor_of(first), factor_of(second))


@pytest.mark.parametrize(
    ("rows", "more"),
    [
        (cells(20, towns="X", seed=5), {}),  # a level that the parent has not
        (cells(20, seed=5), {"missing": "mean"}),  # other means
        (cells(20, seed=5), {"parent_rows": N + 1}),
        (cells(20, seed=5), {"features": ("b", "town", "a")}),
        (cells(20, seed=5), {"validation_fraction": 0.5}),
    ],
    ids=["level", "means", "rows", "features", "held out"],
)
def test_a_parent_s_factor_that_does_not_fit_is_not_used(
    job: Assignment, tmp_path: Path, rows: dict[str, Any], more: dict[str, Any]
) -> None:
    changed = dict(more)
    fraction = changed.pop("validation_fraction", 0.0)
    h = job.hyperparameters.model_copy(update={"validation_fraction": fraction})
    load_problem(replace(job, hyperparameters=h, missing=more.get("missing", "drop")))
    child = replace(appended(tmp_path, job, rows, **changed), hyperparameters=h)

    loaded = load_problem(child)

    assert isinstance(child.data, Path)
    expected = cold(child)
    read = replace(child, parent_factors=None)
    assert same_factor(factor_of(loaded), factor_of(load_problem(read)))
    assert not same_factor(factor_of(loaded), factor_of(expected))
