"""Checkpoints: k epochs, save, load, k epochs are 2k epochs, bit for bit; others are refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from descend.errors import InvalidInput
from descend.jobs import StopReason
from tests.problems import notebook, random_problem
from tests.workers.training.trained import problem_of, train_batch
from workers import training

WAYS: dict[str, dict[str, object]] = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "nesterov with l1": {"momentum": 0.9, "nesterov": True, "l1": 0.05},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1, "l2": 0.1},
    "float32": {"dtype": "float32", "momentum": 0.5},
    "torch's weights": {"init": "torch"},
    "held-out rows": {"validation_fraction": 0.25},
}


def started(problem: training.Problem, checkpoint: bytes | None = None) -> training.TrainingState:
    return training.start([problem], "cpu", [checkpoint])


@pytest.mark.parametrize("n_samples", [30, 900], ids=["in two lanes", "alone"])
@pytest.mark.parametrize("way", WAYS)
def test_a_run_in_two_halves_is_the_run_in_one(way: str, n_samples: int) -> None:
    rows = random_problem("any", n_samples=n_samples, n_features=11)
    problem = problem_of(rows, **WAYS[way], max_epochs=120, tol=0)
    first, before = training.advance(started(problem), 60)

    second, after = training.advance(started(problem, training.save(first, 0)), 60)

    whole = train_batch([problem])[0]
    outcome = training.outcome(second, 0)
    assert outcome.coef.tobytes() == whole.outcome.coef.tobytes()
    assert outcome.intercept.tobytes() == whole.outcome.intercept.tobytes()
    assert outcome.metrics == whole.outcome.metrics
    for column in ("epoch", "train_loss", "eval_loss", "learning_rate", "grad_norm"):
        halves = [getattr(before[0].history, column), getattr(after[0].history, column)]
        assert np.concatenate(halves).tobytes() == getattr(whole.history, column).tobytes()


@pytest.mark.parametrize("before_the_end", range(1, 9))
def test_a_resumed_run_stops_by_tol_at_the_same_epoch(before_the_end: int) -> None:
    problem = problem_of(random_problem("any"), tol=1e-4, patience=6)
    whole = train_batch([problem])[0]
    assert whole.outcome.stop_reason is StopReason.SETTLED
    state, _ = training.advance(started(problem), whole.history.total - before_the_end)

    resumed, segments = training.advance(started(problem, training.save(state, 0)), 10**6)

    assert segments[0].history.total == whole.history.total
    assert training.outcome(resumed, 0).coef.tobytes() == whole.outcome.coef.tobytes()


def test_a_resumed_run_diverges_where_the_whole_one_does() -> None:
    problem = problem_of(notebook(), learning_rate=0.19, standardize=False)
    whole = train_batch([problem])[0]
    state, _ = training.advance(started(problem), whole.history.total - 2)

    resumed, _ = training.advance(started(problem, training.save(state, 0)), 1000)

    assert training.outcome(resumed, 0).error == whole.outcome.error


def test_saving_twice_gives_the_same_bytes() -> None:
    problem = problem_of(random_problem("any"), optimizer="adam")
    state, _ = training.advance(started(problem), 10)

    again = started(problem, training.save(state, 0))

    assert training.save(again, 0) == training.save(state, 0)


def test_a_checkpoint_of_the_last_epoch_has_nothing_left_to_do() -> None:
    short = problem_of(notebook(), max_epochs=20, tol=0)
    state, _ = training.advance(started(short), 19)
    ended = _with_counters(training.save(state, 0), epoch=20)

    resumed = started(short, ended)

    assert resumed.live == ()
    assert resumed.stops == {0: StopReason.MAX_EPOCHS}
    assert training.outcome(resumed, 0).stop_reason is StopReason.CONVERGED


def test_a_stopped_model_is_not_saved() -> None:
    state, _ = training.advance(started(problem_of(notebook(), max_epochs=5)), 5)

    with pytest.raises(InvalidInput, match="not in training"):
        training.save(state, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"max_epochs": 999},
        {"l2": 0.1},
        {"seed": 3},
        {"learning_rate": 0.02},
        {"momentum": 0.5},
        {"dtype": "float32"},
    ],
    ids=str,
)
def test_a_checkpoint_of_other_hyperparameters_is_refused(change: dict[str, object]) -> None:
    asked: dict[str, object] = {"learning_rate": 0.01, "max_epochs": 1000}
    state, _ = training.advance(started(problem_of(notebook(), **asked)), 10)
    saved = training.save(state, 0)

    with pytest.raises(training.CheckpointMismatch):
        started(problem_of(notebook(), **{**asked, **change}), saved)


def test_a_checkpoint_of_other_data_is_refused() -> None:
    rows = random_problem("any")
    state, _ = training.advance(started(problem_of(rows)), 10)
    X = rows.X.copy()
    X[3, 1] += 1e-6

    with pytest.raises(training.CheckpointMismatch, match="another problem"):
        started(problem_of(replace(rows, X=X)), training.save(state, 0))


def test_damaged_bytes_are_refused() -> None:
    problem = problem_of(notebook())
    state, _ = training.advance(started(problem), 3)
    saved = training.save(state, 0)

    for damaged in (b"", b"nonsense", saved[:-5], saved[:40], b"\xff" * 64):
        with pytest.raises(training.CheckpointMismatch):
            started(problem, damaged)


@pytest.mark.parametrize(
    "tensors",
    [
        {"params": torch.zeros(3, 1, dtype=torch.float64)},
        {"params": torch.zeros(2, 1, dtype=torch.float32)},
        {"params": torch.full((2, 1), float("nan"), dtype=torch.float64)},
        {"slots.velocity": torch.zeros(2, 1, dtype=torch.float64)},
        {"counters": torch.zeros(2, dtype=torch.int64)},
        {"losses": torch.zeros(3, dtype=torch.float32)},
    ],
    ids=["shape", "dtype", "not a number", "foreign slot", "counters", "losses"],
)
def test_a_checkpoint_with_other_tensors_is_refused(tensors: dict[str, torch.Tensor]) -> None:
    problem = problem_of(notebook(), standardize=False)
    state, _ = training.advance(started(problem), 3)

    with pytest.raises(training.CheckpointMismatch):
        started(problem, _rewritten(training.save(state, 0), **tensors))


def _with_counters(saved: bytes, *, epoch: int) -> bytes:
    counters = from_bytes(saved)["counters"].clone()
    counters[0] = epoch
    return _rewritten(saved, counters=counters)


def _rewritten(saved: bytes, **tensors: torch.Tensor) -> bytes:
    import json

    length = int.from_bytes(saved[:8], "little")
    about = json.loads(saved[8 : 8 + length])["__metadata__"]
    return bytes(to_bytes({**from_bytes(saved), **tensors}, metadata=about))
