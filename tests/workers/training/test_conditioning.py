"""Columns that repeat each other and uneven scales are named, with the remedy; nothing else is."""

from dataclasses import replace

import numpy as np
import pytest

from descend.jobs import StopReason
from tests.problems import RegressionProblem, notebook, random_problem
from tests.workers.training.trained import problem_of, train
from workers import training
from workers.training.compressed import factor_of
from workers.training.plan import plan
from workers.training.statistics import variance_inflation


def people(noise: float = 1e-3, *, pairs: int = 1) -> RegressionProblem:
    """Years of work are the age less 23, but for the noise; a height that is neither."""
    rng = np.random.default_rng(3)
    age, height = rng.uniform(20, 60, size=300), rng.normal(170, 8, size=300)
    columns = {"age": age, "height": height, "years": age - 23 + noise * rng.normal(size=300)}
    if pairs > 1:
        columns["inches"] = height / 2.54 + noise * rng.normal(size=300)
    y = age + 0.1 * height + rng.normal(size=300)
    return RegressionProblem("people", np.column_stack(list(columns.values())), y[:, None])


NAMES = ("age", "height", "years", "inches")


def problem(rows: RegressionProblem, **asked: object) -> training.Problem:
    made = training.compress(problem_of(rows, **asked))
    return replace(made, features=NAMES[: made.n_features])


def repeats(warnings: object) -> list[str]:
    return [text for text in warnings if "repeat" in text]  # type: ignore[attr-defined]


def outcome_of(made: training.Problem) -> training.TrainingOutcome:
    state = training.start([made], "cpu", [None])
    while state.live:
        state, _ = training.advance(state, 10**6)
    return training.outcome(state, 0)


@pytest.mark.parametrize("asked", [{}, {"standardize": False}, {"optimizer": "lbfgs"}])
def test_a_job_and_its_plan_name_the_columns_and_the_inflation(asked: dict[str, object]) -> None:
    made = problem(people(), max_epochs=100, **asked)
    inflation = variance_inflation(factor_of(made.trained), fit_intercept=True).max()

    job, told = repeats(outcome_of(made).warnings), repeats(plan(made, "cpu").warnings)

    assert job == told
    (said,) = job
    assert said == (
        f"age and years repeat each other (variance inflation {inflation:.2g}): the loss can be"
        " near its minimum while their weights are far from theirs; leave one out, add l2 or use"
        " optimizer exact (without max_epochs)"
    )


def test_rows_that_are_not_compressed_have_the_same_warning() -> None:
    rows = people()

    told = repeats(train(rows, max_epochs=3).outcome.warnings)

    assert len(told) == 1
    assert told[0].startswith("x0 and x2 repeat each other (variance inflation ")


def test_two_pairs_are_told_apart() -> None:
    told = repeats(plan(problem(people(pairs=2)), "cpu").warnings)

    assert [text.split(" repeat")[0] for text in told] == ["age and years", "height and inches"]


def test_a_sum_of_others_is_named_with_its_parts() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    X[:, 2] = X[:, 0] + X[:, 1] + 1e-4 * rng.normal(size=100)
    rows = RegressionProblem("sum", X, rng.normal(size=(100, 1)))

    (told,) = repeats(plan(problem_of(rows), "cpu").warnings)

    assert told.startswith("x0, x1 and x2 repeat each other")


def test_an_exact_solution_says_how_uncertain_the_weights_are() -> None:
    made = problem(people(), optimizer="exact")

    _, outcome = training.solve_exactly(made)

    (told,) = repeats(outcome.warnings)
    assert "less certain" in told
    assert "use optimizer exact" not in told


def test_columns_that_determine_each_other_are_named() -> None:
    made = problem(people(0.0), optimizer="exact")

    _, outcome = training.solve_exactly(made)

    (told,) = repeats(outcome.warnings)
    assert told == (
        "age and years repeat each other exactly: many weights fit equally well; leave one out or"
        " add l2"
    )


@pytest.mark.parametrize("asked", [{}, {"standardize": False}])
@pytest.mark.parametrize(
    "rows",
    [random_problem("any", n_samples=60), people(10.0), notebook()],
    ids=["random", "loose", "one column"],
)
def test_columns_that_differ_are_not_warned_of(
    rows: RegressionProblem, asked: dict[str, object]
) -> None:
    assert repeats(train(rows, max_epochs=50, **asked).outcome.warnings) == []
    assert repeats(plan(problem_of(rows, **asked), "cpu").warnings) == []


def test_enough_l2_parts_the_columns() -> None:
    weak, strong = (plan(problem(people(), l2=l2), "cpu").warnings for l2 in (1e-6, 0.1))

    assert "raise l2" in repeats(weak)[0]
    assert repeats(strong) == []


def test_uneven_scales_that_max_epochs_ends_are_told_to_standardize() -> None:
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.uniform(1500, 5000, 300), rng.uniform(8, 25, 300)])
    rows = RegressionProblem("cars", X, X @ np.array([[-0.005], [0.3]]) + rng.normal(size=(300, 1)))

    uneven = train(rows, standardize=False, max_epochs=100, tol=1e-15).outcome
    even = train(rows, standardize=True, max_epochs=3, tol=1e-15, learning_rate=0.1).outcome

    assert uneven.stop_reason is even.stop_reason is StopReason.MAX_EPOCHS
    (told,) = [text for text in uneven.warnings if "max_epochs (100)" in text]
    assert "set standardize to true" in told
    assert "momentum" not in told
    assert any("more epochs or a momentum" in text for text in even.warnings)


def test_scales_that_are_even_are_not_blamed() -> None:
    slow = train(people(), standardize=True, max_epochs=20).outcome

    assert any("more epochs or a momentum" in text for text in slow.warnings)


def test_above_a_minimum_of_almost_nothing_no_percentage_is_told() -> None:
    made = problem_of(notebook(), learning_rate=0.01, standardize=False, max_epochs=300, tol=1e-2)
    outcome = outcome_of(training.compress(made))
    statistics, _ = training.statistics_of(training.compress(made), outcome)

    assert outcome.stop_reason is StopReason.SETTLED
    assert outcome.metrics.converged is False
    assert statistics.refused is not None
    for text in (outcome.warnings[0], statistics.refused):
        assert "%" not in text
        assert f"at a loss of {outcome.metrics.train_loss:.3g}, with " in text
        assert "of the first gap left" in text


def test_above_a_minimum_of_some_size_the_percentage_is_told() -> None:
    rows = random_problem("any", n_samples=50)

    outcome = train(rows, learning_rate=1e-4, tol=1e-3, patience=2).outcome

    percent = 100 * (outcome.metrics.relative_gap or 0)
    assert f"{percent:.3g} % above the lowest loss there is" in outcome.warnings[0]


def test_of_many_columns_that_repeat_the_closest_are_named_and_the_rest_counted() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 8))
    copies = X + 1e-3 * np.arange(1, 9) * rng.normal(size=(100, 8))
    rows = RegressionProblem("pairs", np.hstack([X, copies]), rng.normal(size=(100, 1)))

    *named, rest = repeats(plan(problem_of(rows), "cpu").warnings)

    assert [text.split(" repeat")[0] for text in named] == [f"x{j} and x{j + 8}" for j in range(5)]
    assert rest == "6 more columns repeat others, less closely"


def test_shares_that_add_up_to_one_are_one_group() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(300), size=600)
    rows = RegressionProblem("shares", shares, shares[:, :1])

    (told,) = repeats(plan(problem_of(rows), "cpu").warnings)

    assert told.startswith("x0, x1, x2, x3, x4 and 295 more columns repeat each other exactly")
