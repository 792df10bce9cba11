"""The Hessian's spectrum and the dynamics of gradient descent in closed form (numpy).

For full-batch gradient descent on the quadratic (data term and l2), with H the Hessian in the
coordinates of training and H = V diag(lambda) V',

    theta_k - theta* = V (1 - rate lambda)^k V' (theta_0 - theta*).

The engine reads from it the stability bound, the rate of "auto" and the cause of a divergence.
It never replaces training.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from workers.training.losses import Loss
from workers.training.objective import Matrices
from workers.training.problem import Floats, Problem

__all__ = ["Dynamics", "Spectrum", "dynamics", "oriented", "root_and_goal", "spectrum"]

# Above this many multiplications (rows * columns * the smaller of both) only the largest
# eigenvalue is computed: about a second of one core.
FULL_COST = 2e9
FULL_COLUMNS = 2000


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of the Hessian of one target's smooth objective.

    Attributes:
        largest: lambda_max, >= 0.
        smallest: the smallest eigenvalue that is not rounding noise; None where only the largest
            was computed, or all are 0.
        direction: unit eigenvector of the largest, shape (columns,), its largest component > 0.
        rank: eigenvalues above the noise; None where unknown.
    """

    largest: float
    smallest: float | None
    direction: Floats
    rank: int | None


@dataclass(frozen=True, eq=False)
class Dynamics:
    """Gradient descent's exact course: one row per epoch asked for.

    Attributes:
        train_loss: data term before step k, shape (n_epochs,).
        params: [W; b] before step k, shape (n_epochs, columns, n_targets).
    """

    train_loss: Floats
    params: Floats


def spectrum(problem: Problem, matrices: Matrices) -> Spectrum:
    r"""Compute the spectrum of H = 2 / (n n_targets) A'A + 2 l2 diag(1, .., 1, 0).

    Args:
        problem: for l2, the intercept and the number of targets.
        matrices: the problem in the coordinates of training.

    Returns:
        All eigenvalues by a singular value decomposition of A (the Gram matrix would square the
        condition number), or where that is dear (more than 2e9 multiplications or 2000 columns)
        the largest alone, by Lanczos iteration from a fixed start.

    Notes:
        Huber loss curves at most half as much as squared loss: its factor is 1 where that has 2,
        and H bounds its Hessian. The others have no Hessian; for their rates the factor is 1.
        A singular value of sqrt(H) below max(shape) * eps of the largest counts as 0.
        Cost: O(rows * columns * min(rows, columns)), else some tens of passes over A.
    """
    root = _root(problem, matrices)
    if not np.isfinite(root).all():
        return Spectrum(np.inf, None, np.zeros(root.shape[1]), None)
    rows, columns = root.shape
    if columns > FULL_COLUMNS or rows * columns * min(rows, columns) > FULL_COST:
        return _largest(root)
    _, singular, directions = np.linalg.svd(root, full_matrices=False)
    with np.errstate(over="ignore"):
        values = np.square(singular)
    noise = max(rows, columns) * np.finfo(np.float64).eps * singular[0]
    above = values[singular > noise]
    return Spectrum(
        largest=float(values[0]),
        smallest=float(above[-1]) if above.size else None,
        direction=oriented(directions[0]),
        rank=int(above.size),
    )


def dynamics(
    problem: Problem, matrices: Matrices, *, start: Floats, rate: float, epochs: Floats
) -> Dynamics:
    """Compute the course of plain gradient descent without taking a step.

    Args:
        problem: for l2, the intercept and the number of targets.
        matrices: the problem in the coordinates of training.
        start: [W; b] before the first step, in the coordinates of training, shape
            (columns, n_targets).
        rate: the learning rate.
        epochs: numbers of steps taken before each row of the result, shape (n_epochs,).

    Returns:
        The exact data term and parameters at these epochs.

    Notes:
        The residual is split into its part in the range of A, which decays mode by mode, and the
        part that no weights can remove, so that a loss near its floor keeps its digits.
        Cost: one singular value decomposition and O(n_epochs * columns * (rows + columns)).
    """
    root, goal = root_and_goal(problem, matrices)
    rows = len(matrices.A)
    left, singular, right = np.linalg.svd(root, full_matrices=False)
    excess = singular[:, np.newaxis] * (right @ start) - left.T @ goal
    floor = left @ (left.T @ goal) - goal
    with np.errstate(over="ignore", under="ignore"):
        decay = np.power(1 - rate * np.square(singular), epochs[:, np.newaxis])
    remaining = decay[:, :, np.newaxis] * excess
    residual = np.einsum("rm,emt->ert", left[:rows], remaining) + floor[:rows]
    moved = np.divide(
        remaining - excess,
        singular[:, np.newaxis],
        out=np.zeros_like(remaining),
        where=(singular > 0)[:, np.newaxis],
    )
    return Dynamics(
        train_loss=np.square(residual).sum(axis=(1, 2)) / 2,
        params=start + np.einsum("mc,emt->ect", right, moved),
    )


def root_and_goal(problem: Problem, matrices: Matrices) -> tuple[Floats, Floats]:
    """R and g with J(theta) = 1/2 ||R theta - g||^2 and H = R'R: the data's rows, then l2's."""
    root, rows = _root(problem, matrices), len(matrices.A)
    goal = np.zeros((len(root), matrices.B.shape[1]))
    with np.errstate(over="ignore"):
        goal[:rows] = matrices.B * np.sqrt(2 / (rows * problem.n_targets))
    return root, goal


def _root(problem: Problem, matrices: Matrices) -> Floats:
    """R with H = R'R."""
    rows, columns = matrices.A.shape
    with np.errstate(over="ignore"):
        root: Floats = matrices.A * np.sqrt(_curvature(problem) / (rows * problem.n_targets))
        if matrices.weights is not None:
            root *= np.sqrt(matrices.weights)[:, np.newaxis]
    if problem.hyperparameters.l2 == 0:
        return root
    penalty = np.eye(problem.n_features, columns) * np.sqrt(2 * problem.hyperparameters.l2)
    return np.concatenate([root, penalty])


def _curvature(problem: Problem) -> float:
    curvature = Loss.of(problem.hyperparameters).curvature
    return 1.0 if curvature is None else curvature


def _largest(root: Floats) -> Spectrum:
    columns = root.shape[1]
    size = np.abs(root).max()
    if size == 0:
        return Spectrum(0.0, None, np.zeros(columns), 0)
    scaled = root / size

    def hessian(v: Floats) -> Floats:
        return np.asarray(scaled.T @ (scaled @ v))

    operator = LinearOperator((columns, columns), matvec=hessian, dtype=np.float64)
    start = np.linspace(1, 2, columns)
    values, vectors = eigsh(operator, k=1, which="LA", v0=start, tol=1e-9)
    return Spectrum(float(values[0] * size**2), None, oriented(vectors[:, 0]), None)


def oriented(vector: Floats) -> Floats:
    """Choose the sign that makes the largest component positive."""
    top = vector[np.argmax(np.abs(vector))]
    return vector if top >= 0 else -vector
