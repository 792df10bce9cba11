"""`optimizer: "exact"` over HTTP, against what NIST certifies and against other programs."""

import math
import re

import httpx2
import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, Ridge

from descend.client import Client, Run
from descend.jobs import StopReason
from tests.peers import by_sklearn, by_statsmodels, digits
from tests.problems import CERTIFIED, RegressionProblem, longley, norris, random_problem

REFERENCES = [longley(), norris()]
SHA256 = re.compile(r"[0-9a-f]{64}")


def solve(client: Client, problem: RegressionProblem, **asked: object) -> Run:
    run = client.train(problem.X, problem.Y, optimizer="exact", **asked)
    return run.wait(timeout_seconds=60)


def params_of(run: Run) -> np.ndarray:
    """The intercept first."""
    return np.array([run.model.intercept[0], *run.model.coef[0]])


@pytest.mark.parametrize("problem", REFERENCES, ids=lambda p: p.name)
def test_thirteen_digits_of_every_certified_coefficient_are_right(
    client: Client, problem: RegressionProblem
) -> None:
    run = solve(client, problem)

    assert run.job.stop_reason is StopReason.SOLVED
    assert digits(params_of(run), problem.name) >= 13


@pytest.mark.parametrize("problem", REFERENCES, ids=lambda p: p.name)
def test_no_other_program_has_more_digits(client: Client, problem: RegressionProblem) -> None:
    ours = digits(params_of(solve(client, problem)), problem.name)

    theirs = {
        "statsmodels": digits(by_statsmodels(problem), problem.name),
        "scikit-learn": digits(by_sklearn(problem), problem.name),
    }

    assert ours >= max(theirs.values()) - 0.3, theirs


@pytest.mark.parametrize("problem", REFERENCES, ids=lambda p: p.name)
def test_its_predictions_are_those_of_the_certified_coefficients(
    client: Client, url: str, problem: RegressionProblem
) -> None:
    run = solve(client, problem)
    intercept, *coef = CERTIFIED[problem.name].params

    answer = httpx2.post(
        f"{url}/v1/models/{run.job.model_id}/predict", json={"X": problem.X.tolist()}
    ).json()

    # Terms of 1e6 cancel to 1e4 in Longley: eps of the largest term is what can be held.
    expected = problem.X @ coef + intercept
    largest = np.abs(problem.X * coef).max()
    assert np.abs(np.ravel(answer["y"]) - expected).max() <= 1e-14 * largest
    fit = run.model.predict(problem.X)
    np.testing.assert_array_equal(fit, answer["y"])


@pytest.mark.parametrize("problem", REFERENCES, ids=lambda p: p.name)
def test_its_statistics_are_certified_too(
    client: Client, url: str, problem: RegressionProblem
) -> None:
    run = solve(client, problem)

    summary = httpx2.get(f"{url}/v1/models/{run.job.model_id}/summary").json()

    certified = CERTIFIED[problem.name]
    (target,) = summary["targets"]
    errors = {one["name"]: one["std_error"] for one in target["coefficients"]}
    assert summary["refused"] is None
    assert target["residual_sd"] == pytest.approx(certified.residual_sd, rel=1e-11)
    assert target["r2"] == pytest.approx(certified.r2, rel=1e-12)
    found = [errors[name] for name in ("(intercept)", *run.model.features)]
    assert found == pytest.approx(certified.standard_errors, rel=1e-8)


@pytest.mark.parametrize("problem", REFERENCES, ids=lambda p: p.name)
def test_its_history_is_the_minimum_in_one_row(client: Client, problem: RegressionProblem) -> None:
    run = solve(client, problem)

    history, metrics = run.history, run.job.metrics
    n, certified = len(problem.X), CERTIFIED[problem.name]
    freedom = n - len(certified.params)
    assert len(history) == history.total == run.job.progress.epoch == 1
    assert metrics.gap == metrics.relative_gap == history.gap[0] == 0
    assert metrics.converged
    assert metrics.train_loss == history.train_loss[0]
    assert metrics.train_loss == pytest.approx(certified.residual_sd**2 * freedom / n, rel=1e-9)


def test_its_receipt_says_what_the_numbers_are_made_of(client: Client) -> None:
    run = solve(client, longley(), seed=0)

    receipt = run.model.receipt
    assert receipt is not None
    assert (receipt.rank, receipt.n_columns) == (7, 7)
    assert (receipt.dtype, receipt.device, receipt.engine) == ("float64", "cpu", "exact")
    assert receipt.condition_number == run.job.metrics.condition_number > 10
    assert receipt.digits_lost == pytest.approx(math.log10(receipt.condition_number))
    assert receipt.data_sha256 == run.job.dataset_sha256
    hashes = (receipt.data_sha256, receipt.spec_sha256, receipt.code_sha256)
    assert all(SHA256.fullmatch(one) for one in hashes)
    assert solve(client, longley(), seed=0, name="again").model.receipt == receipt
    other = solve(client, longley(), seed=0, l2=0.1).model.receipt
    assert other.data_sha256 == receipt.data_sha256
    assert other.spec_sha256 != receipt.spec_sha256


@pytest.mark.parametrize("standardize", [True, False])
def test_ridge_is_its_closed_form(client: Client, *, standardize: bool) -> None:
    problem, l2 = random_problem("ridge", n_targets=2, seed=11), 0.3
    n, n_targets = problem.Y.shape
    X = problem.X - problem.X.mean(axis=0)
    scale = X.std(axis=0) if standardize else np.ones(X.shape[1])

    run = solve(client, problem, l2=l2, standardize=standardize)

    penalty = n * n_targets * l2 * np.diag(scale**2)
    expected = np.linalg.solve(X.T @ X + penalty, X.T @ problem.Y).T
    np.testing.assert_allclose(run.model.coef, expected, rtol=1e-12)
    np.testing.assert_allclose(
        run.model.intercept, problem.Y.mean(axis=0) - expected @ problem.X.mean(axis=0), rtol=1e-12
    )
    peer = Ridge(alpha=n * n_targets * l2, tol=1e-12).fit(X / scale, problem.Y)
    np.testing.assert_allclose(run.model.coef * scale, peer.coef_, rtol=1e-9)


@pytest.mark.parametrize("l2", [0.0, 0.2])
def test_l1_is_solved_to_a_duality_gap_of_nothing(client: Client, l2: float) -> None:
    problem, l1 = random_problem("lasso", n_samples=60, n_features=8, seed=12), 0.6

    run = solve(client, problem, l1=l1, l2=l2, standardize=False)

    alpha = l1 / 2 + l2
    peer = ElasticNet(alpha=alpha, l1_ratio=l1 / 2 / alpha, tol=1e-14, max_iter=100_000)
    peer.fit(problem.X, problem.Y[:, 0])
    coef = np.array(run.model.coef[0])
    assert run.job.metrics.duality_gap <= 1e-12
    assert 0 < np.count_nonzero(coef) < len(coef)
    np.testing.assert_allclose(coef, peer.coef_, rtol=1e-7, atol=1e-10)
    np.testing.assert_array_equal(coef == 0, peer.coef_ == 0)
