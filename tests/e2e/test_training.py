"""The main job from HTTP to Celery to autograd and back, against certified numbers."""

import time
from collections.abc import Callable

import httpx2
import numpy as np
import pytest
import torch

from descend.client import Client
from descend.errors import InvalidInput, JobFailed
from descend.jobs import JobState, StopReason

X = [[1.0], [2.0], [3.0]]
Y = [2.0, 4.0, 6.0]
LESSON = {"optimizer": "sgd", "learning_rate": 0.01, "max_epochs": 1000, "standardize": False}


def closed_form_losses(learning_rate: float, epochs: int) -> np.ndarray:
    """theta_k = theta* + V (1 - lr lambda)^k V' (theta_0 - theta*), from zero weights."""
    design = np.column_stack([np.ravel(X), np.ones(3)])
    eigenvalues, V = np.linalg.eigh(2 / 3 * design.T @ design)
    optimum = np.array([2.0, 0.0])
    modes = V.T @ -optimum
    epoch = np.arange(epochs)[:, None]
    distance = (1 - learning_rate * eigenvalues) ** epoch * modes
    return 0.5 * (distance**2 * eigenvalues).sum(axis=1)


def plain_script(dtype: torch.dtype) -> np.ndarray:
    """The notebook: nn.Linear, MSELoss, SGD."""
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1, dtype=dtype)
    criterion, optimizer = torch.nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.01)
    inputs, targets = torch.tensor(X, dtype=dtype), torch.tensor(Y, dtype=dtype)[:, None]
    losses = []
    for _ in range(1000):
        loss = criterion(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


def test_the_notebook_job_returns_the_certified_losses_weights_and_prediction(
    client: Client,
) -> None:
    run = client.train(X, Y, **LESSON, tol=0).wait(timeout_seconds=60)

    history = run.history
    assert history.total == len(history) == 1000
    np.testing.assert_allclose(history.train_loss, closed_form_losses(0.01, 1000), rtol=1e-12)
    assert history.train_loss[:3].tolist() == pytest.approx(
        [18.666666666666668, 14.770962962962964, 11.69154084872428], rel=1e-14
    )
    model = run.model
    assert model.coef[0][0] == pytest.approx(1.97078250602932, abs=1e-13)
    assert model.intercept[0] == pytest.approx(0.06641823135781, abs=1e-13)
    assert model.predict([[4.0]])[0, 0] == pytest.approx(7.9495482554751, abs=1e-12)
    assert run.job.stop_reason is StopReason.MAX_EPOCHS


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-6)])
def test_torch_initial_weights_give_the_history_of_the_plain_script(
    client: Client, dtype: str, tolerance: float
) -> None:
    expected = plain_script(getattr(torch, dtype))

    run = client.train(X, Y, **LESSON, tol=0, init="torch", seed=0, dtype=dtype)

    losses = run.wait(timeout_seconds=60).history.train_loss
    assert np.abs(losses - expected).max() <= tolerance * expected[0]


def test_a_rate_above_the_bound_fails_with_the_bound_the_columns_and_remedies(
    client: Client,
) -> None:
    lesson = LESSON | {"learning_rate": 0.19}

    run = client.train(X, Y, **lesson, tol=0).wait(timeout_seconds=60, check=False)

    error = run.job.error
    assert run.job.state is JobState.FAILED
    assert run.job.stop_reason is StopReason.DIVERGED
    assert error is not None
    assert error.code == "diverged"
    assert error.detail["bound"] == pytest.approx(0.18029, abs=5e-6)
    assert "x0" in error.detail["columns"]
    assert len(error.detail["remedies"]) == 3
    assert run.history.total < 100


def test_a_first_job_with_nothing_but_data_converges(client: Client) -> None:
    rng = np.random.default_rng(1)
    design = rng.normal(50, 10, (200, 4))
    truth = np.array([1.0, -2.0, 0.5, 3.0])

    run = client.train(design, design @ truth + 7).wait(timeout_seconds=60)

    assert run.job.stop_reason is StopReason.CONVERGED
    np.testing.assert_allclose(run.model.coef[0], truth, rtol=1e-3)


def test_a_running_job_is_cancelled_within_two_seconds(client: Client) -> None:
    run = client.train(X, Y, learning_rate=1e-6, tol=0, max_epochs=10_000_000)
    until(lambda: run.refresh().progress.epoch > 0, "the job reports progress")

    begun = time.monotonic()
    run.cancel()
    run.wait(timeout_seconds=10, check=False)

    assert run.state is JobState.CANCELLED
    assert time.monotonic() - begun < 2.0
    assert run.history.total > 0
    with pytest.raises(JobFailed):
        _ = run.model


def test_the_job_tells_its_whole_way(client: Client) -> None:
    run = client.train(X, Y, **LESSON, name="lesson", metadata={"course": "autograd"})

    job = run.wait(timeout_seconds=60).job

    assert [t.state for t in job.transitions] == ["queued", "running", "succeeded"]
    assert job.name == "lesson"
    assert job.metadata == {"course": "autograd"}
    assert job.progress.epoch == job.metrics.epochs
    assert job.resolved_hyperparameters.momentum == 0
    assert job.engine == "eager"
    assert job.attempt == 1


def test_a_csv_file_is_uploaded_profiled_and_trained_by_column_name(
    client: Client, tmp_path
) -> None:
    table = tmp_path / "flats.csv"
    table.write_text("area,rooms,price\n50,2,150\n80,3,240\n120,4,355\n65,2,190\n")

    dataset = client.upload(table)
    run = client.train(dataset=dataset, target="price", features=["area"]).wait(timeout_seconds=60)

    area = dataset.column("area")
    assert (dataset.n_rows, area.min, area.max) == (4, 50, 120)
    assert run.model.features == ["area"]
    slope = np.polyfit([50, 80, 120, 65], [150, 240, 355, 190], 1)[0]
    assert run.model.coef[0][0] == pytest.approx(slope, rel=1e-4)


def test_a_column_that_is_not_there_is_named(client: Client, tmp_path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,b\n1,2\n3,4\n")
    dataset = client.upload(table)

    with pytest.raises(InvalidInput, match="price") as refused:
        client.train(dataset=dataset, target="price")

    assert refused.value.param == "target"


def test_sixty_four_jobs_at_once_all_end_like_the_first(client: Client) -> None:
    runs = [client.train(X, Y, **LESSON, tol=0) for _ in range(64)]

    ended = [run.wait(timeout_seconds=120) for run in runs]

    losses = ended[0].history.train_loss
    assert all(np.array_equal(run.history.train_loss, losses) for run in ended)


def test_a_wait_on_submission_answers_with_the_finished_job(url: str) -> None:
    body = {"dataset": {"X": X, "y": Y}, "hyperparameters": LESSON}

    answer = httpx2.post(f"{url}/v1/jobs?wait=30", json=body, timeout=40)

    assert answer.status_code == 200
    assert answer.json()["state"] == "succeeded"


def until(condition: Callable[[], bool], what: str, *, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.01)
