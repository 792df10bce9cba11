"""Many rows in float32: sums as long as the table must not cost digits."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.problems import RegressionProblem
from tests.workers.training.trained import problem_of, same_bits, train, train_batch
from workers import training
from workers.training.objective import PART_ROWS, SUM_ROWS, arrange
from workers.training.setup import prepare

N = 3 * SUM_ROWS + 7
LOSSES: dict[str, dict[str, object]] = {
    "huber": {"loss": "huber", "huber_delta": 0.7},
    "absolute": {"loss": "absolute"},
    "quantile": {"loss": "quantile", "quantile": 0.9},
}
# Rounded where the sum is, each of N equal terms would cost N * 2^-25 of it: 0.15 %.
CLOSE = 5e-6


@cache
def rows(n_targets: int = 1) -> RegressionProblem:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 2)) + 1
    Y = X @ np.ones((2, n_targets)) + rng.standard_t(3, size=(N, n_targets)) + 20
    return RegressionProblem("offset", X, Y)


@pytest.mark.parametrize("batch_size", [None, N])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_and_gradients_of_many_rows_are_those_of_float64(
    loss: str, batch_size: int | None, *, weighted: bool
) -> None:
    omega = np.random.default_rng(1).uniform(0, 2, size=N) if weighted else None
    table = replace(rows(), sample_weight=omega)
    init = {"coef": [[0.0, 0.0]], "intercept": [0.0]}
    asked = {"learning_rate": 0.5, "max_epochs": 4, "tol": 0, "batch_size": batch_size}
    asked |= {**LOSSES[loss], "standardize": False, "init": init}

    single, double = (train(table, **asked, dtype=dtype) for dtype in ("float32", "float64"))

    for column in ("train_loss", "grad_norm"):
        ours, theirs = getattr(single.history, column), getattr(double.history, column)
        np.testing.assert_allclose(ours, theirs, rtol=CLOSE)
    np.testing.assert_allclose(single.outcome.intercept, double.outcome.intercept, rtol=CLOSE)


def test_several_targets_are_summed_in_parts_too() -> None:
    init = {"coef": [[0.0, 0.0]] * 2, "intercept": [0.0, 0.0]}
    asked = {"loss": "absolute", "learning_rate": 0.5, "max_epochs": 3, "tol": 0, "init": init}

    single, double = (train(rows(2), **asked, dtype=dtype) for dtype in ("float32", "float64"))

    np.testing.assert_allclose(single.history.grad_norm, double.history.grad_norm, rtol=CLOSE)


def test_parts_are_replayed_and_resumed_bit_for_bit() -> None:
    asked = {**LOSSES["huber"], "dtype": "float32", "max_epochs": 80, "tol": 0, "momentum": 0.5}
    table = RegressionProblem("part", rows().X[: 2 * SUM_ROWS - 3], rows().Y[: 2 * SUM_ROWS - 3])
    problem = problem_of(table, **asked)

    (whole,) = train_batch([problem])
    state, _ = training.advance(training.start([problem], "cpu", [None], replay=False), 33)
    saved = training.save(state, 0)
    state = training.start([problem], "cpu", [saved])
    while state.live:
        state, _ = training.advance(state, 7)

    assert training.outcome(state, 0).coef.tobytes() == whole.outcome.coef.tobytes()
    assert same_bits(train_batch([problem], portion=9)[0], whole)


@pytest.mark.parametrize(
    ("dtype", "parts"), [("float32", 3 * SUM_ROWS // PART_ROWS + 1), ("float64", 1)]
)
def test_rows_that_fill_up_the_last_part_weigh_nothing(dtype: str, parts: int) -> None:
    problem = problem_of(rows(), loss="absolute", dtype=dtype)
    design = arrange([(problem, prepare(problem)[1])], [0], device="cpu")

    assert design.parts == parts
    assert design.A.shape[1] % parts == 0
    assert design.A.shape[1] - N < parts
    assert not design.shares[:, N:].any()
    assert not design.A[:, N:].any()
    assert float(design.share) == pytest.approx(1 / N)
