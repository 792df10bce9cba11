"""L-BFGS with a strong-Wolfe line search: torch.optim.LBFGS, one iteration an epoch.

For a batch of one. torch's object is made anew in each step from slots of fixed shape: what a
checkpoint holds is all there is, and a resumed run cannot differ from an uninterrupted one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workers.training.objective import Design, differentiate, values
from workers.training.progress import Ints
from workers.training.scaling import Floats
from workers.training.shapes import Float

__all__ = ["Lbfgs"]

Params = Float[Tensor, "lanes columns outputs"]
Slots = dict[str, Tensor]

# Evaluations of one line search; torch's own limit would be 0 at one iteration a step.
MAX_EVALUATIONS = 26
# Weights are counted in units of this part of the targets' root mean square.
FINE = 2.0**-10


@dataclass(frozen=True, eq=False)
class Lbfgs:
    """Minimise the smooth objective J in units in which torch's absolute thresholds are small.

    torch drops a pair of steps whose curvature is below 1e-10 and ends a line search whose bracket
    is below 1e-9, whatever the units of the targets. So it is given u = w / unit and the objective
    gain J(unit u) / unit^2, where unit is a power of two near a thousandth of the targets' root
    mean square and gain a power of two near 1 / eps: scaling targets by a power of two leaves
    every bit of the course as it was.
    """

    design: Design
    history_size: int
    unit: float
    gain: float

    @classmethod
    def of(cls, design: Design, history_size: int) -> "Lbfgs":
        size = float(design.minus_goal.double().square().mean().sqrt())
        _, exponent = torch.frexp(torch.tensor(size, dtype=torch.float64))
        near = 2.0 ** int(exponent) if 0 < size < float("inf") else 1.0
        gain = 2.0**40 if design.A.dtype == torch.float64 else 2.0**20
        return cls(design, history_size, near * FINE, gain)

    def slots(self, params: Params) -> Slots:
        flat = torch.zeros(len(params), params[0].numel(), dtype=params.dtype, device=params.device)
        pairs = flat[:, None].repeat(1, self.history_size, 1)
        return {
            "direction": flat,
            "gradient": flat.clone(),
            "changes": pairs,
            "steps": pairs.clone(),
            "inverses": pairs[:, :, 0].clone(),
            # iterations, pairs held, length of the last step, scale of the first Hessian
            "figures": torch.zeros(len(params), 4, dtype=torch.float64),
        }

    def turns(
        self,
        done: Ints,  # noqa: ARG002
        lanes: Sequence[int],  # noqa: ARG002
        steps: int,  # noqa: ARG002
        factors: Floats | None = None,  # noqa: ARG002
    ) -> list[Tensor]:
        return []

    def step(
        self,
        params: Params,
        gradient: Params,  # noqa: ARG002  the closure computes it, with the objective
        slots: Slots,
        turn: Sequence[Tensor],  # noqa: ARG002
    ) -> tuple[Params, Slots]:
        """Take one iteration; several host syncs, for the line search decides on the host."""
        from torch.optim import LBFGS  # 1.2 s, once

        leaf = torch.nn.Parameter(params / self.unit)
        optimizer = LBFGS(
            [leaf],
            max_iter=1,
            max_eval=MAX_EVALUATIONS,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            history_size=self.history_size,
            line_search_fn="strong_wolfe",
        )
        state = optimizer.state[leaf]
        state.update(_unpacked(slots))
        iterate: Any = optimizer.step  # torch leaves it without types
        iterate(lambda: self._evaluate(leaf))
        return leaf.detach() * self.unit, self._packed(state, slots)

    def select(self, lanes: list[int]) -> "Lbfgs":
        assert lanes == [0]  # noqa: S101 - held by batch_key: it trains alone
        return self

    def _evaluate(self, leaf: torch.nn.Parameter) -> float:
        design, params = self.design, leaf.detach() * self.unit
        residuals, gradient = differentiate(design, params)
        leaf.grad = gradient * (self.gain / self.unit)
        loss = values(design, residuals).sum(dtype=torch.float64) * design.share
        if design.l2_root is not None:
            roots = design.l2_root * params
            loss = loss + roots.square().sum(dtype=torch.float64)
        return float(loss) * (self.gain / self.unit**2)

    def _packed(self, state: dict[str, Any], before: Slots) -> Slots:
        if "d" not in state:  # a gradient of 0: nothing to do, nothing to remember
            return before
        after = {name: values.clone() for name, values in before.items()}
        count = len(state["old_dirs"])
        if count:
            after["changes"][0, :count] = torch.stack(state["old_dirs"])
            after["steps"][0, :count] = torch.stack(state["old_stps"])
            after["inverses"][0, :count] = torch.stack(state["ro"])
        after["direction"][0] = state["d"]
        after["gradient"][0] = state["prev_flat_grad"]
        figures = (state["n_iter"], count, state["t"], state["H_diag"])
        after["figures"][0] = torch.tensor([float(f) for f in figures], dtype=torch.float64)
        return after


def _unpacked(slots: Slots) -> dict[str, Any]:
    """Give torch's state; empty before the first iteration."""
    iterations, count, length, scale = slots["figures"][0].tolist()
    if not iterations:
        return {}
    held = int(count)
    return {
        "n_iter": int(iterations),
        "d": slots["direction"][0],
        "t": length,
        "old_dirs": list(slots["changes"][0, :held]),
        "old_stps": list(slots["steps"][0, :held]),
        "ro": list(slots["inverses"][0, :held]),
        "H_diag": scale,
        "prev_flat_grad": slots["gradient"][0].clone(),
        "prev_loss": 0.0,
    }
