"""A model's numbers do not depend on its neighbours, its place, or how its epochs are portioned."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from descend.errors import InvalidInput
from descend.jobs import StopReason
from tests.problems import RegressionProblem, notebook, random_problem
from tests.workers.training.trained import problem_of, same_bits, train_batch
from workers import training

PROGRAMS: dict[str, dict[str, object]] = {
    "sgd": {},
    "momentum with l2": {"momentum": 0.9, "l2": 0.01},
    "nesterov with l1": {"momentum": 0.5, "nesterov": True, "l1": 0.1},
    "adam": {"optimizer": "adam"},
    "adamw with both penalties": {"optimizer": "adamw", "l1": 0.05, "l2": 0.1},
    "held-out rows": {"validation_fraction": 0.3},
    "float32": {"dtype": "float32", "optimizer": "adam"},
    "huber": {"loss": "huber", "huber_delta": 0.5, "momentum": 0.5, "l2": 0.01},
    "quantile, falling": {"loss": "quantile", "quantile": 0.3, "schedule": {"type": "cosine"}},
    "no intercept": {"fit_intercept": False, "standardize": False},
}
SHAPES = [(3, 1, 1), (16, 6, 1), (7, 4, 2), (40, 5, 3), (33, 9, 5), (60, 50, 1), (9, 12, 7)]


def problems(count: int, shape: tuple[int, int, int], **asked: object) -> list[training.Problem]:
    """Models of one key that differ in data, weights, rates and epochs."""
    n_samples, n_features, n_targets = shape
    found = []
    for index in range(count):
        rows = random_problem(
            "any",
            n_samples=n_samples,
            n_features=min(n_features, n_samples),
            n_targets=n_targets,
            seed=index,
        )
        if index % 3 == 1:
            rows = replace(rows, sample_weight=np.linspace(0.5, 2, n_samples))
        epochs = {"max_epochs": 40 + 17 * (index % 4), "tol": 1e-3 if index % 4 == 2 else 0}
        found.append(problem_of(rows, **{**epochs, "patience": 2, "seed": index, **asked}))
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_model_alone_is_bitwise_the_model_in_a_batch(
    program: str, shape: tuple[int, int, int]
) -> None:
    batch = problems(7, shape, **PROGRAMS[program])
    assert len({training.batch_key(problem, "cpu") for problem in batch}) == 1

    together = train_batch(batch)

    for problem, in_batch in zip(batch, together, strict=True):
        assert same_bits(train_batch([problem])[0], in_batch)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_neighbours_places_and_portions_leave_no_trace(data: st.DataObject) -> None:
    program = data.draw(st.sampled_from(sorted(PROGRAMS)))
    shape = data.draw(st.sampled_from(SHAPES))
    pool = problems(6, shape, **PROGRAMS[program])
    chosen = data.draw(st.lists(st.sampled_from(range(6)), min_size=1, max_size=9))
    portion = data.draw(st.integers(1, 120))

    batch = train_batch([pool[index] for index in chosen], portion=portion)

    place = data.draw(st.sampled_from(range(len(chosen))))
    assert same_bits(batch[place], train_batch([pool[chosen[place]]])[0])


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_model_resumed_among_strangers_goes_on_as_if_nothing_had_happened(
    data: st.DataObject,
) -> None:
    program = data.draw(st.sampled_from(sorted(PROGRAMS)))
    pool = problems(5, data.draw(st.sampled_from(SHAPES)), **PROGRAMS[program], tol=0)
    epochs = data.draw(st.integers(1, 39))
    state = training.start(pool[:3], "cpu", [None] * 3)
    state, before = training.advance(state, epochs)

    saved = training.save(state, 1)
    resumed = training.start([pool[4], pool[1], pool[3]], "cpu", [None, saved, None])
    resumed, after = training.advance(resumed, 10**6)

    alone = train_batch([pool[1]])[0]
    outcome = training.outcome(resumed, 1)
    assert outcome.coef.tobytes() == alone.outcome.coef.tobytes()
    assert outcome.metrics == alone.outcome.metrics
    losses = np.concatenate([before[1].history.train_loss, after[1].history.train_loss])
    assert losses.tobytes() == alone.history.train_loss.tobytes()
    assert after[1].history.epoch[0] == epochs
    assert after[1].history.total == alone.history.total


def test_models_of_one_batch_may_be_at_different_epochs() -> None:
    early, late = problems(2, (3, 1, 1), max_epochs=100)
    state, _ = training.advance(training.start([late], "cpu", [None]), 60)

    both = training.start([early, late], "cpu", [None, training.save(state, 0)])
    both, segments = training.advance(both, 50)

    assert [segment.history.total for segment in segments] == [50, 100]
    assert [segment.stop for segment in segments] == [None, StopReason.MAX_EPOCHS]
    assert both.live == (0,)


def test_dropping_a_model_leaves_the_others_undisturbed() -> None:
    batch = problems(4, (16, 6, 1), tol=0, max_epochs=90)
    state = training.start(batch, "cpu", [None] * 4)
    state, _ = training.advance(state, 30)

    for index in (2, 0, 3):
        state = training.drop(state, index)
    state, segments = training.advance(state, 1000)

    assert [segment.index for segment in segments] == [1]
    expected = train_batch([batch[1]])[0].outcome.coef
    assert training.outcome(state, 1).coef.tobytes() == expected.tobytes()
    with pytest.raises(InvalidInput, match="dropped"):
        training.outcome(state, 2)


def test_advancing_returns_a_new_state_and_leaves_the_old_one_as_it_was() -> None:
    state = training.start(problems(2, (16, 6, 1), momentum=0.9), "cpu", [None] * 2)

    once, first = training.advance(state, 20)
    again, second = training.advance(state, 20)

    assert first[0].history.train_loss.tobytes() == second[0].history.train_loss.tobytes()
    assert training.save(once, 0) == training.save(again, 0)
    assert state.progress.epoch.tolist() == [0, 0]


def test_a_diverging_neighbour_harms_nobody() -> None:
    calm = problem_of(notebook(), learning_rate=0.01, standardize=False, tol=0, max_epochs=400)
    wild = problem_of(notebook(), learning_rate=3.0, standardize=False, tol=0, max_epochs=400)

    together = train_batch([wild, calm, wild, calm])

    assert together[0].outcome.stop_reason is StopReason.DIVERGED
    assert same_bits(together[1], train_batch([calm])[0])
    assert same_bits(together[3], together[1])


def test_a_large_problem_trains_alone_whatever_it_is_offered_with() -> None:
    large = problems(2, (700, 20, 1))

    keys = {training.batch_key(problem, "cpu") for problem in large}

    assert len(keys) == 2
    assert training.batch_key(large[0], "cpu") == training.batch_key(large[0], "cpu")
    with pytest.raises(InvalidInput, match="batch keys"):
        training.start(large, "cpu", [None, None])


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "adam"},
        {"momentum": 0.5},
        {"l1": 0.1},
        {"l2": 0.1},
        {"dtype": "float32"},
        {"fit_intercept": False},
        {"validation_fraction": 0.4},
    ],
    ids=str,
)
def test_what_shapes_the_program_is_in_the_key(change: dict[str, object]) -> None:
    plain, other = problem_of(notebook()), problem_of(notebook(), **change)

    assert training.batch_key(plain, "cpu") != training.batch_key(other, "cpu")


def test_rates_penalties_and_epochs_are_a_models_own() -> None:
    one = problem_of(notebook(), learning_rate=0.1, l2=0.1, max_epochs=5, seed=1)
    other = problem_of(notebook(), learning_rate=0.01, l2=2.0, max_epochs=50, seed=2, tol=0.1)

    assert training.batch_key(one, "cpu") == training.batch_key(other, "cpu")


def test_a_neighbour_whose_minimum_is_unknown_takes_nothing_from_a_job() -> None:
    """On nearly dependent columns a little l1 leaves a lowest point without a proof."""
    hilbert = 1 / (np.arange(40)[:, np.newaxis] + np.arange(40) + 1)
    Y = np.random.default_rng(0).normal(size=(40, 1))
    asked = {"target_gap": 1e-3, "max_epochs": 300, "l1": 1e-9}
    problem = problem_of(RegressionProblem("distinct", np.eye(40), Y), **asked)
    beyond = problem_of(RegressionProblem("hilbert", hilbert, Y), **asked)

    alone = train_batch([problem])[0]
    beside, other = train_batch([problem, beyond])

    assert alone.outcome.stop_reason is StopReason.TARGET_GAP
    assert same_bits(alone, beside)
    assert np.isnan(other.history.gap).all()
