"""Rates: where a method is stable, and what learning_rate "auto" becomes."""

import numpy as np

from descend.jobs import Hyperparameters
from descend.limits import MAX_LEARNING_RATE
from workers.training.batch_rate import Noise, batch_rate, n_steps
from workers.training.losses import Loss
from workers.training.objective import Matrices
from workers.training.problem import Floats, Problem
from workers.training.spectrum import Spectrum, spectrum

__all__ = ["adam_rate", "auto_rate", "best_rate", "sgd_rate", "stability_bound"]

# The best rate of an ill-conditioned problem lies within 1/condition of the bound, where rounding
# decides. A twentieth below it the steepest direction shrinks by 0.9 an epoch, and the slow ones
# lose 5 % of their speed.
BELOW_THE_BOUND = 0.95
# Of a rate that falls, in rates of subgradient methods.
AT_FIRST = 8.0
# A rate above it is infinite in float32, and an infinite rate times a gradient of 0 is no number.
LARGEST_SINGLE = 1e38


def stability_bound(hyperparameters: Hyperparameters, spectrum: Spectrum) -> float | None:
    """Compute the rate at and above which training diverges on a quadratic.

        sgd                2 / lambda_max
        with momentum mu   2 (1 + mu) / lambda_max
        with nesterov      2 (1 + mu) / ((1 + 2 mu) lambda_max)

    Returns:
        The bound; infinity where the Hessian is 0; None for adam and adamw, whose step is
        normalised by the gradient's own size: the Hessian sets no rate at which they diverge.
        (adamw's decay does by itself, from 2 / weight_decay on.) None, too, for absolute and
        quantile loss, whose gradient is bounded. For huber the bound of the objective's quadratic
        part: twice that of squared loss.

    References:
        The roots of z^2 - (1 + mu - a) z + mu and z^2 - (1 + mu)(1 - a) z + mu (1 - a), with
        a = rate * lambda, lie in the unit circle below these bounds. B. Polyak, Some methods of
        speeding up the convergence of iteration methods (1964); W. Su et al., JMLR 17 (2016).
    """
    if hyperparameters.optimizer != "sgd" or Loss.of(hyperparameters).curvature is None:
        return None
    if spectrum.largest == 0:
        return float("inf")
    mu = hyperparameters.momentum or 0.0
    bound = 2 * (1 + mu) / spectrum.largest
    return bound / (1 + 2 * mu) if hyperparameters.nesterov else bound


def best_rate(hyperparameters: Hyperparameters, spectrum: Spectrum) -> float | None:
    """Compute the rate at which the slowest direction converges fastest.

        sgd, momentum mu   2 (1 + mu) / (lambda_min + lambda_max)
        nesterov           4 / (lambda_min + 3 lambda_max)

    lambda_min is the smallest eigenvalue that is not 0: along a direction of eigenvalue 0 the loss
    does not change and the weights do not move.

    Returns:
        The rate; None for adam and adamw, where only the largest eigenvalue is known, and where
        the Hessian is 0 or overflows.
    """
    smooth = Loss.of(hyperparameters).curvature is not None
    if hyperparameters.optimizer != "sgd" or not smooth or spectrum.smallest is None:
        return None
    mu = hyperparameters.momentum or 0.0
    if hyperparameters.nesterov:
        return 4 / (spectrum.smallest + 3 * spectrum.largest)
    return 2 * (1 + mu) / (spectrum.smallest + spectrum.largest)


def auto_rate(
    problem: Problem, matrices: Matrices, start: Floats, *, rows: Matrices | None = None
) -> float:
    """Choose the rate that "auto" stands for.

    sgd: the best rate, but no more than 0.95 of the stability bound; 0.95 of the bound where only
    the largest eigenvalue is known; 1 where the Hessian is 0 and any rate does.

    adam, adamw: they move each coordinate by about `rate` a step, so the distance to go over a
    tenth of the steps, yet over no fewer than 10 and no more than 1000 steps. The distance is
    estimated as the root mean square of the first residual over that of a typical (median) column.
    adamw's rate leaves at least nine tenths of a weight after one decay.

    sgd under absolute and quantile loss, which have no curvature: the rate by which the first
    residuals, were all of them in the steepest direction, could be undone in as many steps (see
    _bounded_rate).

    Args:
        problem: for its hyperparameters.
        matrices: the problem in the coordinates of training.
        start: [W; b] before the first step, shape (columns, n_targets).
        rows: that batches are made of, where `matrices` are their factor.
    """
    if problem.hyperparameters.optimizer != "sgd":
        return adam_rate(problem, matrices, start)
    return _within(problem.hyperparameters, _descent_rate(problem, matrices, start, rows))


