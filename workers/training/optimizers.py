"""Optimizers for many models side by side: rates, momenta and penalties are tensors per lane.

torch.optim has one rate per parameter group; here every lane has its own. Each update is made of
operations on single elements, none fused, so that a lane's bits do not depend on where it stands.
The tests hold each optimizer to torch.optim, step for step.

A step takes and returns values: parameters and slots are never changed in place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from descend.jobs import Hyperparameters
from workers.training.lbfgs import Lbfgs
from workers.training.objective import Design, take
from workers.training.problem import Floats
from workers.training.progress import Ints
from workers.training.shapes import Float

__all__ = ["Adam", "Optimizer", "Sgd", "Slots", "Step", "optimizer_of"]

Params = Float[Tensor, "lanes columns outputs"]
Slots = dict[str, Tensor]
Step = tuple[Params, Slots]


@runtime_checkable
class Optimizer(Protocol):
    """What the loop needs of an optimizer."""

    def slots(self, params: Params) -> Slots:
        """Return the state before the first step."""

    def turns(
        self, done: Ints, lanes: Sequence[int], steps: int, factors: Floats | None = None
    ) -> list[Tensor]:
        """Compute what differs between the next `steps` epochs: tensors of shape (steps, ...).

        Args:
            done: epochs that each model has done.
            lanes: the model in each lane.
            steps: how many follow.
            factors: what a schedule makes of the rates in each of them, (lanes, steps).
        """

    def step(self, params: Params, gradient: Params, slots: Slots, turn: Sequence[Tensor]) -> Step:
        """Take a step, with what `turns` has for its epoch; no host sync."""

    def select(self, lanes: list[int]) -> "Optimizer":
        """Keep these lanes."""


@dataclass(frozen=True, eq=False)
class Sgd:
    """Gradient descent with heavy-ball or Nesterov momentum, in torch.optim.SGD's form.

        v <- momentum v + g;   w <- w - rate v            (nesterov: w - rate (g + momentum v))

    With l1 the step ends in soft-thresholding S by rate * l1, and v is set from the displacement
    that S left, so that the fixed point is the optimum of the whole objective:

        w' = S(w - rate (momentum v + g));   v' = (w - w') / rate                     (iPiano)
        x' = S(w - rate g);  v' = (w + rate momentum v - x') / rate;  w' = x' - rate momentum v'
                                                                            (nesterov, FISTA)

    References:
        P. Ochs et al., iPiano: Inertial Proximal Algorithm for Nonconvex Optimization, SIAM J.
        Imaging Sci. 7 (2014), Algorithm 1. A. Beck, M. Teboulle, SIAM J. Imaging Sci. 2 (2009).
    """

    rate: Params
    momentum: Params | None
    nesterov: bool
    threshold: Params | None  # rate * l1

    def slots(self, params: Params) -> Slots:
        return {} if self.momentum is None else {"velocity": torch.zeros_like(params)}

    def turns(
        self,
        done: Ints,  # noqa: ARG002
        lanes: Sequence[int],  # noqa: ARG002
        steps: int,  # noqa: ARG002
        factors: Floats | None = None,
    ) -> list[Tensor]:
        """By epoch: the schedule's factor of the rate, where there is one."""
        return [] if factors is None else [_by_epoch(factors, self.rate)]

    def step(self, params: Params, gradient: Params, slots: Slots, turn: Sequence[Tensor]) -> Step:
        if turn:
            return self._at(*turn).step(params, gradient, slots, [])
        if self.momentum is None:
            return self._shrink(params - self.rate * gradient), slots
        if self.threshold is not None:
            return self._inertial(params, gradient, slots["velocity"])
        velocity = self.momentum * slots["velocity"] + gradient
        direction = gradient + self.momentum * velocity if self.nesterov else velocity
        return params - self.rate * direction, {"velocity": velocity}

    def select(self, lanes: list[int]) -> "Sgd":
        return replace(
            self,
            rate=take(self.rate, lanes),
            momentum=None if self.momentum is None else take(self.momentum, lanes),
            threshold=None if self.threshold is None else take(self.threshold, lanes),
        )

    def _at(self, factor: Tensor) -> "Sgd":
        threshold = None if self.threshold is None else self.threshold * factor
        return replace(self, rate=self.rate * factor, threshold=threshold)

    def _inertial(self, params: Params, gradient: Params, velocity: Tensor) -> Step:
        assert self.momentum is not None  # noqa: S101 - held by step
        inertia = self.momentum * velocity
        if not self.nesterov:
            moved = self._shrink(params - self.rate * (inertia + gradient))
            return moved, {"velocity": (params - moved) / self.rate}
        anchor = params + self.rate * inertia
        reached = self._shrink(params - self.rate * gradient)
        velocity = (anchor - reached) / self.rate
        return reached - self.rate * (self.momentum * velocity), {"velocity": velocity}

    def _shrink(self, params: Params) -> Params:
        return params if self.threshold is None else soft_threshold(params, self.threshold)


@dataclass(frozen=True, eq=False)
class Adam:
    """Adam, and with `decay` AdamW, in torch.optim's form; k counts steps from 1.

        m <- beta1 m + (1 - beta1) g;   v <- beta2 v + (1 - beta2) g^2
        w <- w (1 - rate decay) - step m
        step = rate / (1 - beta1^k) / (sqrt(v / (1 - beta2^k)) + eps)

    With l1, soft-thresholding by step * l1, each coordinate by its own step: at a fixed point m = g
    and the thresholded coordinates satisfy the optimality conditions of the whole objective.
    """

    rate: Params
    beta1: Params
    beta2: Params
    rest1: Params  # 1 - beta1, rounded once in float64
    rest2: Params
    eps: Params
    decay: Params | None  # rate * weight_decay, 0 for the intercept
    l1: Params | None
    betas: tuple[tuple[float, float], ...]  # by lane

    def slots(self, params: Params) -> Slots:
        return {"first": torch.zeros_like(params), "second": torch.zeros_like(params)}

    def turns(
        self, done: Ints, lanes: Sequence[int], steps: int, factors: Floats | None = None
    ) -> list[Tensor]:
        """By epoch: rate / (1 - beta1^k), sqrt(1 - beta2^k), and the schedule's factor if any."""
        begun = done[list(lanes)].tolist()
        one = np.array([_powers(b, n, steps) for (b, _), n in zip(self.betas, begun, strict=True)])
        two = np.array([_powers(b, n, steps) for (_, b), n in zip(self.betas, begun, strict=True)])
        first, second = _by_epoch(1 - one, self.rate), _by_epoch(np.sqrt(1 - two), self.rate)
        if factors is None:
            return [self.rate / first, second]
        falling = _by_epoch(factors, self.rate)
        return [self.rate * falling / first, second, falling]

    def step(self, params: Params, gradient: Params, slots: Slots, turn: Sequence[Tensor]) -> Step:
        rate, root, *falling = turn
        first = self.beta1 * slots["first"] + self.rest1 * gradient
        second = self.beta2 * slots["second"] + self.rest2 * (gradient * gradient)
        step = rate / (second.sqrt() / root + self.eps)
        if self.decay is not None:
            decay = self.decay * falling[0] if falling else self.decay
            params = params - decay * params
        moved = params - step * first
        if self.l1 is not None:
            moved = soft_threshold(moved, step * self.l1)
        return moved, {"first": first, "second": second}

    def select(self, lanes: list[int]) -> "Adam":
        betas = tuple(self.betas[lane] for lane in lanes)
        tensors = {name: v for name, v in vars(self).items() if isinstance(v, Tensor)}
        kept = {name: take(values, lanes) for name, values in tensors.items()}
        return Adam(**{**vars(self), **kept, "betas": betas})


def optimizer_of(
    lanes: list[tuple[Hyperparameters, float]], design: Design, params: Params
) -> Optimizer:
    """Build the optimizer of a batch: one (hyperparameters, rate) per lane, of one batch key."""
    first = lanes[0][0]
    if first.optimizer == "lbfgs":
        return Lbfgs.of(design, first.history_size or 1)

    def tensor(values: list[float]) -> Params:
        column = torch.tensor(values, dtype=torch.float64).to(params.device, params.dtype)
        return column.reshape(-1, 1, 1).expand_as(params).contiguous()

    rate = tensor([rate for _, rate in lanes])
    if first.optimizer == "sgd":
        momentum = tensor([h.momentum or 0.0 for h, _ in lanes]) if first.momentum else None
        threshold = None if design.l1 is None else rate * design.l1
        return Sgd(rate, momentum, nesterov=bool(first.nesterov), threshold=threshold)
    betas = tuple((h.betas[0], h.betas[1]) for h, _ in lanes if h.betas is not None)
    decay = None
    if first.optimizer == "adamw":
        decay = tensor([rate * (h.weight_decay or 0.0) for h, rate in lanes])
        if first.fit_intercept:
            decay[:, -1] = 0
    return Adam(
        rate=rate,
        beta1=tensor([one for one, _ in betas]),
        beta2=tensor([two for _, two in betas]),
        rest1=tensor([1 - one for one, _ in betas]),
        rest2=tensor([1 - two for _, two in betas]),
        eps=tensor([h.eps or 0.0 for h, _ in lanes]),
        decay=decay,
        l1=design.l1,
        betas=betas,
    )


def soft_threshold(values: Tensor, threshold: Tensor) -> Tensor:
    """Move every value towards 0 by its threshold, and exactly to 0 where it is within it."""
    return values - torch.clamp(values, -threshold, threshold)


def _by_epoch(values: Floats, like: Tensor) -> Tensor:
    """Bring (lanes, steps) into the shape (steps, lanes, 1, 1)."""
    return torch.from_numpy(values.T.copy()).to(like.device, like.dtype)[..., None, None]


def _powers(beta: float, done: int, steps: int) -> np.ndarray:
    return np.power(beta, np.arange(done + 1, done + steps + 1, dtype=np.float64))
