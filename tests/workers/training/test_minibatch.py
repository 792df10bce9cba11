"""Mini-batches: against torch step for step, in any portions, from memory or from a file."""

import tracemalloc
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from descend.errors import InvalidInput
from descend.jobs import StopReason
from tests.problems import CATALOGUE, RegressionProblem, random_problem
from tests.workers.training.peers import Peer, by_torch, loss_of
from tests.workers.training.trained import Trained, concatenate, problem_of, same_bits, train
from workers import training
from workers.training.gathering import GROUP_ELEMENTS
from workers.training.losses import Loss
from workers.training.mapped import Mapped
from workers.training.permutation import BLOCK, CHUNK, Order
from workers.training.problem import Problem
from workers.training.samples import Rows

EPOCHS = 6
PEERS: dict[str, tuple[dict[str, object], Peer]] = {
    "sgd": ({"learning_rate": 0.05}, lambda p: torch.optim.SGD(p, lr=0.05)),
    "momentum": (
        {"learning_rate": 0.02, "momentum": 0.8},
        lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.8),
    ),
    "adam": (
        {"optimizer": "adam", "learning_rate": 0.02, "eps": 1e-4},
        lambda p: torch.optim.Adam(p, lr=0.02, eps=1e-4),
    ),
    "adamw": (
        {"optimizer": "adamw", "learning_rate": 0.02, "eps": 1e-4, "weight_decay": 0.1},
        lambda p: torch.optim.AdamW(
            [{"params": [w], "weight_decay": 0.1 * (w.ndim > 1)} for w in p], lr=0.02, eps=1e-4
        ),
    ),
}
LOSSES = {"squared": {}, "huber": {"huber_delta": 0.7}, "quantile": {"quantile": 0.2}}
WAYS: dict[str, dict[str, object]] = {
    "plain": {},
    "momentum": {"momentum": 0.9, "l2": 0.01},
    "adam, l1, validation": {"optimizer": "adam", "l1": 0.05, "validation_fraction": 0.25},
    "huber, falling": {"loss": "huber", "schedule": {"type": "cosine"}, "dtype": "float32"},
    "file order, no intercept": {"shuffle": False, "fit_intercept": False},
    "as they are": {"standardize": False, "init": "torch"},
}


def run(problem: Problem, *, portion: int = 10**6, checkpoint: bytes | None = None) -> Trained:
    state = training.start([problem], "cpu", [checkpoint])
    parts = []
    while state.live:
        state, segments = training.advance(state, portion)
        parts += [segment.history for segment in segments]
    return Trained(concatenate(parts), training.outcome(state, 0))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", PEERS)
@pytest.mark.parametrize("name", ["well conditioned", "several targets", "weighted"])
def test_every_step_is_torchs_on_the_same_batches(name: str, optimizer: str, loss: str) -> None:
    rows = CATALOGUE[name]()
    asked, peer = PEERS[optimizer]

    n_targets, n_features = rows.Y.shape[1], rows.X.shape[1]
    zero = {"coef": np.zeros((n_targets, n_features)).tolist(), "intercept": [0.0] * n_targets}
    asked = {**asked, **LOSSES[loss], "loss": loss, "batch_size": 9, "l2": 0.01, "init": zero}
    trained = train(rows, **asked, max_epochs=EPOCHS, tol=0)

    def batches(epoch: int) -> list[np.ndarray]:
        order = Order(len(rows.X), 0, epoch, shuffle=True).rows(0, len(rows.X))
        return np.split(order, range(9, len(order), 9))

    parameter = next(iter(LOSSES[loss].values()), 0.0)
    course = by_torch(
        rows, peer, epochs=EPOCHS, criterion=loss_of(loss, parameter), l2=0.01, batches=batches
    )
    history = trained.history
    assert trained.outcome.engine == "streamed"
    assert np.abs(history.train_loss - course.losses).max() <= 1e-11 * course.losses[0]
    assert np.abs(history.grad_norm - course.norms).max() <= 1e-10 * course.norms.max()


