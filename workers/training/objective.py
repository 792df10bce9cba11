"""The objective, its gradient by autograd, and the tensors they are computed from.

    J(W, b) = 1 / (sum(omega) * n_targets) * sum_i omega_i loss(x_i W + b - y_i)
              + l2 * ||W||_F^2  +  l1 * ||W||_1

Full account, with what it equals elsewhere: docs/objective.md.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from descend.errors import InvalidInput
from workers.training.losses import Criterion, Loss
from workers.training.problem import Floats, Problem
from workers.training.samples import Rows
from workers.training.scaling import Scaling
from workers.training.shapes import Float

__all__ = [
    "PART_ROWS",
    "SUM_ROWS",
    "Design",
    "Matrices",
    "added_product",
    "arrange",
    "differentiate",
    "held_values",
    "matrices",
    "padded",
    "padded_targets",
    "rows_sampled",
    "smooth_gradient",
    "take",
    "values",
]

# Rows of W are kept on 64-byte lines. MKL's batched product rounds differently by the position of
# a matrix in memory unless its rows fill vector registers: measured with 3, 5 and 7 targets in
# float64 (107 of 224 shapes), never with 1 target or with padding.
LINE_BYTES = 64
# In float32 a column's gradient is summed over so many rows at a time at most. Over more, each term
# is rounded at the sum's size, always the same way where all are alike: measured on a million rows
# with an offset, 0.3 to 3 % of the gradient.
SUM_ROWS = 2**14
# A model of more rows trains alone, and its rows are cut into parts of so many. A kernel without
# AVX-512 adds one term after another: 1.4e-4 of the gradient over 2^14 rows, 2e-6 over these, and
# no slower (both measured).
PART_ROWS = 2**8


@dataclass(frozen=True, eq=False)
class Matrices:
    """One problem in the coordinates it is trained in, numpy float64.

    Attributes:
        A: shape (rows, columns): scaled features, then 1 if there is an intercept; each row
            times sqrt(rows * omega_i / sum(omega)), so that all rows weigh the same; or as many
            rows of the R factor of these.
        B: targets times the same factor, shape (rows, n_targets).
        held_rows, held_targets: the same for the held-out rows.
        weights, held_weights: of the rows, their mean 1, under losses that no factor of a row can
            weigh; there A and B are the rows themselves. None where nothing is left to weigh.
    """

    A: Floats
    B: Floats
    held_rows: Floats
    held_targets: Floats
    weights: Floats | None = None
    held_weights: Floats | None = None


@dataclass(frozen=True, eq=False)
class Design:
    """The matrices of several problems side by side, in the dtype and on the device of training.

    In float32 many rows are cut into `parts` of equal length, of which each gives a gradient; rows
    of 0 without a share fill up the last.
    """

    A: Float[Tensor, "lanes rows columns"]
    minus_goal: Float[Tensor, "lanes rows outputs"]
    share: Float[Tensor, ""]  # 1 / (rows * n_targets)
    shares: Float[Tensor, "lanes rows outputs"]  # the same, for each square
    held_rows: Float[Tensor, "lanes held columns"] | None
    minus_held_goal: Float[Tensor, "lanes held outputs"] | None
    held_share: Float[Tensor, ""] | None
    l2_root: Float[Tensor, "lanes columns outputs"] | None  # sqrt(l2), 0 for the intercept
    l1: Float[Tensor, "lanes columns outputs"] | None  # l1, 0 for the intercept
    criterion: Criterion | None = None  # None for squared loss
    parts: int = 1

    def select(self, lanes: list[int]) -> "Design":
        """Keep these lanes, in this order; one lane named twice shares its memory."""
        changed = {
            name: take(value, lanes)
            for name, value in vars(self).items()
            if isinstance(value, Tensor) and value.ndim == 3
        }
        criterion = None if self.criterion is None else self.criterion.select(lanes)
        return Design(**{**vars(self), **changed, "criterion": criterion})


def matrices(problem: Problem, scaling: Scaling) -> Matrices:
    """Bring a problem's rows into the coordinates of training (see Matrices)."""
    intercept = problem.hyperparameters.fit_intercept
    if problem.hyperparameters.loss != "squared":
        return _unfolded(problem, scaling)
    A, B = problem.summary.matrices(scaling, intercept=intercept)
    if problem.held is None:
        return Matrices(A, B, A[:0], B[:0])
    return Matrices(A, B, *problem.held.matrices(scaling, intercept=intercept))


def rows_sampled(problem: Problem, scaling: Scaling) -> Matrices | None:
    """Bring some rows, as batches are made of them, into these coordinates.

    Returns:
        The matrices; None where `matrices` holds rows already.
    """
    if problem.factored is None:
        return None
    return matrices(replace(problem, factored=None, held=None), scaling)