def _descent_rate(
    problem: Problem, matrices: Matrices, start: Floats, rows: Matrices | None
) -> float:
    h, found = problem.hyperparameters, spectrum(problem, matrices)
    noise = None if h.batch_size is None else Noise.of(problem, rows or matrices, found.largest)
    smooth = sgd_rate(h, found) if noise is None else batch_rate(problem, found, noise)
    if Loss.of(h).curvature is not None:
        return smooth
    steepest = found.largest if noise is None else noise.curvature
    return _bounded_rate(problem, matrices, start, largest=steepest)


def sgd_rate(hyperparameters: Hyperparameters, found: Spectrum) -> float:
    """Choose sgd's rate from a spectrum, as `auto_rate` says."""
    bound = stability_bound(hyperparameters, found)
    if bound is None or np.isinf(bound):
        return 1.0
    best = best_rate(hyperparameters, found) or bound
    if hyperparameters.loss == "huber" and hyperparameters.momentum:
        # Above these a momentum may circle for ever where the curvature is not the same everywhere:
        # seen with momentum 0.9, at 13 times the minimum. Ghadimi et al., Global convergence of the
        # heavy-ball method for convex optimization (2015), theorem 1; Nesterov (1983).
        safe = 1.0 if hyperparameters.nesterov else 2 * (1 - hyperparameters.momentum)
        best = min(best, safe / found.largest)
    # A Hessian that overflows leaves no rate: the run will say that it diverged, and why.
    return max(min(best, BELOW_THE_BOUND * bound), float(np.finfo(np.float64).tiny))


def _bounded_rate(problem: Problem, matrices: Matrices, start: Floats, *, largest: float) -> float:
    """Choose sgd's rate under a loss of bounded slope.

        rate = (1 - momentum) s / (slope lambda_max sqrt(steps))

    s is the mean size of the first residuals. A step along the steepest direction changes
    predictions by at most rate * slope * lambda_max, so s takes sqrt(steps) of them: the rate
    distance / (slope sqrt(steps)) of subgradient methods. At a fixed rate something of the size of
    a step is always left; a tenth of max_epochs instead of its root left more, for the directions
    in which the columns vary little were not reached. A rate that falls may begin 8 times as high:
    with 1 up to 0.6 of the minimum was left where few rows decide, with 4 to 16 below 1e-3.

    References:
        Y. Nesterov, Introductory Lectures on Convex Optimization (2004), section 3.2.3.
    """
    h = problem.hyperparameters
    slope, steps = Loss.of(h).slope or 1.0, n_steps(h, problem.n_train)
    with np.errstate(all="ignore"):
        residual = np.abs(matrices.B - matrices.A @ start).mean(axis=1)
        size = np.average(residual, weights=matrices.weights)
        rate = float((1 - (h.momentum or 0.0)) * size / (slope * largest * steps**0.5))
    if h.schedule is not None and h.schedule.type != "constant":
        rate *= AT_FIRST
    rate = rate if 0 < rate < np.inf else 0.001
    return min(rate, BELOW_THE_BOUND / h.l2) if h.l2 else rate


def _steps(n: int) -> float:
    """A tenth of all steps, 10 to 1000: in so many the distance could be gone."""
    return min(max(n / 10, 10.0), 1000.0)


def adam_rate(problem: Problem, matrices: Matrices, start: Floats) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        columns = _root_mean_square(matrices.A)
        typical = float(np.median(columns[columns > 0])) if columns.any() else 1.0
        residual = matrices.B - matrices.A @ start
        distance = float(_root_mean_square(residual.reshape(-1, 1))[0]) / typical
    rate = distance / _steps(n_steps(problem.hyperparameters, problem.n_train))
    rate = rate if 0 < rate < np.inf else 0.001
    decay = problem.hyperparameters.weight_decay or 0.0
    return _within(problem.hyperparameters, min(rate, 0.1 / decay) if decay else rate)


def _within(h: Hyperparameters, rate: float) -> float:
    """Keep a rate to what its field and its dtype hold: of columns of 1e-160 it would be more."""
    largest = MAX_LEARNING_RATE if h.dtype == "float64" else LARGEST_SINGLE
    smallest = float(np.finfo(np.float64).tiny)
    return min(max(rate, smallest), largest)


def _root_mean_square(values: Floats) -> Floats:
    """By column; divided by its largest value first, lest the squares leave the range."""
    size = np.abs(values).max(axis=0)
    size = np.where(size > 0, size, 1)
    return np.asarray(size * np.sqrt(np.square(values / size).mean(axis=0)))