@pytest.mark.parametrize("way", ["plain", "momentum", "adam, l1, validation"])
@pytest.mark.parametrize("name", ["well conditioned", "several targets", "weighted"])
def test_one_batch_of_all_rows_is_the_full_batch(name: str, way: str) -> None:
    rows = CATALOGUE[name]()
    asked = {**WAYS[way], "learning_rate": 0.02, "max_epochs": 50, "tol": 0}

    batch = train(rows, **asked, batch_size=10**6)
    full = train(rows, **asked)

    for column in ("train_loss", "eval_loss", "grad_norm"):
        ours, theirs = getattr(batch.history, column), getattr(full.history, column)
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    np.testing.assert_allclose(batch.outcome.coef, full.outcome.coef, rtol=1e-9, atol=1e-12)
    assert batch.outcome.metrics.objective == pytest.approx(
        full.outcome.metrics.objective, rel=1e-11
    )


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=8, deadline=None)
@given(portion=st.integers(1, 40), size=st.sampled_from([1, 7, 64]), cut=st.integers(1, 90))
def test_portions_and_interruptions_leave_no_trace(
    way: str, portion: int, size: int, cut: int
) -> None:
    rows = replace(random_problem("any"), sample_weight=np.linspace(0, 2, 40))
    problem = problem_of(
        rows, **WAYS[way], batch_size=size, max_epochs=3, tol=0, learning_rate=0.01
    )
    whole = run(problem)

    portioned = run(problem, portion=portion)
    state, before = training.advance(training.start([problem], "cpu", [None]), cut)

    assert same_bits(portioned, whole)
    if state.live:
        resumed = run(problem, checkpoint=training.save(state, 0), portion=portion)
        halves = [before[0].history.train_loss, resumed.history.train_loss]
        assert np.concatenate(halves).tobytes() == whole.history.train_loss.tobytes()
        assert resumed.outcome.coef.tobytes() == whole.outcome.coef.tobytes()
        assert resumed.outcome.metrics == whole.outcome.metrics


def test_a_step_is_the_unit_and_an_unfinished_epoch_has_no_row() -> None:
    problem = problem_of(random_problem("any"), batch_size=10, max_epochs=2, tol=0)
    state = training.start([problem], "cpu", [None])

    lengths, totals = [], []
    for units in (3, 1, 2, 9):
        state, segments = training.advance(state, units)
        lengths.append(len(segments[0].history))
        totals.append(segments[0].history.total)

    assert lengths == [0, 1, 0, 1]
    assert totals == [0, 1, 1, 2]
    assert state.live == ()
    assert training.advance(state, 5)[1] == []


def test_advancing_leaves_the_old_state_as_it_was() -> None:
    problem = problem_of(random_problem("any"), batch_size=10, optimizer="adam")
    state, _ = training.advance(training.start([problem], "cpu", [None]), 3)

    once, _ = training.advance(state, 7)
    again, _ = training.advance(state, 7)

    assert training.save(once, 0) == training.save(again, 0)
    assert training.save(once, 0) != training.save(state, 0)


def test_rows_in_a_file_give_the_bits_of_rows_in_memory(tmp_path: Path) -> None:
    rows = replace(random_problem("any", n_samples=500), sample_weight=np.linspace(0.5, 2, 500))
    asked = {"batch_size": 64, "max_epochs": 3, "tol": 0, "optimizer": "adam"}
    in_memory = problem_of(rows, **asked)
    parts = {"X": rows.X, "Y": rows.Y, "omega": rows.sample_weight}
    for name, values in parts.items():
        np.save(tmp_path / f"{name}.npy", values)

    mapped = Mapped(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in parts))
    in_file = replace(in_memory, trained=mapped)

    assert isinstance(mapped.X, np.memmap)
    assert same_bits(run(in_file), run(in_memory))


