"""Every optimizer against torch.optim, step for step, in float64."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch

from tests.problems import CATALOGUE, RegressionProblem
from tests.workers.training.trained import train

EPOCHS = 200
PROBLEMS = ["notebook", "well conditioned", "several targets", "shifted and scaled", "one row"]
Parameters = Iterable[torch.Tensor]
Peer = Callable[[torch.Tensor, torch.Tensor], torch.optim.Optimizer]

PEERS: dict[str, tuple[dict[str, object], Peer]] = {
    "sgd": ({"learning_rate": 0.05}, lambda w, b: torch.optim.SGD([w, b], lr=0.05)),
    "momentum": (
        {"learning_rate": 0.05, "momentum": 0.9},
        lambda w, b: torch.optim.SGD([w, b], lr=0.05, momentum=0.9),
    ),
    "nesterov": (
        {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True},
        lambda w, b: torch.optim.SGD([w, b], lr=0.05, momentum=0.8, nesterov=True),
    ),
    "adam": (
        {"optimizer": "adam", "learning_rate": 0.01},
        lambda w, b: torch.optim.Adam([w, b], lr=0.01),
    ),
    "adam, other betas": (
        {"optimizer": "adam", "learning_rate": 0.004, "betas": [0.8, 0.99], "eps": 1e-6},
        lambda w, b: torch.optim.Adam([w, b], lr=0.004, betas=(0.8, 0.99), eps=1e-6),
    ),
    "adamw": (
        {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
        lambda w, b: torch.optim.AdamW(
            [{"params": [w]}, {"params": [b], "weight_decay": 0.0}], lr=0.01, weight_decay=0.1
        ),
    ),
}


def by_torch(rows: RegressionProblem, peer: Peer, l2: float) -> tuple[np.ndarray, np.ndarray]:
    """Train on standardised columns; return losses, and gradients by epoch and coordinate."""
    X = torch.from_numpy(standardised(rows.X))
    Y = torch.from_numpy(rows.Y)
    w = torch.zeros(Y.shape[1], X.shape[1], dtype=torch.float64, requires_grad=True)
    b = torch.zeros(Y.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = peer(w, b)
    losses, gradients = [], []
    for _ in range(EPOCHS):
        loss = torch.nn.functional.mse_loss(torch.nn.functional.linear(X, w, b), Y)
        optimizer.zero_grad()
        (loss + l2 * w.square().sum()).backward()
        assert w.grad is not None
        assert b.grad is not None
        gradients.append(torch.cat([w.grad.flatten(), b.grad]).numpy())
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses), np.array(gradients)


def standardised(X: np.ndarray) -> np.ndarray:
    scale = X.std(axis=0)
    return np.asarray((X - X.mean(axis=0)) / np.where(scale == 0, 1, scale))


@pytest.mark.parametrize("l2", [0.0, 0.25])
@pytest.mark.parametrize("optimizer", PEERS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_an_optimizer_is_torchs_step_for_step(name: str, optimizer: str, l2: float) -> None:
    rows = CATALOGUE[name]()
    asked, peer = PEERS[optimizer]

    history = train(rows, **asked, l2=l2, max_epochs=EPOCHS, tol=0).history

    losses, gradients = by_torch(rows, peer, l2)
    norms = np.linalg.norm(gradients, axis=1)
    # Where a coordinate's gradient has vanished, Adam divides rounding noise by rounding noise.
    told = (np.abs(gradients) > 1e-6 * np.abs(gradients[0])) | (gradients[0] == 0)
    compared = EPOCHS if "adam" not in optimizer else int(np.argmin([*told.all(axis=1), False]))
    assert compared >= 100
    assert np.abs(history.train_loss - losses)[:compared].max() <= 1e-12 * losses[0]
    assert np.abs(history.grad_norm - norms)[:compared].max() <= 1e-11 * norms[0]


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_in_float32_an_optimizer_is_torchs_within_single_precision(optimizer: str) -> None:
    rows = CATALOGUE["well conditioned"]()
    asked, peer = PEERS[optimizer]

    history = train(rows, **asked, max_epochs=EPOCHS, tol=0, dtype="float32").history

    losses, _ = by_torch(rows, peer, 0.0)
    assert np.abs(history.train_loss - losses).max() <= 1e-5 * losses[0]
