"""Huber, absolute and quantile loss: against torch step for step, and at their minima."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import QuantileRegressor

from descend.errors import InvalidInput
from descend.jobs import StopReason
from tests.problems import CATALOGUE, RegressionProblem, outliers, random_problem
from tests.workers.training.peers import Peer, by_torch, loss_of
from tests.workers.training.trained import problem_of, same_bits, train, train_batch
from workers import training
from workers.training.compressed import factor_of
from workers.training.losses import SQUARED, Criterion, Loss
from workers.training.rate import stability_bound
from workers.training.setup import prepare

EPOCHS = 150
LOSSES: dict[str, dict[str, object]] = {
    "huber": {"loss": "huber", "huber_delta": 0.7},
    "absolute": {"loss": "absolute"},
    "quantile": {"loss": "quantile", "quantile": 0.2},
}
PARAMETER = {"huber": 0.7, "absolute": 0.0, "quantile": 0.2}
PEERS: dict[str, tuple[dict[str, object], Peer]] = {
    "sgd": ({"learning_rate": 0.05}, lambda p: torch.optim.SGD(p, lr=0.05)),
    "nesterov": (
        {"learning_rate": 0.02, "momentum": 0.8, "nesterov": True},
        lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.8, nesterov=True),
    ),
    # A sum of slopes may be 0 here and 1e-17 there: with eps 1e-8 Adam would make 1e-9 of it.
    "adam": (
        {"optimizer": "adam", "learning_rate": 0.01, "eps": 1e-3},
        lambda p: torch.optim.Adam(p, lr=0.01, eps=1e-3),
    ),
}
ROWS = ["well conditioned", "several targets", "weighted", "shifted and scaled"]


@pytest.mark.parametrize("optimizer", PEERS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ROWS)
def test_training_is_torchs_step_for_step(name: str, loss: str, optimizer: str) -> None:
    rows = CATALOGUE[name]()
    asked, peer = PEERS[optimizer]

    start = from_zero(rows)
    trained = train(rows, **LOSSES[loss], **asked, l2=0.01, max_epochs=EPOCHS, tol=0, init=start)

    criterion = loss_of(loss, PARAMETER[loss])
    course = by_torch(rows, peer, epochs=EPOCHS, criterion=criterion, l2=0.01)
    history = trained.history
    assert np.abs(history.train_loss - course.losses).max() <= 1e-11 * course.losses[0]
    assert np.abs(history.grad_norm - course.norms).max() <= 1e-10 * course.norms[0]


def from_zero(rows: RegressionProblem) -> dict[str, object]:
    """Weights of 0: under these losses an intercept of its own accord starts at the median."""
    n_targets, n_features = rows.Y.shape[1], rows.X.shape[1]
    return {"coef": np.zeros((n_targets, n_features)).tolist(), "intercept": [0.0] * n_targets}


@given(
    residuals=arrays(np.float64, (2, 5, 1), elements=st.floats(-1e6, 1e6)),
    delta=st.floats(1e-3, 1e3),
    q=st.floats(0.01, 0.99),
)
def test_values_and_derivatives_are_torchs(residuals: np.ndarray, delta: float, q: float) -> None:
    for loss in (Loss("huber", delta=delta), Loss("absolute"), Loss("quantile", quantile=q)):
        ours = torch.from_numpy(residuals).requires_grad_()
        theirs = torch.from_numpy(residuals).requires_grad_()
        criterion = Criterion.of([loss, loss], ours)
        assert criterion is not None
        parameter = delta if loss.name == "huber" else q
        values = criterion.values(ours)
        expected = loss_of(loss.name, parameter)(theirs, torch.zeros_like(theirs))

        values.sum().backward()  # type: ignore[no-untyped-call]
        expected.sum().backward()

        assert ours.grad is not None
        assert theirs.grad is not None
        close = {"rtol": 1e-12, "atol": 1e-300}
        np.testing.assert_allclose(values.detach(), expected.detach(), **close)
        np.testing.assert_allclose(loss.values(residuals), expected.detach(), **close)
        apart = residuals != 0  # torch's clamp has a derivative of 1 at 0, its abs one of 0
        np.testing.assert_allclose(ours.grad[apart], theirs.grad[apart], **close)
        assert (ours.grad[~apart] == 0).all()


@pytest.mark.parametrize("q", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("way", ["adam", "sgd"])
def test_quantile_loss_ends_at_the_linear_programs_optimum(way: str, q: float) -> None:
    rows = outliers()
    schedule = {"type": "cosine"}

    trained = train(
        rows, loss="quantile", quantile=q, optimizer=way, schedule=schedule,
        momentum=0.9 if way == "sgd" else None, max_epochs=4000, tol=0,
    )  # fmt: skip

    peer = QuantileRegressor(quantile=q, alpha=0).fit(rows.X, rows.Y[:, 0])
    best = Loss("quantile", quantile=q).values(peer.predict(rows.X) - rows.Y[:, 0]).mean()
    assert trained.outcome.metrics.train_loss is not None
    assert best <= trained.outcome.metrics.train_loss * (1 + 1e-12)
    assert trained.outcome.metrics.train_loss <= best * (1 + (1e-4 if way == "adam" else 1e-2))
    if way == "adam":
        scale = np.abs(peer.coef_).max()
        assert np.abs(trained.outcome.coef - peer.coef_).max() <= 0.02 * scale


def test_absolute_loss_is_twice_the_median() -> None:
    rows = outliers()

    absolute = train(rows, loss="absolute", learning_rate=0.02, max_epochs=300, tol=0)
    median = train(rows, loss="quantile", learning_rate=0.04, max_epochs=300, tol=0)

    np.testing.assert_allclose(
        absolute.history.train_loss, 2 * median.history.train_loss, rtol=1e-10
    )


def test_huber_loss_of_a_wide_delta_is_half_the_squared() -> None:
    rows = random_problem("any")

    asked = {"max_epochs": 99, "tol": 0, "init": from_zero(rows)}
    huber = train(rows, loss="huber", huber_delta=1e6, learning_rate=0.2, **asked)
    squared = train(rows, learning_rate=0.1, **asked)

    np.testing.assert_allclose(2 * huber.history.train_loss, squared.history.train_loss, rtol=1e-12)


def test_huber_loss_ends_where_its_gradient_is_zero() -> None:
    rows = outliers()

    trained = train(rows, loss="huber", huber_delta=0.5, momentum=0.5, max_epochs=5000, tol=1e-15)

    residuals = rows.X @ trained.outcome.coef[0] + trained.outcome.intercept - rows.Y[:, 0]
    pull = np.clip(residuals, -0.5, 0.5)
    assert trained.outcome.stop_reason is StopReason.CONVERGED
    assert np.abs(rows.X.T @ pull).max() <= 1e-6 * len(rows.X)
    assert abs(pull.mean()) <= 1e-6


@pytest.mark.parametrize("asked", [{}, {"validation_fraction": 0.0, "l1": 0.05}])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_weight_is_a_number_of_repetitions(loss: str, asked: dict[str, object]) -> None:
    rows = random_problem("any", n_samples=20)
    counts = np.arange(20) % 4
    repeated = RegressionProblem(
        "repeated", np.repeat(rows.X, counts, axis=0), np.repeat(rows.Y, counts, axis=0)
    )
    asked = {**LOSSES[loss], **asked, "learning_rate": 0.05, "max_epochs": 100, "tol": 0}

    weighted = train(replace(rows, sample_weight=counts.astype(np.float64)), **asked)
    plain = train(repeated, **asked)

    np.testing.assert_allclose(weighted.history.train_loss, plain.history.train_loss, rtol=1e-11)
    np.testing.assert_allclose(weighted.outcome.coef, plain.outcome.coef, rtol=1e-9, atol=1e-12)
    assert weighted.outcome.metrics.r2 == pytest.approx(plain.outcome.metrics.r2, rel=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_lost_unit_of_the_targets_is_a_lost_unit_of_the_loss(loss: str) -> None:
    """delta is in units of the targets, which standardize leaves alone."""
    rows = replace(CATALOGUE["shifted and scaled"](), sample_weight=np.linspace(1, 2, 40))

    trained = train(rows, **LOSSES[loss], validation_fraction=0.3, max_epochs=20, tol=0)

    problem = problem_of(rows, **LOSSES[loss], validation_fraction=0.3)
    metrics, outcome = trained.outcome.metrics, trained.outcome
    assert problem.held is not None
    for part, told in ((problem.trained, metrics.train_loss), (problem.held, metrics.eval_loss)):
        residuals = part.X @ outcome.coef.T + outcome.intercept - part.Y  # type: ignore[attr-defined]
        values = loss_of(loss, PARAMETER[loss])(
            torch.from_numpy(residuals), torch.zeros(residuals.shape)
        )
        mean = np.average(values.numpy()[:, 0], weights=part.omega)  # type: ignore[attr-defined]
        assert told == pytest.approx(mean, rel=1e-12)
    assert metrics.r2 is not None
    squares = problem.trained.loss(outcome.coef, outcome.intercept, SQUARED)
    assert metrics.r2 == pytest.approx(1 - squares / problem.trained.moments()[0], rel=1e-12)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_models_of_other_deltas_and_quantiles_leave_each_other_alone(data: st.DataObject) -> None:
    loss = data.draw(st.sampled_from(sorted(LOSSES)))
    name = {"huber": "huber_delta", "quantile": "quantile"}.get(loss)
    dtype = data.draw(st.sampled_from(["float64", "float32"]))
    problems = []
    for seed in range(data.draw(st.integers(1, 5))):
        rows = random_problem("any", n_samples=13, n_targets=3, seed=seed)
        if seed % 2:
            rows = replace(rows, sample_weight=np.linspace(0.5, 2, 13))
        own = {name: (seed + 1) / 7} if name else {}
        asked = {"loss": loss, "dtype": dtype, "validation_fraction": 0.2, "max_epochs": 40}
        asked |= {"optimizer": "sgd"}
        problems.append(problem_of(rows, **asked, **own, tol=1e-3 * (seed % 3)))

    together = train_batch(problems, portion=data.draw(st.integers(1, 50)))

    for problem, in_batch in zip(problems, together, strict=True):
        assert same_bits(train_batch([problem])[0], in_batch)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_run_in_two_halves_is_the_run_in_one(loss: str) -> None:
    problem = problem_of(random_problem("any"), **LOSSES[loss], max_epochs=60, tol=0)
    first, _ = training.advance(training.start([problem], "cpu", [None]), 31)

    second = training.start([problem], "cpu", [training.save(first, 0)])
    second, _ = training.advance(second, 60)

    whole = train_batch([problem])[0]
    assert training.outcome(second, 0).coef.tobytes() == whole.outcome.coef.tobytes()
    assert training.outcome(second, 0).metrics == whole.outcome.metrics


def test_losses_train_apart() -> None:
    keys = {
        training.batch_key(problem_of(random_problem("any"), optimizer="sgd", **asked), "cpu")
        for asked in ({}, *LOSSES.values(), {"loss": "huber", "huber_delta": 3.0})
    }

    assert len(keys) == 4


def test_hubers_bound_is_twice_the_squared_ones() -> None:
    rows = random_problem("any")
    asked = {"optimizer": "sgd"}
    huber, squared = (problem_of(rows, loss=loss, **asked) for loss in ("huber", "squared"))

    bounds = [
        stability_bound(problem.hyperparameters, prepare(problem)[0].spectrum())
        for problem in (huber, squared)
    ]

    assert bounds[0] is not None
    assert bounds[1] is not None
    assert bounds[0] == pytest.approx(2 * bounds[1], rel=1e-12)


@pytest.mark.parametrize("way", ["sgd", "momentum", "adam", "adamw"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", [*ROWS, "outliers", "far away", "larger"])
def test_auto_comes_close_in_a_first_run(name: str, loss: str, way: str) -> None:
    rows = {"outliers": outliers, "far away": far_away}.get(name, CATALOGUE.get(name))
    assert rows is not None
    asked = {"optimizer": way if way.startswith("adam") else "sgd"}
    asked |= {"momentum": 0.9} if way == "momentum" else {}
    asked |= {"weight_decay": 0.0} if way == "adamw" else {}

    outcome = train(rows(), **LOSSES[loss], **asked).outcome

    metrics = outcome.metrics
    assert outcome.stop_reason is not StopReason.DIVERGED
    assert metrics.train_loss is not None
    assert metrics.initial_loss is not None
    best = minimum(rows, loss)
    if (name, loss) == ("far away", "huber") and not way.startswith("adam"):
        # Below its bound a step is at most delta long, and 1e5 is far: the default is lbfgs.
        assert metrics.converged is False
        return
    part = 0.02 if loss == "huber" or way.startswith("adam") else 0.15
    assert metrics.train_loss - best <= part * (metrics.initial_loss - best)


@cache
def minimum(rows: Callable[[], RegressionProblem], loss: str) -> float:
    long = {"max_epochs": 3000, "tol": 0, "schedule": {"type": "cosine"}}
    found = train(rows(), **LOSSES[loss], optimizer="adam", **long).outcome.metrics.train_loss
    assert found is not None
    return found


def far_away() -> RegressionProblem:
    """Targets of a hundred thousand, where huber's delta of 1 is next to nothing."""
    rows = random_problem("far away", n_samples=60)
    return replace(rows, Y=rows.Y * 1e4 + 1e5)