@pytest.mark.parametrize("asked", [{}, {"loss": "absolute"}], ids=str)
def test_a_batch_is_taken_without_copying_the_table(asked: dict[str, object]) -> None:
    rng = np.random.default_rng(0)
    table = rng.uniform(1, 2, size=(3 * CHUNK, 12))
    rows = Mapped(table[:, :10], table[:, 10:11], table[:, 11])
    asked = {"batch_size": 256, "learning_rate": 1e-3, **asked}
    problem = replace(problem_of(random_problem("any", n_features=10), **asked), trained=rows)
    state, _ = training.advance(training.start([problem], "cpu", [None]), 10)

    tracemalloc.start()
    training.advance(state, 600)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    # What one chunk's order takes, and a group of batches; the table is 19 MB, a column 1.5.
    assert held < 24 * CHUNK + 8 * GROUP_ELEMENTS


def test_a_sample_read_in_chunks_is_the_sample() -> None:
    rng = np.random.default_rng(1)
    n = 2**17 // 3
    X = rng.normal(size=(n, 7)) * [1, 1e3, 1e-3, 1, 1, 1, 1] + [0, 1e6, 0, 5, 0, 0, 0]
    X[:, 6] = 0.1
    Y, omega = rng.normal(size=(n, 2)) + 3, rng.uniform(size=n)
    omega[: n // 2] = 0
    coef, intercept = rng.normal(size=(2, 7)), rng.normal(size=2)
    for weights in (None, omega):
        mapped, rows = Mapped(X, Y, weights).observed, Rows(X, Y, weights)
        assert len(list(mapped.chunks())) == 3

        for fitted in (True, False):
            ours = mapped.scaling(standardize=True, fit_intercept=fitted)
            theirs = rows.scaling(standardize=True, fit_intercept=fitted)
            np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(ours.scale, theirs.scale, rtol=1e-10)
        np.testing.assert_allclose(mapped.moments(), rows.moments(), rtol=1e-12)
        assert mapped.loss(coef, intercept) == pytest.approx(rows.loss(coef, intercept), rel=1e-12)
        assert (mapped.largest() == rows.largest()).all()
        assert len(mapped.matrices(ours, intercept=True)[0]) <= 2**14


@settings(max_examples=25, deadline=None)
@given(
    n=st.one_of(st.integers(1, 2000), st.integers(CHUNK - 2, CHUNK + 2), st.just(2 * CHUNK + 9)),
    seed=st.integers(0, 2**53 - 1),
    epoch=st.integers(0, 10**6),
    data=st.data(),
)
def test_an_order_names_every_row_once_wherever_it_is_cut(
    n: int, seed: int, epoch: int, data: st.DataObject
) -> None:
    order = Order(n, seed, epoch, shuffle=True)
    begin = data.draw(st.integers(0, n - 1))
    end = data.draw(st.integers(begin + 1, n))

    whole = order.rows(0, n)

    assert (np.sort(whole) == np.arange(n)).all()
    assert (order.rows(begin, end) == whole[begin:end]).all()


def test_an_order_is_its_seeds_and_epochs_alone() -> None:
    assert Order(8, 42, 0, shuffle=True).rows(0, 8).tolist() == [3, 7, 6, 5, 1, 4, 2, 0]
    orders = [Order(1000, s, e, shuffle=True).rows(0, 1000) for s, e in ((1, 1), (1, 2), (2, 1))]

    assert len({order.tobytes() for order in orders}) == 3
    assert max(abs(np.corrcoef(order, np.arange(1000))[0, 1]) for order in orders) < 0.15


def test_rows_of_all_places_are_equally_often_first() -> None:
    firsts = [int(Order(10, 7, e, shuffle=True).rows(0, 1)[0]) for e in range(2000)]

    counts = np.bincount(firsts, minlength=10)
    assert np.square(counts - 200).sum() / 200 < 27.9  # chi-square, 9 degrees, p = 0.001


def test_every_chunk_has_blocks_of_all_the_table() -> None:
    n = 12 * CHUNK + 100
    order = Order(n, 3, 1, shuffle=True)

    for begin in range(0, n - CHUNK, CHUNK):
        rows = order.rows(begin, begin + CHUNK)
        counts = np.histogram(rows, bins=8, range=(0, n))[0] / BLOCK
        assert counts.min() > 32 - 4 * 32**0.5
        assert counts.max() < 32 + 4 * 32**0.5


@pytest.mark.parametrize("way", [{}, {"optimizer": "adam"}], ids=str)
def test_a_table_sorted_by_its_target_is_as_good_as_another(way: dict[str, object]) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3 * CHUNK, 2))
    Y = X @ np.array([[1.0], [2.0]]) + rng.normal(size=(3 * CHUNK, 1))
    place = np.argsort(Y[:, 0])

    metrics = train(
        RegressionProblem("sorted", X[place], Y[place]), **way, batch_size=512, max_epochs=3, tol=0
    ).outcome.metrics

    assert metrics.relative_gap is not None
    assert metrics.relative_gap < 0.1


