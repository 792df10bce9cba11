"""The lesson's figures, to the last digits that float64 has."""

import numpy as np
import pytest
import torch

from descend.jobs import StopReason
from tests.problems import notebook, random_problem
from tests.workers.training.trained import train

LESSON = {
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "max_epochs": 1000,
    "standardize": False,
    "tol": 0,
}


def script(dtype: torch.dtype) -> list[float]:
    """The notebook's own loop."""
    torch.manual_seed(0)
    inputs = torch.tensor([[1.0], [2.0], [3.0]], dtype=dtype)
    model = torch.nn.Linear(1, 1, dtype=dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(1000):
        loss = torch.nn.functional.mse_loss(model(inputs), 2 * inputs)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


def test_the_lesson_ends_where_it_is_certified_to_end() -> None:
    trained = train(notebook(), **LESSON)

    coef, intercept = trained.outcome.coef[0, 0], trained.outcome.intercept[0]
    assert coef == pytest.approx(1.97078250602932, rel=1e-13)
    assert intercept == pytest.approx(0.06641823135781, rel=1e-12)
    assert coef * 4 + intercept == pytest.approx(7.9495482554751, rel=1e-13)
    assert trained.outcome.metrics.train_loss == pytest.approx(6.3284014473e-4, rel=1e-10)
    assert trained.outcome.stop_reason is StopReason.MAX_EPOCHS
    assert trained.outcome.engine == "eager"


def test_the_lesson_has_a_thousand_losses_beginning_as_certified() -> None:
    history = train(notebook(), **LESSON).history

    assert history.epoch.tolist() == list(range(1000))
    assert history.total == 1000
    expected = [18.666666666666668, 14.770962962962964, 11.69154084872428]
    np.testing.assert_allclose(history.train_loss[:3], expected, rtol=1e-14)
    assert np.isnan(history.eval_loss).all()
    assert (history.learning_rate == 0.01).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-6)])
def test_with_torchs_weights_it_is_the_plain_script(dtype: str, tolerance: float) -> None:
    losses = script(getattr(torch, dtype))

    history = train(notebook(), **LESSON, init="torch", seed=0, dtype=dtype).history

    assert np.abs(history.train_loss - losses).max() <= tolerance * losses[0]


@pytest.mark.parametrize("n_targets", [1, 3])
def test_torchs_weights_are_those_of_a_linear_layer(n_targets: int) -> None:
    torch.manual_seed(7)
    layer = torch.nn.Linear(4, n_targets, dtype=torch.float64)
    global_state = torch.get_rng_state()

    rows = random_problem("drawn", n_targets=n_targets)
    trained = train(rows, learning_rate=1e-300, init="torch", seed=7, max_epochs=1)

    np.testing.assert_allclose(trained.outcome.coef, layer.weight.detach().numpy(), rtol=1e-13)
    np.testing.assert_allclose(trained.outcome.intercept, layer.bias.detach().numpy(), rtol=1e-12)
    assert torch.equal(torch.get_rng_state(), global_state)


def test_a_rate_above_the_bound_is_stopped_early_with_the_bound_and_the_column() -> None:
    trained = train(notebook(), **{**LESSON, "learning_rate": 0.19})

    error = trained.outcome.error
    assert trained.outcome.stop_reason is StopReason.DIVERGED
    assert trained.history.total < 100
    assert error is not None
    assert error.code == "diverged"
    assert "0.18029" in error.message
    assert error.detail["bound"] == pytest.approx(0.18029485, rel=1e-7)
    assert error.detail["columns"] == ["x"]
    assert len(error.detail["remedies"]) == 3  # type: ignore[arg-type]
