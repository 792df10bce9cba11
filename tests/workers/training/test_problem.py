"""What a problem refuses, and how its rows are parted."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from descend.errors import InvalidInput
from descend.jobs import Hyperparameters
from tests.problems import notebook, random_problem
from tests.workers.training.trained import problem_of, same_bits, train
from workers.training.problem import WORDS, Problem, held_out, n_held_out
from workers.training.samples import Rows

NOTEBOOK = notebook()


def held_rows(problem: Problem) -> Rows:
    assert isinstance(problem.held, Rows)
    return problem.held


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"X": np.ones((2, 1))}, "X"),
        ({"X": np.ones(3)}, "X"),
        ({"X": np.ones((3, 0)), "features": ()}, "X"),
        ({"X": np.array([[1.0], [np.nan], [3.0]])}, "X"),
        ({"X": np.ones((3, 1), dtype=np.float32)}, "X"),
        ({"Y": np.array([[1.0], [np.inf], [3.0]])}, "Y"),
        ({"sample_weight": np.ones(2)}, "sample_weight"),
        ({"sample_weight": np.zeros(3)}, "sample_weight"),
        ({"sample_weight": np.array([1.0, -1.0, 1.0])}, "sample_weight"),
        ({"sample_weight": np.array([1.0, np.nan, 1.0])}, "sample_weight"),
        ({"features": ("a", "b")}, "features"),
        ({"hyperparameters": Hyperparameters()}, "seed"),
        (
            {"hyperparameters": Hyperparameters(init={"coef": [[1, 2]]}).resolved(0)},  # type: ignore[arg-type]
            "hyperparameters.init",
        ),
        (
            {
                "hyperparameters": Hyperparameters(
                    init={"coef": [[1]], "intercept": [1, 2]}  # type: ignore[arg-type]
                ).resolved(0)
            },
            "hyperparameters.init",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change: dict[str, object], param: str) -> None:
    asked = change.pop("hyperparameters", Hyperparameters().resolved(0))
    rows = replace(NOTEBOOK, **change)

    with pytest.raises(InvalidInput) as refused:
        Problem.of_rows(
            X=rows.X,
            Y=rows.Y,
            sample_weight=rows.sample_weight,
            features=rows.features,
            targets=rows.targets,
            hyperparameters=asked,
        )

    assert refused.value.param == param


def test_an_initial_intercept_without_an_intercept_is_refused() -> None:
    init = {"coef": [[1.0]], "intercept": [2.0]}

    with pytest.raises(InvalidInput, match="fit_intercept"):
        train(NOTEBOOK, init=init, fit_intercept=False)


def test_given_weights_are_where_training_begins() -> None:
    init = {"coef": [[2.0]], "intercept": [1.0]}

    for standardize in (True, False):
        trained = train(NOTEBOOK, init=init, standardize=standardize, max_epochs=1)

        assert trained.history.train_loss[0] == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize(
    ("n_samples", "fraction", "n_eval"),
    [(3, 0.0, 0), (3, 0.1, 1), (10, 0.25, 2), (10, 0.3, 3), (2, 0.9, 1), (1, 0.5, 0)],
)
def test_the_fraction_is_rounded_but_never_to_none_or_all(
    n_samples: int, fraction: float, n_eval: int
) -> None:
    rows = random_problem("any", n_samples=n_samples, n_features=1)

    problem = problem_of(rows, validation_fraction=fraction)

    assert problem.n_eval == n_eval
    assert problem.n_train == n_samples - n_eval


def test_held_out_rows_are_the_seeds_and_every_row_is_in_one_part() -> None:
    rows = random_problem("any", n_samples=50)

    problems = [problem_of(rows, validation_fraction=0.4, seed=s) for s in (1, 1, 2)]

    held = [held_rows(problem).X.tobytes() for problem in problems]
    assert held[0] == held[1]
    assert held[0] != held[2]
    trained, kept = problems[0].trained, held_rows(problems[0])
    assert isinstance(trained, Rows)
    together = np.concatenate([trained.X, kept.X])
    assert sorted(map(tuple, together)) == sorted(map(tuple, rows.X))


def test_the_split_is_the_same_wherever_it_is_drawn() -> None:
    X = np.arange(10, dtype=np.float64)[:, np.newaxis]
    rows = replace(NOTEBOOK, X=X, Y=X)

    held = held_rows(problem_of(rows, validation_fraction=0.3, seed=42))

    assert held.X[:, 0].tolist() == [1.0, 6.0, 7.0]


@pytest.mark.parametrize("n", [2, 100, WORDS, 3 * WORDS + 5])
@pytest.mark.parametrize("fraction", [0.001, 0.2, 0.999])
def test_held_out_rows_are_those_of_the_smallest_words(n: int, fraction: float) -> None:
    words = np.random.Philox(key=7).random_raw(n)
    chosen = held_out(n, fraction, seed=7)

    assert chosen is not None
    smallest = np.argsort(words, kind="stable")[: n_held_out(n, fraction)]
    assert np.flatnonzero(chosen).tolist() == np.sort(smallest).tolist()


def test_rows_are_held_out_in_a_byte_each() -> None:
    n = 40 * WORDS
    tracemalloc.start()
    chosen = held_out(n, 0.2, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert chosen is not None
    assert peak < n + 56 * WORDS


def test_a_held_out_loss_is_the_models_loss_on_these_rows() -> None:
    rows = replace(random_problem("any", n_samples=60), sample_weight=np.linspace(1, 3, 60))
    problem = problem_of(rows, validation_fraction=0.25, max_epochs=7, tol=0)

    trained = train(rows, validation_fraction=0.25, max_epochs=7, tol=0)

    held = held_rows(problem)
    assert held.omega is not None
    zero = np.average(np.square(held.Y[:, 0]), weights=held.omega)
    assert trained.history.eval_loss[0] == pytest.approx(zero, rel=1e-13)
    predicted = held.X @ trained.outcome.coef.T + trained.outcome.intercept
    last = np.average(np.square(predicted - held.Y)[:, 0], weights=held.omega)
    assert trained.outcome.metrics.eval_loss == pytest.approx(last, rel=1e-13)
    assert trained.outcome.metrics.n_eval_samples == 15
    assert trained.outcome.metrics.n_samples == 45


def test_too_few_rows_to_hold_any_out_is_said() -> None:
    trained = train(random_problem("one", n_samples=1, n_features=1), validation_fraction=0.5)

    assert any("too few rows" in warning for warning in trained.outcome.warnings)
    assert np.isnan(trained.history.eval_loss).all()


def test_training_rows_without_weight_are_refused() -> None:
    rows = replace(NOTEBOOK, sample_weight=np.array([0.0, 0.0, 1.0]))

    refused = 0
    for seed in range(12):
        try:
            problem_of(rows, validation_fraction=0.34, seed=seed)
        except InvalidInput:
            refused += 1

    assert 0 < refused < 12


@pytest.mark.parametrize(
    "asked", [{}, {"loss": "huber"}, {"batch_size": 8}, {"standardize": False, "l2": 0.1}]
)
def test_what_rows_of_weight_0_hold_is_of_no_account(asked: dict[str, object]) -> None:
    rows = random_problem("any", n_samples=37)
    omega = np.tile([0.0, 1.0, 2.0], 13)[:37]
    wild = rows.X.copy()
    wild[omega == 0] = 1e200

    tame, beside = (
        train(replace(rows, X=X, sample_weight=omega), max_epochs=40, learning_rate=0.01, **asked)
        for X in (rows.X, wild)
    )

    assert same_bits(tame, beside)


@pytest.mark.parametrize("asked", [{}, {"loss": "huber"}, {"batch_size": 8}])
@pytest.mark.parametrize("value", [0.1, 0.3, 1234.567])
def test_a_constant_target_has_no_variance_and_no_r2(
    value: float, asked: dict[str, object]
) -> None:
    rows = random_problem("any", n_samples=49)
    constant = replace(rows, Y=np.full((49, 1), value))

    trained = train(constant, max_epochs=20, learning_rate=0.01, **asked)

    assert problem_of(constant, **asked).trained.moments()[0] == 0
    assert trained.outcome.metrics.r2 is None
