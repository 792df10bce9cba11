"""The plan against the training that it foretells."""

import numpy as np
import pytest

from descend.jobs import StopReason
from descend.plans import Plan
from tests.problems import CATALOGUE, RegressionProblem, longley, notebook, random_problem
from tests.workers.training.trained import problem_of, train
from workers.training.compressed import compress
from workers.training.modes import course, epochs_to, modes_of
from workers.training.plan import expected_epochs, plan
from workers.training.setup import prepare
from workers.training.spectrum import dynamics

LESSON = {"learning_rate": 0.01, "standardize": False, "tol": 0}


def planned(rows: RegressionProblem, **asked: object) -> Plan:
    return plan(problem_of(rows, **asked), "cpu")


def test_the_plan_of_the_lesson_has_its_known_numbers() -> None:
    told = planned(notebook(), **LESSON)

    assert [mode.eigenvalue for mode in told.modes] == pytest.approx([11.0929, 0.2404], abs=5e-5)
    assert told.stability_bound == pytest.approx(0.18029, abs=5e-6)
    assert told.initial_loss == pytest.approx(18.666666666666668, rel=1e-14)
    assert told.min_loss == pytest.approx(0, abs=1e-28)
    assert (told.rank, told.n_columns, told.n_samples) == (2, 2, 3)
    assert told.guilty_columns == ["x"]
    assert told.diverges is False
    assert told.engine == "eager"


@pytest.mark.parametrize("asked", [{}, {"l2": 0.1}, {"standardize": False}, {"init": "torch"}])
@pytest.mark.parametrize("name", CATALOGUE)
def test_the_epochs_to_a_gap_are_those_of_the_training(name: str, asked: dict[str, object]) -> None:
    rows = CATALOGUE[name]()
    told = planned(rows, **asked, tol=0)
    assert told.min_objective is not None
    gap = train(rows, **asked, tol=0, max_epochs=3000).history.gap

    for one in told.epochs_to_gap[:4]:
        reached = np.flatnonzero(gap <= one.gap * gap[0])
        if reached.size:
            assert one.epochs == reached[0], one
        else:
            assert one.epochs is None or one.epochs >= 3000, one


@pytest.mark.parametrize("fraction", [1e-7, 1e-8, 1.1e-9])
@pytest.mark.parametrize("name", CATALOGUE)
def test_a_gap_of_a_billionth_is_foretold_to_the_epoch(name: str, fraction: float) -> None:
    rows = CATALOGUE[name]()
    setup, matrices = prepare(problem_of(rows))
    modes = modes_of(setup.problem, matrices, setup.start, setup.certificate)
    assert modes is not None

    foretold = epochs_to(modes, rate=setup.rate, fraction=fraction)
    gap = train(rows, tol=0, max_epochs=3000).history.gap

    reached = np.flatnonzero(gap <= fraction * gap[0])
    assert foretold == reached[0] if reached.size else (foretold is None or foretold >= 3000)


def test_a_redrawn_curve_is_the_trained_history_at_any_rate() -> None:
    rows = random_problem("any", n_targets=2)
    told = planned(rows)
    steps = np.arange(200)

    for rate in (0.01, 0.1, 0.4):
        drawn = told.min_objective + sum(
            mode.excess * (1 - rate * mode.eigenvalue) ** (2 * steps) for mode in told.modes
        )
        trained = train(rows, learning_rate=rate, tol=0, max_epochs=200).history.train_loss
        assert np.abs(drawn - trained).max() <= 1e-12 * trained[0]


def test_the_course_is_that_of_the_dynamics() -> None:
    problem = problem_of(longley(), learning_rate=0.1)
    setup, arranged = prepare(problem)
    modes = modes_of(problem, arranged, setup.start, setup.certificate)
    assert modes is not None

    losses = course(modes, rate=0.1, epochs=5000)

    exact = dynamics(
        problem, arranged, start=setup.start, rate=0.1, epochs=np.arange(5000.0)
    ).train_loss
    assert np.abs(losses - exact).max() <= 1e-13 * exact[0]


@pytest.mark.parametrize("factor", [1.01, 1.3])
def test_above_the_bound_the_plan_says_so_and_tells_no_epoch_beyond_the_turn(
    factor: float,
) -> None:
    rows = random_problem("any")
    bound = planned(rows).stability_bound
    assert bound is not None

    told = planned(rows, learning_rate=factor * bound)

    assert told.diverges
    assert any("at or above" in warning for warning in told.warnings)
    assert told.epochs_to_gap[-1].epochs is None
    run = train(rows, learning_rate=factor * bound, tol=0, max_epochs=3000).outcome
    assert run.stop_reason is StopReason.DIVERGED


def test_a_gap_that_is_passed_before_the_turn_has_its_epoch() -> None:
    rows = random_problem("any", condition=50)
    problem = problem_of(rows, standardize=False)
    setup, arranged = prepare(problem)
    modes = modes_of(problem, arranged, setup.start, setup.certificate)
    assert modes is not None
    rate = 2.0001 / modes.eigenvalues[0]
    gaps = course(modes, rate=rate, epochs=100_000) - modes.minimum.objective

    lowest = gaps.min() / gaps[0]
    assert 0 < int(np.argmin(gaps)) < 99_999
    found = epochs_to(modes, rate=rate, fraction=1.5 * lowest)
    assert found == np.flatnonzero(gaps <= 1.5 * lowest * gaps[0])[0]
    assert epochs_to(modes, rate=rate, fraction=0.9 * lowest) is None


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"optimizer": "adam"}, "adam"),
        ({"momentum": 0.9}, "momentum"),
        ({"l1": 0.1}, "l1"),
    ],
)
def test_what_has_no_closed_form_keeps_bounds_and_says_why_epochs_are_missing(
    asked: dict[str, object], reason: str
) -> None:
    told = planned(random_problem("any"), **asked)

    assert told.epochs_refused is not None
    assert reason in told.epochs_refused
    assert {one.epochs for one in told.epochs_to_gap} == {None}
    assert told.stability_bound is not None
    assert len(told.modes) == 5
    assert told.min_objective is not None


def test_short_rank_and_float32_are_warned_of() -> None:
    short = planned(CATALOGUE["rank deficient"]())
    coarse = planned(longley(), dtype="float32", standardize=False)

    assert short.rank == 4
    assert any("4 are independent" in warning for warning in short.warnings)
    assert any("float32" in warning for warning in coarse.warnings)
    assert coarse.condition_number is not None


def test_the_expected_epochs_end_at_the_last_gap_or_at_max_epochs() -> None:
    problem = problem_of(random_problem("any"))
    told = plan(problem, "cpu")

    assert expected_epochs(told, problem.hyperparameters) == told.epochs_to_gap[-1].epochs
    unending = problem_of(random_problem("any"), tol=0)
    assert expected_epochs(told, unending.hyperparameters) == 1000


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_plan_of_the_factor_is_that_of_the_rows(name: str) -> None:
    problem = problem_of(CATALOGUE[name]())

    rows, factor = plan(problem, "cpu"), plan(compress(problem), "cpu")

    assert factor.epochs_to_gap == rows.epochs_to_gap
    assert factor.rank == rows.rank
    assert factor.min_objective == pytest.approx(rows.min_objective, rel=1e-9, abs=1e-18)
