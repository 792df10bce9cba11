"""The gradient at the initial weights by autograd, by hand and by finite differences."""

import numpy as np
import torch
from torch import Tensor

from descend.errors import InvalidInput
from descend.gradients import Difference, Gradients, Minimum, SampleRow
from descend.hyperparameters import Hyperparameters
from workers.training.modes import Modes, few_rows, modes_of
from workers.training.objective import Matrices, arrange, differentiate
from workers.training.plan import TOO_LARGE, parameters_of, told_modes
from workers.training.problem import Floats, Problem
from workers.training.samples import Rows
from workers.training.setup import Setup, prepare
from workers.training.twofold import dot

__all__ = ["gradients"]

# The Jacobian is the design: it is told up to so many numbers.
JACOBIAN_CELLS = 10_000
# Rows shown as training sees them.
SHOWN_ROWS = 5
# Central differences err by h^2 of the third derivative, which a quadratic has not, and by
# rounding over h: the step may be large.
STEP = 2.0**-6
# Multiplications of the finite differences beyond which the rows are rotated first: 0.1 s.
MANY_CELLS = 2**26


def gradients(problem: Problem) -> Gradients:
    r"""Compute the gradient of the smooth objective at the initial weights, three ways.

    Autograd: the engine's own pass, in the problem's dtype. By hand, in float64:

        dJ/dW = 2 / (n n_targets) A' (A theta - B) + 2 l2 diag(1, .., 1, 0) theta

    Finite differences, central, in float64: (J(theta + h e) - J(theta - h e)) / (2 h), with
    h = 2^-6 max(1, |theta_e|). Many rows are first rotated onto a few, which changes no loss.

    Args:
        problem: squared loss, its data in rows; `init` are the weights.

    Returns:
        All three in the coordinates of training, the Jacobian of the predictions where it has at
        most 10,000 numbers, the modes and the minimum where the problem is small enough.

    Raises:
        InvalidInput: for another loss, or numbers too large to write.
    """
    h = problem.hyperparameters
    _refuse_other_losses(h)
    setup, arranged = prepare(problem)
    theta = setup.start
    by_autograd = _by_autograd(setup, arranged)
    by_hand = _by_hand(problem, arranged, theta)
    differences = _by_differences(problem, arranged, theta)
    objective, loss = _objective(problem, arranged, theta)
    told = (theta, by_autograd, by_hand, differences, np.array([objective]))
    if not all(np.isfinite(values).all() for values in told):
        raise InvalidInput("the gradient is beyond the range of its dtype: scale the columns")
    modes = modes_of(problem, arranged, theta, setup.certificate)
    jacobian = _jacobian(setup)
    return Gradients(
        coordinates="standardized" if h.standardize else "original",
        parameters=parameters_of(problem),
        targets=list(problem.targets),
        center=setup.scaling.mean.tolist(),
        scale=setup.scaling.scale.tolist(),
        n_samples=problem.n_train,
        samples=_samples(setup),
        dtype=h.dtype,
        weights=theta.T.tolist(),
        loss=loss,
        objective=objective,
        autograd=by_autograd.T.tolist(),
        by_hand=by_hand.T.tolist(),
        finite_differences=differences.T.tolist(),
        by_hand_difference=_difference(by_hand, by_autograd),
        finite_differences_difference=_difference(differences, by_autograd),
        jacobian=None if jacobian is None else jacobian.tolist(),
        eigenvalues=[] if modes is None else modes.eigenvalues.tolist(),
        minimum=_minimum(setup),
        modes=[] if modes is None else told_modes(modes),
        unreachable=0.0 if modes is None else modes.unreachable,
        refused=_refused(modes, jacobian),
    )


def _refuse_other_losses(h: Hyperparameters) -> None:
    if h.loss != "squared":
        raise InvalidInput(
            f"gradients are told of squared loss, not of {h.loss}", param="hyperparameters.loss"
        )


def _by_autograd(setup: Setup, arranged: Matrices) -> Floats:
    problem = setup.problem
    design = arrange([(problem, arranged)], [0], device="cpu")
    theta = torch.from_numpy(setup.start).to(design.A.dtype)
    padded = torch.zeros(1, theta.shape[0], design.minus_goal.shape[2], dtype=theta.dtype)
    padded[0, :, : problem.n_targets] = theta
    _, gradient = differentiate(design, padded.requires_grad_())
    return np.asarray(gradient[0, :, : problem.n_targets].double().numpy())