def test_without_shuffle_rows_come_as_in_the_file() -> None:
    assert Order(9, 1, 4, shuffle=False).rows(2, 6).tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("asked", [{}, {"loss": "huber"}], ids=str)
def test_a_batch_without_weight_moves_nothing(asked: dict[str, object]) -> None:
    rows = random_problem("any", n_samples=30)
    omega = np.ones(30)
    omega[10:20] = 0
    kept = replace(
        rows, X=np.delete(rows.X, range(10, 20), 0), Y=np.delete(rows.Y, range(10, 20), 0)
    )
    asked = asked | {"shuffle": False, "batch_size": 10, "max_epochs": 4, "tol": 0}
    asked |= {"learning_rate": 0.05, "standardize": False}

    weighted = train(replace(rows, sample_weight=omega), **asked)

    np.testing.assert_allclose(
        weighted.history.train_loss, train(kept, **asked).history.train_loss, rtol=1e-12
    )


@pytest.mark.parametrize("rate", [3.0, 1e12], ids=["grows", "leaves the range within an epoch"])
def test_divergence_ends_the_epoch_and_says_what_batches_do(rate: float) -> None:
    outcome = train(random_problem("any"), batch_size=2, learning_rate=rate, max_epochs=30).outcome

    assert outcome.stop_reason is StopReason.DIVERGED
    assert outcome.error is not None
    assert "batches of 2 rows" in outcome.error.message
    assert outcome.error.detail["bound"] is None
    remedies = outcome.error.detail["remedies"]
    assert isinstance(remedies, list)
    safe = float(remedies[0].split("learning_rate to ")[1].split(",")[0])
    again = train(random_problem("any"), batch_size=2, learning_rate=safe, max_epochs=30).outcome
    assert again.stop_reason is not StopReason.DIVERGED


