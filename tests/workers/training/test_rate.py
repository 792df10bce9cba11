"""learning_rate auto."""

import numpy as np
import pytest

from descend.errors import InvalidInput
from descend.jobs import Hyperparameters, StopReason
from tests.problems import CATALOGUE, RegressionProblem, random_problem
from tests.workers.training.trained import problem_of, train
from workers.training.rate import best_rate, stability_bound
from workers.training.setup import prepare
from workers.training.spectrum import spectrum

WAYS: dict[str, dict[str, object]] = {
    "plain": {"optimizer": "sgd"},
    "momentum": {"momentum": 0.7},
    "nesterov": {"momentum": 0.7, "nesterov": True},
}


def decay(eigenvalues: np.ndarray, rate: float, asked: dict[str, object]) -> float:
    """Largest modulus of the roots that govern the modes: the factor an epoch leaves."""
    mu = float(asked.get("momentum", 0.0))  # type: ignore[arg-type]
    moduli = []
    for value in eigenvalues:
        a = rate * value
        polynomial = [1, -(1 + mu) * (1 - a), mu * (1 - a)] if "nesterov" in asked else None
        roots = np.roots(polynomial or [1, -(1 + mu - a), mu])
        moduli.append(np.abs(roots).max())
    return float(max(moduli))


@pytest.mark.parametrize("way", WAYS)
def test_the_bound_is_where_the_modes_stop_decaying(way: str) -> None:
    problem = problem_of(random_problem("any"), **WAYS[way])
    found = spectrum(problem, prepare(problem)[1])
    bound = stability_bound(problem.hyperparameters, found)
    assert bound is not None
    assert found.smallest is not None
    eigenvalues = np.array([found.smallest, found.largest])

    assert decay(eigenvalues, bound * 0.9999, WAYS[way]) < 1
    assert decay(eigenvalues, bound * 1.0001, WAYS[way]) > 1


@pytest.mark.parametrize("way", ["plain", "momentum"])
def test_no_rate_is_better_than_the_best(way: str) -> None:
    problem = problem_of(random_problem("any"), **WAYS[way])
    found = spectrum(problem, prepare(problem)[1])
    best = best_rate(problem.hyperparameters, found)
    assert best is not None
    assert found.smallest is not None
    eigenvalues = np.linspace(found.smallest, found.largest, 50)

    others = [decay(eigenvalues, best * factor, WAYS[way]) for factor in np.geomspace(0.1, 1.5)]

    assert decay(eigenvalues, best, WAYS[way]) <= min(others) + 1e-9


@pytest.mark.parametrize("way", [*WAYS, "adam", "adamw"])
@pytest.mark.parametrize("name", CATALOGUE)
def test_auto_lowers_the_loss_and_never_diverges(name: str, way: str) -> None:
    asked = WAYS.get(way, {"optimizer": way})

    for standardize in (True, False):
        trained = train(CATALOGUE[name](), **asked, standardize=standardize, max_epochs=200)

        metrics = trained.outcome.metrics
        assert trained.outcome.stop_reason is not StopReason.DIVERGED
        assert metrics.initial_loss is not None
        assert metrics.train_loss is not None
        assert metrics.train_loss < metrics.initial_loss


def test_auto_is_resolved_to_the_number_that_was_used() -> None:
    trained = train(random_problem("any"), max_epochs=3)

    rate = trained.outcome.resolved.learning_rate
    assert isinstance(rate, float)
    assert (trained.history.learning_rate == rate).all()
    again = train(random_problem("any"), max_epochs=3, learning_rate=rate)
    assert again.history.train_loss.tobytes() == trained.history.train_loss.tobytes()


def test_on_data_without_variation_any_rate_does() -> None:
    rows = RegressionProblem("zeros", np.zeros((4, 2)), np.ones((4, 1)))

    trained = train(rows, fit_intercept=False)

    assert trained.outcome.stop_reason is StopReason.CONVERGED
    assert trained.outcome.resolved.learning_rate == 1.0
    assert (trained.outcome.coef == 0).all()


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adams_rate_covers_the_distance_in_a_tenth_of_the_epochs(optimizer: str) -> None:
    rows = random_problem("any")
    size = np.sqrt(np.square(rows.Y).mean())

    rates = [
        train(rows, optimizer=optimizer, max_epochs=epochs).outcome.resolved.learning_rate
        for epochs in (10, 1000)
    ]

    assert rates == pytest.approx([size / 10, size / 100])


def test_targets_of_zero_give_adam_a_rate_all_the_same() -> None:
    rows = RegressionProblem("zeros", np.eye(3), np.zeros((3, 1)))

    trained = train(rows, optimizer="adam")

    assert trained.outcome.resolved.learning_rate == 0.001
    assert trained.outcome.stop_reason is StopReason.CONVERGED


SPANS = (1e-170, 1e-150, 1e-7, 1.0, 1e150)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("asked", [*WAYS.values(), {"optimizer": "adam"}, {"optimizer": "adamw"}])
@pytest.mark.parametrize("loss", ["squared", "huber", "absolute", "quantile"])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_what_auto_becomes_is_a_value_that_its_field_takes(
    asked: dict[str, object], loss: str, batch_size: int | None, dtype: str
) -> None:
    rows, seen = np.array([[0.31], [0.44], [0.62], [0.79]]), 0
    for x in SPANS:
        for y in SPANS:
            problem = problem_of(
                RegressionProblem("any", x * rows, y * (1 + rows)),
                **asked,
                loss=loss,
                batch_size=batch_size,
                dtype=dtype,
                standardize=False,
                fit_intercept=False,
            )

            try:
                with np.errstate(all="ignore"):
                    resolved = prepare(problem)[0].hyperparameters
            except InvalidInput:
                continue  # squares beyond the dtype, refused by name

            seen += 1
            assert Hyperparameters.model_validate_json(resolved.model_dump_json()) == resolved
            assert resolved.learning_rate is not None
            assert np.isfinite(np.dtype(dtype).type(resolved.learning_rate))
    assert seen >= 4


def test_columns_of_1e_minus_7_are_trained_at_the_rate_that_they_need() -> None:
    rows = np.array([[3.1e-7], [4.4e-7], [6.2e-7], [7.9e-7]])
    targets = np.array([[0.9], [1.4], [1.9], [2.5]])

    trained = train(
        RegressionProblem("small", rows, targets), fit_intercept=False, standardize=False
    )

    rate = trained.outcome.resolved.learning_rate
    assert isinstance(rate, float)
    assert rate > 1e12
    assert trained.outcome.stop_reason is StopReason.CONVERGED
    assert trained.outcome.coef[0, 0] == pytest.approx(3118163.61, rel=1e-6)
