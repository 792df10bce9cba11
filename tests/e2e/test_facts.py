"""What a job says of itself over HTTP is a fact: rates, fates, and whether it has converged."""

from typing import Any

import pytest

from descend.client import Client, Run
from descend.jobs import JobState, StopReason


def trained(client: Client, X: Any, y: Any, **asked: Any) -> Run:
    return client.train(X, y, **asked).wait(timeout_seconds=60)


def test_columns_of_1e_minus_7_train_at_a_rate_above_1e12(client: Client) -> None:
    X, y = [[3.1e-7], [4.4e-7], [6.2e-7], [7.9e-7]], [0.9, 1.4, 1.9, 2.5]

    run = trained(client, X, y, fit_intercept=False, standardize=False)
    rate = run.job.resolved_hyperparameters.learning_rate
    again = trained(client, X, y, fit_intercept=False, standardize=False, learning_rate=rate)

    assert run.model.coef[0] == pytest.approx([3118163.61], rel=1e-6)
    assert isinstance(rate, float)
    assert rate > 1e12
    assert again.model.coef == run.model.coef


@pytest.mark.parametrize("asked", [{"optimizer": "adam"}, {"loss": "huber"}, {"loss": "absolute"}])
def test_targets_of_1e15_end_with_a_fact_at_the_first_attempt(
    client: Client, asked: dict[str, Any]
) -> None:
    run = trained(client, [[1], [2], [3], [4], [5]], [2e14, 9e14, -3e14, 1e15, 4e14], **asked)

    assert run.job.state is JobState.SUCCEEDED
    assert run.job.attempt == 1


def test_a_tiny_rate_settles_and_has_not_converged(client: Client) -> None:
    run = trained(client, [[1], [2], [3], [4], [5]], [3, 6, 9, 12, 15], learning_rate=1e-12)
    listed = [job for job in client.jobs() if job.id == run.job.id]

    assert run.job.state is JobState.SUCCEEDED
    assert run.job.stop_reason is StopReason.SETTLED
    assert run.job.metrics is not None
    assert run.job.metrics.converged is False
    assert any("100 % above" in text or "first gap left" in text for text in run.job.warnings)
    assert listed[0].stop_reason is StopReason.SETTLED


@pytest.mark.parametrize(
    "asked",
    [
        {"batch_size": 2, "learning_rate": 1e-12},
        {"loss": "absolute", "schedule": {"type": "step", "every": 5, "factor": 0.1}},
        {"loss": "quantile", "learning_rate": 1e-12},
        {"loss": "huber", "learning_rate": 1e-12},
    ],
)
def test_small_steps_are_never_called_convergence(client: Client, asked: dict[str, Any]) -> None:
    run = trained(client, [[1], [2], [3], [4], [5]], [3, 6, 9, 12, 15], **asked)

    assert run.job.state is JobState.SUCCEEDED
    assert run.job.stop_reason is StopReason.SETTLED
    assert run.job.metrics is not None
    assert not run.job.metrics.converged
    assert any("settled within tol" in text for text in run.job.warnings)


FAR = [[1], [2], [3], [4], [5], [6], [7]], [5003.2, 5005.9, 5009.3, 5011.8, 5015.1, 5018.2, 5020.7]


def test_huber_and_the_median_find_a_target_far_from_zero_with_all_defaults(client: Client) -> None:
    huber = trained(client, *FAR, loss="huber")
    median = trained(client, *FAR, loss="quantile")

    assert huber.model.coef[0] == pytest.approx([2.96071], rel=1e-5)
    assert huber.model.intercept == pytest.approx([5000.18571], rel=1e-6)
    for run, least in ((huber, 0.0193622), (median, 0.0875)):
        metrics = run.job.metrics
        assert metrics is not None
        assert metrics.train_loss == pytest.approx(least, rel=1e-4)
        assert metrics.min_loss == pytest.approx(least, rel=1e-4)
        assert (run.job.stop_reason is StopReason.CONVERGED) == (metrics.converged is True)
        assert run.job.resolved_hyperparameters.optimizer == "lbfgs"


def test_huber_on_years_unscaled_finds_the_slope_or_says_that_it_did_not(client: Client) -> None:
    X, y = [[1990], [1995], [2000], [2005], [2010]], [10.2, 24.8, 41.1, 54.6, 70.3]

    run = trained(client, X, y, loss="huber", standardize=False)

    metrics = run.job.metrics
    assert metrics is not None
    assert run.model.coef[0][0] == pytest.approx(3.0, abs=0.05) or (
        metrics.converged is False and run.job.warnings
    )