def arrange(problems: list[tuple[Problem, Matrices]], lanes: list[int], *, device: str) -> Design:
    """Stack problems of one batch key into a Design.

    Args:
        problems: each with its matrices; equal shapes.
        lanes: which problem stands in each lane.
        device: a torch device.
    """
    first = problems[0][0]
    dtype = getattr(torch, first.hyperparameters.dtype)
    outputs, rows = padded_targets(first), len(problems[0][1].A)
    many = dtype is torch.float32 and len(lanes) == 1 and rows > SUM_ROWS
    parts = -(-rows // PART_ROWS) if many else 1
    idle = -rows % parts

    def tensor(parts: list[Floats]) -> Tensor:
        stacked = torch.from_numpy(np.stack(parts)).to(device=device, dtype=dtype)
        return take(stacked, lanes)

    def targets(parts: list[Floats]) -> Tensor:
        return tensor([padded(part, outputs) for part in parts])

    def penalty(values: list[float]) -> Tensor | None:
        if not any(values):
            return None
        return tensor([_penalty(first, value, outputs) for value in values])

    held = len(problems[0][1].held_rows)
    share = _share(rows * first.n_targets, dtype, device)
    minus_goal = targets([-m.B for _, m in problems])
    return Design(
        A=_filled_up(tensor([m.A for _, m in problems]), idle),
        minus_goal=_filled_up(minus_goal, idle),
        share=share,
        shares=_filled_up(share.expand_as(minus_goal), idle).contiguous(),
        held_rows=tensor([m.held_rows for _, m in problems]) if held else None,
        minus_held_goal=targets([-m.held_targets for _, m in problems]) if held else None,
        held_share=_share(held * first.n_targets, dtype, device) if held else None,
        l2_root=penalty([p.hyperparameters.l2**0.5 for p, _ in problems]),
        l1=penalty([p.hyperparameters.l1 for p, _ in problems]),
        criterion=_criterion(problems, lanes, share, idle),
        parts=parts,
    )


def differentiate(
    design: Design, params: Float[Tensor, "lanes columns outputs"]
) -> tuple[Float[Tensor, "lanes rows outputs"], Float[Tensor, "lanes columns outputs"]]:
    """Compute every lane's residuals, and by autograd the gradient of its smooth objective.

    The losses of all residuals, each with its share in its lane's mean, are differentiated at once:
    no lane's parameters occur in another's, so each lane receives its own gradient. The l1 term is
    not smooth; the optimizers take it as a proximal step.

    Args:
        design: the data.
        params: [W; b] of every lane.

    Returns:
        residuals, and the gradient.

    Notes:
        The losses are added up once for a block of epochs (see `values`), not here: a reduction per
        lane and epoch costs as much as the whole backward pass. No host sync.
        Residuals in one operation and r * r: mse_loss spends 6 of 48 microseconds on checks.
    """
    leaf = params.detach().requires_grad_()
    residuals = _residuals(design, leaf)
    terms, shares = [values(design, residuals)], [design.shares]
    if design.l2_root is not None:
        pulled = design.l2_root * leaf
        terms.append(pulled * pulled)
        shares.append(torch.ones_like(design.l2_root))
    (gradient,) = torch.autograd.grad(terms, leaf, shares)
    return residuals.detach(), gradient


def _residuals(design: Design, leaf: Tensor) -> Tensor:
    if design.parts == 1:
        return torch.baddbmm(design.minus_goal, design.A, leaf)
    goal, A = (one.view(design.parts, -1, one.shape[2]) for one in (design.minus_goal, design.A))
    return torch.baddbmm(goal, A, leaf.expand(design.parts, -1, -1)).view_as(design.minus_goal)


def added_product(minus_goal: Tensor, Z: Tensor, weights: Tensor) -> Tensor:
    """Compute minus_goal + Z weights of one batch, whose gradient is summed as `SUM_ROWS` says."""
    add = torch.addmv if weights.ndim == 1 else torch.addmm
    if Z.dtype is torch.float64 or len(Z) <= SUM_ROWS:
        return add(minus_goal, Z, weights)
    pieces = zip(torch.split(minus_goal, SUM_ROWS), torch.split(Z, SUM_ROWS), strict=True)
    return torch.cat([add(goal, rows, weights) for goal, rows in pieces])


def values(
    design: Design, residuals: Float[Tensor, "*epochs lanes rows outputs"]
) -> Float[Tensor, "*epochs lanes rows outputs"]:
    """Compute the loss of each residual, times its row's weight."""
    criterion = design.criterion
    return residuals * residuals if criterion is None else criterion.trained(residuals)


def smooth_gradient(
    design: Design, params: Float[Tensor, "lanes columns outputs"], width: float
) -> tuple[float, Float[Tensor, "lanes columns outputs"]]:
    """Compute the objective with the loss's kink rounded off (Criterion.smoothed), and by autograd
    its gradient: what L-BFGS descends under a loss that is not squared.

    The loss is divided by huber's delta, and so is the penalty.
    """
    criterion = design.criterion
    assert criterion is not None  # noqa: S101 - of another loss than squared
    leaf = params.detach().requires_grad_()
    residuals = _residuals(design, leaf)
    terms = criterion.smoothed(residuals, width) * design.shares
    objective = terms.sum(dtype=torch.float64)
    if design.l2_root is not None:
        slope = criterion.parameter if criterion.name == "huber" else None
        pulled = design.l2_root * leaf
        squares = pulled * pulled
        squares = squares if slope is None else squares / slope
        objective = objective + squares.sum(dtype=torch.float64)
    (gradient,) = torch.autograd.grad(objective, leaf)
    return float(objective.detach()), gradient


def held_values(
    design: Design, residuals: Float[Tensor, "*epochs lanes held outputs"]
) -> Float[Tensor, "*epochs lanes held outputs"]:
    """Compute the same of the held-out rows."""
    criterion = design.criterion
    return residuals * residuals if criterion is None else criterion.held(residuals)


def _unfolded(problem: Problem, scaling: Scaling) -> Matrices:
    intercept = problem.hyperparameters.fit_intercept
    parts = [problem.trained] if problem.held is None else [problem.trained, problem.held]
    found = []
    for part in parts:
        if not isinstance(part, Rows):
            raise InvalidInput("a factor of the rows knows squared losses only", param="loss")
        A, B, weights = part.unfolded(scaling, intercept=intercept)
        found.append((A, B if scaling.goal is None else B - scaling.goal, weights))
    A, B, weights = found[0]
    held_rows, held_targets, held_weights = found[-1] if len(found) > 1 else (A[:0], B[:0], None)
    return Matrices(A, B, held_rows, held_targets, weights, held_weights)


def _criterion(
    problems: list[tuple[Problem, Matrices]], lanes: list[int], like: Tensor, idle: int
) -> Criterion | None:
    found = Criterion.of([Loss.of(p.hyperparameters) for p, _ in problems], like)
    if found is None:
        return None

    def column(parts: list[tuple[Floats, Floats | None]]) -> Tensor | None:
        if all(weights is None for _, weights in parts):
            return None
        full = [np.ones(len(A)) if weights is None else weights for A, weights in parts]
        stacked = np.stack(full)[:, :, np.newaxis]
        return torch.from_numpy(stacked).to(device=like.device, dtype=like.dtype)

    weights = column([(m.A, m.weights) for _, m in problems])
    weights = None if weights is None else _filled_up(weights, idle)
    held = column([(m.held_rows, m.held_weights) for _, m in problems])
    return replace(found, weights=weights, held_weights=held).select(lanes)


def _filled_up(values: Tensor, idle: int) -> Tensor:
    return torch.nn.functional.pad(values, (0, 0, 0, idle)) if idle else values


def padded_targets(problem: Problem) -> int:
    """Columns that W has in memory: n_targets if 1, else a multiple of a line (64 bytes)."""
    if problem.n_targets == 1:
        return 1
    per_line = LINE_BYTES // np.dtype(problem.hyperparameters.dtype).itemsize
    return -(-problem.n_targets // per_line) * per_line


def take(values: Tensor, lanes: list[int]) -> Tensor:
    if lanes == list(range(values.shape[0])):
        return values
    if len(set(lanes)) == 1:
        return values[lanes[0]].expand(len(lanes), *values.shape[1:])
    return values[torch.tensor(lanes, device=values.device)]


def padded(Y: Floats, outputs: int) -> Floats:
    """Append columns of 0 up to the width that W has in memory."""
    return np.pad(Y, ((0, 0), (0, outputs - Y.shape[1]))) if outputs > Y.shape[1] else Y


def _penalty(problem: Problem, value: float, outputs: int) -> Floats:
    full = np.full((problem.n_features, outputs), value)
    if problem.hyperparameters.fit_intercept:
        full = np.concatenate([full, np.zeros((1, outputs))])
    return full


def _share(count: int, dtype: torch.dtype, device: str) -> Tensor:
    return torch.tensor(1 / count, dtype=torch.float64).to(device=device, dtype=dtype)
