"""The eigenvectors of the Hessian, what gradient descent has left along each, and until when.

With H = V diag(lambda) V' and theta_k the weights before step k of plain gradient descent,

    J(theta_k) - min J = unreachable + sum_i excess_i (1 - rate lambda_i)^(2 k).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workers.training.certificate import Certificate, excess
from workers.training.objective import Matrices
from workers.training.problem import Floats, Problem
from workers.training.spectrum import FULL_COLUMNS, FULL_COST, Spectrum, oriented, root_and_goal

__all__ = ["Modes", "course", "epochs_to", "few_rows", "modes_of"]

# What is left of the gap, as a part of it, that is rounding of the other modes.
ROUNDING = 1e-12
NEVER = 2**62
# Epochs of one block of `course`: two tables of so many rows give their product's epochs.
BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Modes:
    """A quadratic objective along its eigenvectors.

    Attributes:
        eigenvalues: above rounding, largest first, shape (n_modes,).
        excess: each mode's part in the initial gap, summed over targets, same shape.
        vectors: unit vectors in the coordinates of training, shape (n_modes, columns).
        unreachable: part of the initial gap along eigenvalues that count as 0.
        minimum: of the objective.
    """

    eigenvalues: Floats
    excess: Floats
    vectors: Floats
    unreachable: float
    minimum: Certificate

    @property
    def gap(self) -> float:
        """The objective's distance from its least value, before the first step."""
        return float(self.excess.sum()) + self.unreachable

    @property
    def spectrum(self) -> Spectrum:
        if not self.eigenvalues.size:
            return Spectrum(0.0, None, np.zeros(self.vectors.shape[1]), 0)
        values = self.eigenvalues
        return Spectrum(float(values[0]), float(values[-1]), self.vectors[0], len(values))


def modes_of(
    problem: Problem, matrices: Matrices, start: Floats, minimum: Certificate | None
) -> Modes | None:
    r"""Split the distance from the minimum by the eigenvectors of the Hessian.

    J(theta) = 1/2 ||R theta - g||^2 with R'R = H, R = U diag(s) V':  lambda_i = s_i^2 and
    excess_i = 1/2 ||s_i v_i' start - u_i' g||^2. An l1 term is left out of J.

    Args:
        problem: for l2, the intercept and the number of targets.
        matrices: the problem in the coordinates of training.
        start: [W; b] before the first step, shape (columns, n_targets).
        minimum: of the objective.

    Returns:
        The modes; None where the minimum is not known, the loss not squared, or the problem too
        large (see `spectrum`).

    Notes:
        A singular value below max(shape) * eps of the largest counts as 0, though the column that
        it is of may be independent of the others: what is left of the gap there no step shortens.
        Cost: O(rows * columns^2).
    """
    if problem.hyperparameters.loss != "squared":
        return None
    root, goal = root_and_goal(problem, matrices)
    rows, columns = root.shape
    too_large = columns > FULL_COLUMNS or rows * columns * min(rows, columns) > FULL_COST
    if minimum is None or too_large or problem.hyperparameters.loss != "squared":
        return None
    root, goal = few_rows(root, goal)
    left, singular, right = np.linalg.svd(root, full_matrices=False)
    above = singular > max(rows, columns) * np.finfo(np.float64).eps * singular[0]
    rotated = singular[:, np.newaxis] * (right @ start) - left.T @ goal
    parts = (np.square(rotated).sum(axis=1) / 2)[above]
    unreachable = 0.0
    if problem.hyperparameters.l1 == 0:
        gap = excess(problem, matrices, minimum, start)
        rest = gap - float(parts.sum())
        unreachable = rest if rest > ROUNDING * gap else 0.0
    return Modes(
        eigenvalues=np.square(singular[above]),
        excess=parts,
        vectors=np.array([oriented(vector) for vector in right[above]]).reshape(-1, columns),
        unreachable=unreachable,
        minimum=minimum,
    )


def epochs_to(modes: Modes, *, rate: float, fraction: float) -> int | None:
    """Find the first epoch at which the gap is at most `fraction` of that of epoch 0.

    Args:
        modes: of the problem at its initial weights.
        rate: of plain gradient descent, constant.
        fraction: above 0, below 1.

    Returns:
        The number of steps taken before that epoch; None where there is no such epoch.

    Notes:
        The gap is a sum of exponentials in k, hence convex: it falls to one lowest point, or for
        ever. Cost: O(n_modes log(epochs)).
    """
    log_decay = _log_decay(modes, rate)
    wanted = fraction * modes.gap

    def remaining(k: int) -> float:
        if k == 0:
            return modes.gap
        with np.errstate(over="ignore"):
            return float(modes.excess @ np.exp(2 * k * log_decay)) + modes.unreachable

    def falls(k: int) -> bool:
        with np.errstate(over="ignore", invalid="ignore"):
            part = modes.excess * np.exp(2 * k * log_decay) * log_decay
        return bool(np.nansum(part) < 0)

    if modes.gap == 0:
        return 0
    high = 1
    while remaining(high) > wanted and falls(high) and high < NEVER:
        high *= 2
    if remaining(high) > wanted:  # somewhere before, it was at its lowest
        high = _first(lambda k: not falls(k), high // 2, high)
        if remaining(high) > wanted:
            high -= 1
    if remaining(high) > wanted:
        return None
    return _first(lambda k: remaining(k) <= wanted, 0, high)


def course(modes: Modes, *, rate: float, epochs: int) -> Floats:
    """Compute the objective before each of the first epochs of plain gradient descent.

    Args:
        modes: of the problem at its initial weights.
        rate: the learning rate.
        epochs: how many, from epoch 0 on.

    Returns:
        The objective, shape (epochs,).

    Notes:
        r^(2 k) with k = 1024 a + b is a product of two short tables: a matrix product gives all
        epochs at one multiplication for each mode.
    """
    doubled = 2 * _log_decay(modes, rate)
    with np.errstate(over="ignore", invalid="ignore"):
        fine = np.exp(np.arange(BLOCK)[:, np.newaxis] * doubled)
        coarse = np.exp(BLOCK * np.arange(-(-epochs // BLOCK))[:, np.newaxis] * doubled)
        fine[0], coarse[0] = 1.0, 1.0  # 0 times an infinite logarithm: a mode gone in one step
        values: Floats = ((coarse * modes.excess) @ fine.T).reshape(-1)[:epochs]
    return values + (modes.unreachable + modes.minimum.objective)


def few_rows(root: Floats, goal: Floats) -> tuple[Floats, Floats]:
    """Rotate many rows onto a few: no norm changes."""
    rows, columns = root.shape
    if rows <= columns + goal.shape[1]:
        return root, goal
    both = np.concatenate([root, goal], axis=1)
    triangle: Floats = np.linalg.qr(both, mode="r")  # type: ignore[assignment]  # mode r: one array
    return triangle[:, :columns], triangle[:, columns:]


def _log_decay(modes: Modes, rate: float) -> Floats:
    """Compute log |1 - rate lambda|, exact also where rate lambda is small."""
    moved = rate * modes.eigenvalues
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.log1p(-np.minimum(moved, 0.5))
        return np.where(moved < 0.5, near, np.log(np.abs(1 - moved)))


def _first(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Find the least k in [low, high] from which on `holds`; it does at high."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return high
