"""L-BFGS with a strong-Wolfe line search: torch.optim.LBFGS, one iteration an epoch.

For a batch of one. torch's object is made anew in each step from slots of fixed shape: what a
checkpoint holds is all there is, and a resumed run cannot differ from an uninterrupted one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workers.training.objective import (
    SUM_ROWS,
    Design,
    differentiate,
    smooth_gradient,
    values,
)
from workers.training.progress import Ints
from workers.training.scaling import Floats
from workers.training.shapes import Float

__all__ = ["Lbfgs", "metric_of"]

Params = Float[Tensor, "lanes columns outputs"]
Slots = dict[str, Tensor]

# Evaluations of one line search; torch's own limit would be 0 at one iteration a step.
MAX_EVALUATIONS = 26
# Weights are counted in units of this part of the targets' root mean square.
FINE = 2.0**-10
# A loss with a kink is rounded off: at first as wide as a typical residual, then narrower by this
# factor whenever what a step can still gain is below this part of the width.
NARROWER = 0.3
LITTLE = 0.1
# A huber_delta from this part of a typical residual on needs no rounding.
SMOOTH = 1 / 16
# Directions of the columns below this part of the steepest count as so steep.
FLATTEST = 1e-14
# Below this part of a typical residual a narrower kink changes no digit.
NARROWEST = 2.0**-60


@dataclass(frozen=True, eq=False)
class Lbfgs:
    """Minimise the smooth objective J in units in which torch's absolute thresholds are small.

    torch drops a pair of steps whose curvature is below 1e-10 and ends a line search whose bracket
    is below 1e-9, whatever the units of the targets. So it is given u = w / unit and the objective
    gain J(unit u) / unit^2, where unit is a power of two near a thousandth of the targets' root
    mean square and gain a power of two near 1 / eps: scaling targets by a power of two leaves
    every bit of the course as it was.

    Another loss than squared has a kink, or, huber's delta being small, nearly one: no quadratic
    describes it. J with the kink rounded off (Criterion.smoothed) is minimised in its place, and
    the rounding narrows, to huber's own delta or to nothing, each time that minimum is near: a
    path whose every step is smooth, and whose end is the minimum of J. What the history shows is J.
    There the weights are taken in coordinates in which all directions of the columns weigh alike
    (`metric`): the narrower the rounding, the fewer rows say what the curvature is, and columns
    that nearly repeat each other would take all epochs there are.

    Attributes:
        widest: of the rounding; None for squared loss.
        narrowest: of the rounding.
        metric: T and its inverse, (columns, columns): weights are T u; None for squared loss.
    """

    design: Design
    history_size: int
    unit: float
    gain: float
    widest: float | None = None
    narrowest: float = 0.0
    metric: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(cls, design: Design, history_size: int) -> "Lbfgs":
        goal, criterion = design.minus_goal.double(), design.criterion
        gain = 2.0**40 if design.A.dtype == torch.float64 else 2.0**20
        near = _power_above(float(goal.square().mean().sqrt()))
        if criterion is None:
            return cls(design, history_size, near * FINE, gain)
        typical = _power_above(float(goal.abs().mean()))
        least = typical * NARROWEST
        if criterion.name == "huber" and criterion.parameter is not None:
            least = max(least, float(criterion.parameter))
            if least >= SMOOTH * typical:
                return cls(design, history_size, near * FINE, gain)
        widest, metric = max(typical, least), metric_of(design, typical)
        return cls(design, history_size, typical * FINE, gain, widest, least, metric)

    def slots(self, params: Params) -> Slots:
        flat = torch.zeros(len(params), params[0].numel(), dtype=params.dtype, device=params.device)
        pairs = flat[:, None].repeat(1, self.history_size, 1)
        widths = {}
        if self.widest is not None:
            widths = {"width": torch.full((len(params), 1), self.widest, dtype=torch.float64)}
        return widths | {
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

        leaf = torch.nn.Parameter(self._inward(params) / self.unit)
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
        width = float(slots["width"][0, 0]) if self.widest is not None else None
        iterate: Any = optimizer.step  # torch leaves it without types
        before = float(iterate(lambda: self._evaluate(leaf, width)))
        moved, after = self._outward(leaf.detach() * self.unit), self._packed(state, slots)
        if width is None:
            return moved, after
        narrowed = self._narrowed(width, moved, before)
        if narrowed is None:  # a line search amid rounding ends anywhere, and would walk away
            moved, after, narrowed = params, self.slots(params), self._narrower(width)
        return moved, {**after, "width": torch.full_like(slots["width"], narrowed)}

    def select(self, lanes: list[int]) -> "Lbfgs":
        assert lanes == [0]  # noqa: S101 - held by batch_key: it trains alone
        return self

    def _narrowed(self, width: float, params: Params, before: float) -> float | None:
        """Choose the width of the next step; None where this one did not lead down from `before`.

        The minimum at this width is at most |gradient| |params - minimiser| lower; the distance is
        taken to be no more than the weights' own, or a typical residual's.
        """
        objective, gradient = smooth_gradient(self.design, params, width)
        reach = max(self.unit / FINE, float(torch.linalg.vector_norm(self._inward(params))))
        left = float(torch.linalg.vector_norm(self._pulled(gradient))) * reach
        if not objective * self._height < before:
            return None
        return self._narrower(width) if left <= LITTLE * width else width

    def _narrower(self, width: float) -> float:
        return max(NARROWER * width, self.narrowest)

    @property
    def _height(self) -> float:
        """What J rounded off is multiplied by for torch: it grows as the residuals do."""
        return self.gain / (self.unit * FINE)

    def _inward(self, params: Params) -> Params:
        return params if self.metric is None else self.metric[1] @ params

    def _outward(self, params: Params) -> Params:
        return params if self.metric is None else self.metric[0] @ params

    def _pulled(self, gradient: Params) -> Params:
        """Bring the gradient by the weights into the metric's coordinates."""
        return gradient if self.metric is None else self.metric[0].T @ gradient

    def _evaluate(self, leaf: torch.nn.Parameter, width: float | None) -> float:
        design, params = self.design, self._outward(leaf.detach() * self.unit)
        if width is not None:
            objective, gradient = smooth_gradient(design, params, width)
            leaf.grad = self._pulled(gradient) * (self._height * self.unit)
            return objective * self._height
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