@pytest.mark.parametrize("size", [1, 16, 200])
@pytest.mark.parametrize("way", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("loss", LOSSES)
def test_auto_comes_close_in_a_first_run(loss: str, way: str, size: int) -> None:
    rows = random_problem("any", n_samples=200, n_features=5)
    asked = {"sgd": {}, "momentum": {"momentum": 0.9}, "adam": {"optimizer": "adam"}}[way]
    asked = {**asked, **LOSSES[loss], "loss": loss}

    metrics = train(
        rows, **asked, batch_size=size, max_epochs=60 if size == 200 else 20, tol=0
    ).outcome.metrics

    assert metrics.train_loss is not None
    assert metrics.initial_loss is not None
    best = minimum(loss)
    # Huber's rate does not fall by itself, and noise leaves its part; it starts at the median.
    part = 0.2 if loss == "huber" else 0.1
    assert metrics.train_loss - best <= part * (metrics.initial_loss - best)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_of_all_rows_far_from_zero_is_the_full_batch(loss: str) -> None:
    rows = random_problem("any", n_samples=30)
    rows = replace(rows, Y=rows.Y + 1e4)
    asked = {**LOSSES[loss], "loss": loss, "learning_rate": 0.05, "max_epochs": 40, "tol": 0}

    whole = train(rows, **asked).outcome
    batch = train(rows, **asked, batch_size=30, shuffle=False).outcome

    np.testing.assert_allclose(batch.coef, whole.coef, rtol=1e-7)
    np.testing.assert_allclose(batch.intercept, whole.intercept, rtol=1e-9)


@cache
def minimum(loss: str) -> float:
    rows = random_problem("any", n_samples=200, n_features=5)
    long = {"max_epochs": 2000, "tol": 0, "schedule": {"type": "cosine"}}
    asked = {**LOSSES[loss], "loss": loss, "optimizer": "adam", **long}
    found = train(rows, **asked).outcome.metrics.train_loss
    assert found is not None
    return found


def test_a_problem_with_batches_trains_alone() -> None:
    problems = [problem_of(random_problem("any"), batch_size=8) for _ in range(2)]

    assert len({training.batch_key(problem, "cpu") for problem in problems}) == 2
    with pytest.raises(InvalidInput):
        training.start(problems, "cpu", [None, None])


def test_a_checkpoint_of_another_position_or_batch_size_is_told_apart() -> None:
    rows = random_problem("any")
    state = training.start([problem_of(rows, batch_size=8)], "cpu", [None])
    state, _ = training.advance(state, 3)
    saved = training.save(state, 0)

    for other in ({"batch_size": 9}, {"batch_size": 8, "seed": 1}, {}):
        with pytest.raises(training.CheckpointMismatch):
            training.start([problem_of(rows, **other)], "cpu", [saved])


def test_a_dropped_model_is_out_of_training() -> None:
    state = training.start([problem_of(random_problem("any"), batch_size=8)], "cpu", [None])

    state = training.drop(state, 0)

    assert state.live == ()
    with pytest.raises(InvalidInput, match="dropped"):
        training.outcome(state, 0)


def test_a_validation_table_larger_than_a_chunk_is_read_in_pieces() -> None:
    rng = np.random.default_rng(0)
    held = Rows(rng.normal(size=(2**16, 4)), rng.normal(size=(2**16, 1)), None)
    asked = {"batch_size": 20, "max_epochs": 2, "loss": "absolute"}
    problem = replace(problem_of(random_problem("any"), **asked), held=held)
    state = training.start([problem], "cpu", [None])
    first = training.outcome(state, 0)

    state, segments = training.advance(state, 2 + 2 - 1)
    assert len(segments[0].history) == 0
    state, segments = training.advance(state, 1)

    told = segments[0].history.eval_loss
    expected = held.loss(first.coef, first.intercept, Loss("absolute"))
    assert told == pytest.approx([expected], rel=1e-12)


def test_the_weights_of_two_targets_are_those_of_each_alone() -> None:
    rows = random_problem("any", n_targets=2)
    asked = {"batch_size": 7, "max_epochs": 3, "tol": 0}

    both = train(rows, **asked, learning_rate=0.1).outcome
    single = train(
        RegressionProblem("one", rows.X, rows.Y[:, :1]), **asked, learning_rate=0.05
    ).outcome

    np.testing.assert_allclose(both.coef[:1], single.coef, rtol=1e-11)


@pytest.mark.parametrize("way", [{}, {"l2": 0.05}, {"l1": 0.02, "l2": 0.01}, {"dtype": "float32"}])
@pytest.mark.parametrize("name", ["well conditioned", "several targets", "weighted"])
def test_the_gap_of_every_epoch_is_the_distance_to_the_minimum(
    name: str, way: dict[str, object]
) -> None:
    rows = CATALOGUE[name]()
    asked = {**way, "learning_rate": 0.02, "batch_size": 9, "tol": 0}

    long = train(rows, **asked, max_epochs=5)
    full = train(rows, **way, max_epochs=1, tol=0).outcome.metrics

    for epochs in (1, 2, 4):
        metrics = train(rows, **asked, max_epochs=epochs).outcome.metrics
        assert metrics.min_objective == pytest.approx(full.min_objective, rel=1e-9)
        assert metrics.gap == pytest.approx(long.history.gap[epochs], rel=1e-9)
        assert metrics.objective is not None
        apart = metrics.objective - (full.min_objective or 0.0)
        assert metrics.gap == pytest.approx(apart, rel=1e-5, abs=1e-9 * metrics.objective)


@pytest.mark.parametrize(
    "far",
    [
        {"learning_rate": 1e-12},
        {"learning_rate": 1e-3, "schedule": {"type": "inverse", "decay": 1e6}},
        {"learning_rate": "auto", "tol": 0.5},
    ],
    ids=str,
)
def test_a_run_that_only_slowed_down_has_not_converged(far: dict[str, object]) -> None:
    rows = random_problem("any", n_samples=200)

    outcome = train(rows, batch_size=16, max_epochs=200, **far).outcome

    assert outcome.metrics.converged is False
    assert outcome.stop_reason is not StopReason.CONVERGED
    assert outcome.metrics.gap is not None


def test_batches_that_fit_exactly_converge_in_fact() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    rows = RegressionProblem("exact", X, X @ np.arange(1.0, 5.0)[:, np.newaxis] + 2)

    outcome = train(rows, batch_size=10, max_epochs=400).outcome

    assert outcome.metrics.converged is True
    assert outcome.stop_reason is StopReason.CONVERGED
    np.testing.assert_allclose(outcome.coef, [[1, 2, 3, 4]], rtol=1e-4)


def test_a_target_gap_ends_batches_too() -> None:
    rows = random_problem("any", n_samples=500)

    trained = train(rows, batch_size=25, max_epochs=500, target_gap=0.01, tol=0)

    gap = trained.history.gap
    assert trained.outcome.stop_reason is StopReason.TARGET_GAP
    assert gap[-1] <= 0.01 * gap[0] < gap[-2]


@pytest.mark.parametrize("loss", ["huber", "absolute", "quantile"])
def test_of_other_losses_batches_are_held_to_the_minimum_when_they_are_done(loss: str) -> None:
    rows = random_problem("any")

    trained = train(rows, batch_size=10, max_epochs=3, tol=0, loss=loss)

    metrics = trained.outcome.metrics
    _, exact = training.solve_exactly(problem_of(rows, loss=loss, optimizer="exact"))
    assert np.isnan(trained.history.gap).all()
    assert metrics.converged is False
    assert metrics.min_loss == pytest.approx(exact.metrics.min_loss, rel=1e-9)
    assert metrics.gap == pytest.approx((metrics.train_loss or 0) - (metrics.min_loss or 0))


def test_batches_of_another_loss_converge_in_fact() -> None:
    settings = {"loss": "huber", "huber_delta": 100.0, "batch_size": 40, "max_epochs": 1000}

    outcome = train(random_problem("any"), **settings).outcome

    assert outcome.metrics.converged is True
    assert outcome.stop_reason is StopReason.CONVERGED


def test_of_too_many_rows_nothing_is_said() -> None:
    X = np.arange(2.0**20 + 2)[:, np.newaxis]
    rows = RegressionProblem("long", X, X)

    metrics = train(rows, loss="huber", batch_size=2**18, max_epochs=1).outcome.metrics

    assert metrics.converged is None
    assert metrics.gap is None


def test_a_checkpoint_within_an_epoch_keeps_its_gap() -> None:
    problem = problem_of(random_problem("any"), batch_size=10, max_epochs=3, tol=0)
    whole = run(problem)
    state, before = training.advance(training.start([problem], "cpu", [None]), 6)

    resumed = run(problem, checkpoint=training.save(state, 0))

    gaps = np.concatenate([before[0].history.gap, resumed.history.gap])
    assert gaps.tobytes() == whole.history.gap.tobytes()
    assert (gaps > 0).all()
