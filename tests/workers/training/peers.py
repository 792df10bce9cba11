"""The same training by torch.optim: what the engine is held to, step for step."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from tests.problems import RegressionProblem

__all__ = ["Course", "Peer", "Scheduler", "by_torch", "loss_of", "standardised"]

Peer = Callable[[Iterable[torch.Tensor]], torch.optim.Optimizer]
Criterion = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Scheduler = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]


@dataclass(frozen=True, eq=False)
class Course:
    """By epoch: losses and gradient norms before the step, and rates; and where it ended."""

    losses: np.ndarray
    norms: np.ndarray
    rates: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray


def loss_of(name: str, parameter: float) -> Criterion:
    """Make torch's own loss, one number per element; torch has no pinball loss."""
    if name == "squared":
        return torch.nn.MSELoss(reduction="none")
    if name == "huber":
        return torch.nn.HuberLoss(delta=parameter, reduction="none")
    if name == "absolute":
        return torch.nn.L1Loss(reduction="none")

    def pinball(predicted: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        above = parameter * (wanted - predicted).clamp(min=0)
        return above + (1 - parameter) * (predicted - wanted).clamp(min=0)

    return pinball


def by_torch(
    rows: RegressionProblem,
    peer: Peer,
    *,
    epochs: int,
    criterion: Criterion | None = None,
    scheduler: Scheduler | None = None,
    l2: float = 0.0,
    batches: Callable[[int], list[np.ndarray]] | None = None,
) -> Course:
    """Train on standardised columns; `batches`: an epoch's batches of row numbers."""
    criterion = criterion or loss_of("squared", 0)
    X, Y = torch.from_numpy(standardised(rows)), torch.from_numpy(rows.Y)
    omega = np.ones(len(X)) if rows.sample_weight is None else rows.sample_weight
    weights = torch.from_numpy(omega)[:, None]
    w = torch.zeros(Y.shape[1], X.shape[1], dtype=torch.float64, requires_grad=True)
    b = torch.zeros(Y.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = peer([w, b])
    falling = scheduler(optimizer) if scheduler else None
    told = []
    for epoch in range(epochs):
        whole, norm, rate = 0.0, 0.0, optimizer.param_groups[0]["lr"]
        for batch in batches(epoch) if batches else [np.arange(len(X))]:
            values = criterion(torch.nn.functional.linear(X[batch], w, b), Y[batch])
            loss = (weights[batch] * values).sum() / (weights[batch].sum() * Y.shape[1])
            optimizer.zero_grad()
            (loss + l2 * w.square().sum()).backward()
            assert w.grad is not None
            assert b.grad is not None
            norm = float(torch.cat([w.grad.flatten(), b.grad]).norm())
            optimizer.step()
            whole += loss.item() * float(weights[batch].sum() / weights.sum())
        told.append((whole, norm, rate))
        if falling:
            falling.step()
    losses, norms, rates = np.array(told).T
    return Course(losses, norms, rates, w.detach().numpy(), b.detach().numpy())


def standardised(rows: RegressionProblem) -> np.ndarray:
    omega = np.ones(len(rows.X)) if rows.sample_weight is None else rows.sample_weight
    mean = np.average(rows.X, axis=0, weights=omega)
    scale = np.sqrt(np.average(np.square(rows.X - mean), axis=0, weights=omega))
    return np.asarray((rows.X - mean) / np.where(scale == 0, 1, scale))