def _by_hand(problem: Problem, arranged: Matrices, theta: Floats) -> Floats:
    A, B = arranged.A, arranged.B
    with np.errstate(over="ignore", invalid="ignore"):
        gradient = 2 / (len(A) * problem.n_targets) * (A.T @ (A @ theta - B))
        weights = slice(0, problem.n_features)
        gradient[weights] += 2 * problem.hyperparameters.l2 * theta[weights]
    return np.asarray(gradient)


def _by_differences(problem: Problem, arranged: Matrices, theta: Floats) -> Floats:
    """One parameter at a time.

    J(theta + h e) - J(theta - h e) is taken as the sum of (difference * sum) of the two residuals,
    so that a loss that is large against its change costs no digits.
    """
    n = len(arranged.A)
    A, B = arranged.A, arranged.B
    if A.size * theta.size > MANY_CELLS:
        A, B = few_rows(A, B)
    gradient = np.zeros_like(theta)
    with np.errstate(over="ignore", invalid="ignore"):
        for place in np.ndindex(*theta.shape):
            row, target = place
            step = STEP * max(1.0, abs(float(theta[place])))
            moved = theta[:, target].copy()
            moved[row] += step
            above = A @ moved - B[:, target]
            moved[row] -= 2 * step
            below = A @ moved - B[:, target]
            data = dot(above - below, above + below) / (n * problem.n_targets)
            gradient[place] = data / (2 * step)
            if row < problem.n_features:
                high, low = theta[place] + step, theta[place] - step
                gradient[place] += problem.hyperparameters.l2 * (high**2 - low**2) / (2 * step)
    return gradient


def _objective(problem: Problem, arranged: Matrices, theta: Floats) -> tuple[float, float]:
    h, weights = problem.hyperparameters, theta[: problem.n_features]
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.square(arranged.A @ theta - arranged.B)
        loss = float(squares.mean())
        penalties = h.l2 * np.square(weights).sum() + h.l1 * np.abs(weights).sum()
    return loss + float(penalties), loss


def _jacobian(setup: Setup) -> Floats | None:
    """Differentiate the predictions of one target by its weights; it is the unweighted design."""
    sample = setup.problem.trained
    columns = len(setup.start)
    if not isinstance(sample, Rows) or sample.n * columns > JACOBIAN_CELLS:
        return None
    X = torch.from_numpy(setup.scaling.apply(sample.X))

    def predict(theta: Tensor) -> Tensor:
        told = X @ theta[: X.shape[1]]
        return told + theta[-1] if columns > X.shape[1] else told

    first = torch.from_numpy(np.ascontiguousarray(setup.start[:, 0]))
    found = torch.autograd.functional.jacobian(predict, first)  # type: ignore[no-untyped-call]
    assert isinstance(found, Tensor)  # noqa: S101 - one input, one output
    return np.asarray(found.numpy())


def _samples(setup: Setup) -> list[SampleRow]:
    sample, start = setup.problem.trained, setup.start
    if not isinstance(sample, Rows) or SHOWN_ROWS * len(start) > JACOBIAN_CELLS:
        return []
    X = setup.scaling.apply(sample.X[:SHOWN_ROWS])
    fitted = len(start) > sample.n_features
    predicted = X @ start[: sample.n_features] + (start[-1] if fitted else 0.0)
    rows = zip(X.tolist(), sample.Y[:SHOWN_ROWS].tolist(), predicted.tolist(), strict=True)
    return [SampleRow(x=x, actual=actual, predicted=told) for x, actual, told in rows]


def _minimum(setup: Setup) -> Minimum | None:
    found = setup.certificate
    if found is None:
        return None
    coef, intercept = setup.original(found.params)
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        return None
    return Minimum(
        loss=found.loss,
        objective=found.objective,
        coef=coef.tolist(),
        intercept=intercept.tolist(),
    )


def _difference(found: Floats, by_autograd: Floats) -> Difference:
    absolute = float(np.abs(found - by_autograd).max())
    size = float(np.abs(by_autograd).max())
    return Difference(absolute=absolute, relative=absolute / size if size else 0.0)


def _refused(modes: Modes | None, jacobian: Floats | None) -> str | None:
    reasons = [] if modes is not None else [TOO_LARGE]
    if jacobian is None:
        reasons.append(f"the Jacobian is told up to {JACOBIAN_CELLS} numbers")
    return "; ".join(reasons) or None