def metric_of(design: Design, typical: float) -> tuple[Tensor, Tensor]:
    """Compute T with T' M T = 1, M = A'A / n + 2 l2 typical / slope: the curvature where all
    rows are within the rounding.

    Args:
        design: of one lane, A of shape (1, rows, columns).
        typical: a typical residual, which is how wide the loss is rounded off at first.

    Returns:
        T and T^-1, shape (columns, columns), in the design's dtype. Directions in which the
        columns depend on each other keep a length: T is invertible whatever the columns.

    Notes:
        rows columns^2 multiplications, in float64. The eigenvectors are of columns of length 1.
    """
    A, weights = design.A[0], None if design.criterion is None else design.criterion.weights
    gram = torch.zeros(A.shape[1], A.shape[1], dtype=torch.float64, device=A.device)
    for begin in range(0, len(A), SUM_ROWS):
        part = A[begin : begin + SUM_ROWS].double()
        heavy = part if weights is None else part * weights[0, begin : begin + SUM_ROWS].double()
        gram += heavy.T @ part
    gram *= float(design.share)
    if design.l2_root is not None:
        criterion, slope = design.criterion, 1.0
        if criterion is not None and criterion.name == "huber" and criterion.parameter is not None:
            slope = float(criterion.parameter)
        gram += torch.diag(2 * typical / slope * design.l2_root[0, :, 0].double().square())
    size = gram.diagonal().sqrt()
    size = torch.where(size > 0, size, torch.ones_like(size))
    values, vectors = torch.linalg.eigh(gram / size / size[:, None])
    roots = values.clamp(min=FLATTEST * float(values.max())).sqrt()
    outward, inward = vectors / roots / size[:, None], (vectors * roots).T * size
    return outward.to(A.dtype), inward.to(A.dtype)


def _power_above(size: float) -> float:
    _, exponent = torch.frexp(torch.tensor(size, dtype=torch.float64))
    return float(2.0 ** int(exponent)) if 0 < size < float("inf") else 1.0


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