@pytest.mark.parametrize("loss", ["absolute", "quantile"])
def test_a_kink_never_settles_at_a_fixed_rate_and_a_schedule_is_advised(loss: str) -> None:
    trained = train(random_problem("any"), loss=loss, learning_rate=0.1, max_epochs=50)

    assert trained.outcome.stop_reason is StopReason.MAX_EPOCHS
    assert any("schedule" in warning for warning in trained.outcome.warnings)


@pytest.mark.parametrize("loss", ["absolute", "quantile"])
def test_a_kinks_divergence_is_told_without_a_bound(loss: str) -> None:
    outcome = train(random_problem("any"), loss=loss, learning_rate=1e12).outcome

    assert outcome.stop_reason is StopReason.DIVERGED
    assert outcome.error is not None
    assert outcome.error.detail["bound"] is None
    assert f"under {loss} loss" in outcome.error.message
    remedies = outcome.error.detail["remedies"]
    assert isinstance(remedies, list)
    rate = float(remedies[0].removesuffix(".").split("learning_rate to ")[1])
    again = train(random_problem("any"), loss=loss, learning_rate=rate).outcome
    assert again.stop_reason is StopReason.MAX_EPOCHS


def test_huber_with_a_penalty_too_large_for_its_rate_names_the_bound() -> None:
    outcome = train(random_problem("any"), loss="huber", learning_rate=5.0, l2=1.0).outcome

    assert outcome.stop_reason is StopReason.DIVERGED
    assert outcome.error is not None
    assert outcome.error.detail["bound"] == pytest.approx(0.6, rel=0.3)


def test_a_factor_is_refused_another_loss() -> None:
    problem = problem_of(random_problem("any"), loss="huber")
    compressed = training.Factored(factor_of(problem.trained))

    with pytest.raises(InvalidInput, match="squared losses only"):
        prepare(replace(problem, trained=compressed))
