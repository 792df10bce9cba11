"""Plans, gradients, diagnostics and summaries from HTTP to a real worker and back."""

from typing import Any

import numpy as np
import pytest

from descend.client import Client
from descend.errors import InvalidInput

LESSON = {"optimizer": "sgd", "learning_rate": 0.01, "standardize": False, "tol": 0}
RNG = np.random.default_rng(3)
X = RNG.normal(size=(300, 2)) + np.array([5.0, 0.0])
Y = X @ [1.5, -0.7] + 3 + 0.2 * RNG.normal(size=300)


def test_a_plan_foretells_the_epoch_at_which_training_is_near(client: Client) -> None:
    told = client.plan(X, Y, **LESSON)

    run = client.train(X, Y, **LESSON, max_epochs=5000).wait(timeout_seconds=60)

    gap = run.history.gap
    assert told.initial_loss == pytest.approx(run.history.train_loss[0], rel=1e-12)
    checked = 0
    for one in told.epochs_to_gap:
        if one.gap > 1e-9 and one.epochs is not None and one.epochs < 5000:
            assert one.epochs == np.flatnonzero(gap <= one.gap * gap[0])[0]
            checked += 1
    assert checked >= 2
    assert told.engine == run.job.engine
    assert told.seconds is not None


def test_gradients_at_the_weights_of_a_job_vanish_where_it_found_the_minimum(
    client: Client,
) -> None:
    run = client.train(X, Y, optimizer="exact").wait(timeout_seconds=60)

    start = client.gradients(X, Y, standardize=False)
    end = client.gradients(X, Y, standardize=False, init=run.id)

    design = np.column_stack([X, np.ones(300)])
    np.testing.assert_allclose(start.autograd[0], -2 / 300 * design.T @ Y, rtol=1e-12)
    assert start.finite_differences_difference.relative < 1e-9
    assert np.abs(end.autograd).max() < 1e-9
    assert end.loss == pytest.approx(end.minimum.loss if end.minimum else None, rel=1e-12)


def test_a_summary_and_intervals_are_those_of_the_normal_equations(client: Client) -> None:
    run = client.train(X, Y, optimizer="exact").wait(timeout_seconds=60)

    told = client.summary(str(run.job.model_id))

    design = np.column_stack([X, np.ones(300)])
    inverse = np.linalg.inv(design.T @ design)
    residuals = Y - design @ np.linalg.lstsq(design, Y, rcond=None)[0]
    errors = np.sqrt(np.diag(inverse) * (residuals @ residuals) / 297)
    assert told.refused is None
    found = [row.std_error for row in told.targets[0].coefficients]
    np.testing.assert_allclose(np.array(found, dtype=float), errors, rtol=1e-9)
    robust = client.summary(str(run.job.model_id), covariance="HC3")
    assert robust.refused is None


def test_diagnostics_are_of_the_rows_trained_on_and_those_held_out(client: Client) -> None:
    run = client.train(X, Y, optimizer="exact", validation_fraction=0.2, seed=5)
    run.wait(timeout_seconds=60)

    told = client.diagnostics(str(run.job.model_id), max_points=100)

    assert (told.n_samples, told.n_eval_samples) == (240, 60)
    (target,) = told.targets
    assert len(target.rows) == 100
    predicted = run.model.predict(X)[:, 0]
    for row in target.rows:
        assert row.actual == Y[row.row - 1]
        assert row.predicted == pytest.approx(predicted[row.row - 1])
    assert {test.name for test in target.tests} == {"curvature", "breusch_pagan", "tails"}
    again = client.diagnostics(str(run.job.model_id), max_points=100)
    assert again == told


def test_diagnostics_are_the_same_when_the_job_is_gone(client: Client) -> None:
    data = {"x": X[:, 0], "y": Y, "w": np.geomspace(1e-3, 1, len(Y))}
    told = []
    for delete in (False, True):
        run = client.train(
            data, target="y", weight="w", optimizer="exact", validation_fraction=0.2, seed=5
        )
        run.wait(timeout_seconds=60)
        if delete:
            client.delete_job(run.job.id)
        told.append(client.diagnostics(str(run.job.model_id)))

    assert told[1].targets == told[0].targets
    assert told[1].warnings == told[0].warnings


def test_a_diagnosed_row_is_found_in_the_data_whatever_was_left_out(client: Client) -> None:
    """Rows count from 1, as in what an upload is told: data set, file and diagnostics agree."""
    data = {"x": [None, 1.0, 2.0, None, 3.0, 4.0, 5.0], "y": [9.0, 1.0, 2.5, 9.0, 2.9, 4.2, None]}
    run = client.train(data, target="y", optimizer="exact", missing="drop")
    run.wait(timeout_seconds=60)

    told = client.diagnostics(str(run.job.model_id))

    found = {row.row: row.actual for row in told.targets[0].rows}
    assert found == {2: 1.0, 3: 2.5, 5: 2.9, 6: 4.2}


def test_a_question_that_has_no_answer_is_refused(client: Client) -> None:
    with pytest.raises(InvalidInput, match="squared loss"):
        client.gradients(X, Y, loss="huber")


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({"loss": "absolute"}, "kernel"),
        ({"loss": "quantile", "quantile": 0.9}, "kernel"),
        ({"loss": "huber", "huber_delta": 0.3}, "sandwich"),
    ],
    ids=["absolute", "quantile", "huber"],
)
def test_other_losses_are_solved_with_a_proof_and_errors_that_are_named(
    client: Client, asked: dict[str, Any], shown: str
) -> None:
    run = client.train(X, Y, optimizer="exact", **asked).wait(timeout_seconds=60)

    told = client.summary(str(run.job.model_id))

    metrics = run.job.metrics
    assert run.job.stop_reason == "solved"
    assert len(run.history) == 1
    assert metrics is not None
    assert metrics.converged is True
    assert metrics.gap == pytest.approx(0, abs=1e-12)
    assert (told.refused, told.covariance) == (None, shown)
    assert told.definition
    np.testing.assert_allclose(run.model.coef[0], [1.5, -0.7], atol=0.2)
    for row in told.targets[0].coefficients:
        assert row.std_error is not None
        assert 0 < row.std_error < 0.3
