"""`optimizer: exact`: the minimum itself, refined to the last digits that the data hold."""

from collections.abc import Callable, Iterable

import numpy as np

from descend.errors import InvalidInput
from descend.history import History
from descend.jobs import Hyperparameters, Metrics, StopReason
from workers.training.certificate import Certificate
from workers.training.compressed import factor_of
from workers.training.conditioning import repeated_columns
from workers.training.outcome import TrainingOutcome, allowed, solved
from workers.training.piecewise_solution import solve_piecewise
from workers.training.problem import Floats, Problem
from workers.training.refinement import refine
from workers.training.setup import Setup, prepare
from workers.training.sparse import LASSO_COST
from workers.training.tiles import Block
from workers.training.units import added_loss, told_of_offsets, unrepresentable

__all__ = ["Solution", "solve_exactly"]

Solution = tuple[History, TrainingOutcome]
Weights = tuple[Floats, Floats]  # coef and intercept in the units of X

# Refined weights may raise the objective by so much of it: as rounding does.
WORSE = 1e-6


def solve_exactly(
    problem: Problem,
    blocks: Callable[[], Iterable[Block]] | None = None,
    *,
    budget: float = LASSO_COST,
) -> Solution:
    """Compute the minimiser of the objective with its penalties.

    Under huber, absolute and quantile loss see `solve_piecewise`. Under squared loss:
    column-scaled QR with pivoting of the R factor, of minimum norm where columns are dependent;
    with l1, coordinate descent on it to a duality gap of 1e-12. Where rounding leaves a larger
    one, the lowest point found is returned with a warning and is not `converged`. Without l1 the
    solution is refined in original units with residuals in twice the working precision.

    Args:
        problem: its optimizer is "exact".
        blocks: gives the rows trained on afresh for each pass; None leaves out the refinement.
        budget: multiplications that the search may take under l1.

    Returns:
        A history of one row, the minimum; and the outcome, stop reason `solved`.

    Raises:
        InvalidInput: when the problem is too large to be solved, takes more work than is allowed
            (squared loss with l1), or its numbers leave float64.
    """
    if problem.hyperparameters.loss != "squared":
        solved = solve_piecewise(problem)
        return _history(solved.metrics), solved
    setup, _ = prepare(problem, budget=budget)
    minimum = _lowest(setup, budget)
    coef, intercept = setup.original(minimum.params)
    warnings = [] if minimum.proved else [_unproved(minimum)]
    if minimum.rank < len(minimum.params):
        warnings.append(_dependent(problem, minimum))
    elif blocks is not None and problem.hyperparameters.l1 == 0:
        coef, intercept = _refined(setup, coef, intercept, blocks)
    metrics = _metrics(setup, minimum, coef, intercept)
    error = unrepresentable(setup, minimum.params, coef, intercept)
    if error is None:
        warnings += told_of_offsets(setup, metrics.gap or 0.0, metrics.train_loss or 0.0)
    outcome = TrainingOutcome(
        stop_reason=StopReason.SOLVED if error is None else StopReason.ERROR,
        coef=coef,
        intercept=intercept,
        metrics=metrics,
        error=error,
        resolved=setup.hyperparameters,
        engine="exact",
        warnings=(*warnings, *repeated_columns(problem, minimum)),
    )
    return _history(metrics), outcome


def _lowest(setup: Setup, budget: float) -> Certificate:
    found = setup.lowest
    if found is None:
        raise InvalidInput(
            "the minimum cannot be computed: there are too many columns; train with optimizer"
            f" {_trained_by(setup)}",
            param="hyperparameters.optimizer",
        )
    if found.exhausted and not found.proved:
        raise InvalidInput(
            f"the search for the minimum with l1 was given up after {budget:g} multiplications,"
            f" at a duality gap of {found.duality_gap:.2g} of the objective of zero weights; raise"
            f" l1, {_ridge(setup.hyperparameters)}, leave out columns that repeat others, or train"
            " with optimizer sgd or adam",
            param="hyperparameters.optimizer",
        )
    return found


def _trained_by(setup: Setup) -> str:
    """Lbfgs takes no l1."""
    return "sgd or adam" if setup.hyperparameters.l1 > 0 else "sgd or lbfgs"


def _unproved(found: Certificate) -> str:
    return (
        "these weights are the lowest point found, but not proved to be the minimum: the duality"
        f" gap is {found.duality_gap:.2g} of the objective of zero weights, so that of the"
        f" {found.objective:.3g} here up to {found.error:.2g} may be too much; raise l1, add l2, or"
        " leave out columns that repeat others"
    )


def _refined(
    setup: Setup, coef: Floats, intercept: Floats, blocks: Callable[[], Iterable[Block]]
) -> tuple[Floats, Floats]:
    h, factor = setup.hyperparameters, factor_of(setup.problem.trained)
    params = np.concatenate([coef.T, intercept[np.newaxis]]) if h.fit_intercept else coef.T
    penalty = None
    if h.l2 > 0:
        with np.errstate(over="ignore"):
            weight = factor.root_weight**2 * setup.problem.n_targets * h.l2
            penalty = weight * setup.scaling.scale**2
        if not ((penalty > np.finfo(np.float64).tiny) & (penalty < np.inf)).all():
            return coef, intercept  # in the units of X this penalty is no number
    found = refine(blocks, params, factor, intercept=h.fit_intercept, penalty=penalty).params
    d = setup.problem.n_features
    better = np.ascontiguousarray(found[:d].T), found[d] if h.fit_intercept else intercept
    return better if _holds(setup, (coef, intercept), better) else (coef, intercept)


@np.errstate(over="ignore", invalid="ignore")
def _holds(setup: Setup, before: Weights, after: Weights) -> bool:
    """Whether the refined weights are no worse: of rows whose weights differ by 1e100 they may be.

    Twice the precision is not enough there, and its corrections are noise.
    """
    l2 = setup.hyperparameters.l2

    def objective(weights: Weights) -> float:
        penalty = l2 * np.square(weights[0] * setup.scaling.scale).sum() if l2 else 0.0
        return setup.problem.trained.loss(*weights) + float(penalty)

    noise = 0.0 if setup.lowest is None else setup.lowest.noise
    return objective(after) <= (1 + WORSE) * objective(before) + noise


def _dependent(problem: Problem, minimum: Certificate) -> str:
    h, n = problem.hyperparameters, problem.trained.n_observations
    n_columns = len(minimum.params)
    if n < n_columns:
        told = (
            f"{n} rows with a weight leave at most {n} of {n_columns} weights determined: many fit"
            f" equally well; bring more rows, leave out features or {_ridge(h)}"
        )
    else:
        told = (
            f"the columns are dependent: {minimum.rank} of {n_columns} are independent, many"
            " weights fit equally well"
        )
    if h.l1 > 0:
        return f"{told}; l1 chooses among them, and its choice may not be the only one"
    where = " of the standardised weights" if h.standardize else ""
    return f"{told}; these are the ones of least norm{where}"


def _ridge(h: Hyperparameters) -> str:
    return "raise l2" if h.l2 > 0 else "add l2"


def _metrics(setup: Setup, minimum: Certificate, coef: Floats, intercept: Floats) -> Metrics:
    problem, h = setup.problem, setup.hyperparameters
    with np.errstate(over="ignore", invalid="ignore"):
        loss = problem.trained.loss(coef, intercept)
        eval_loss = None if problem.held is None else problem.held.loss(coef, intercept)
    gap = added_loss(setup, minimum.params, loss)
    return solved(
        setup,
        minimum,
        losses=(loss, eval_loss),
        gap=gap,
        converged=gap <= allowed(setup, minimum, first_gap=np.inf),
        r2=1 - loss / setup.baseline if setup.baseline > 0 else None,
        duality_gap=minimum.duality_gap if h.l1 > 0 else None,
    )


def _history(metrics: Metrics) -> History:
    def one(value: float | None) -> Floats:
        return np.array([np.nan if value is None else value])

    return History(
        epoch=np.zeros(1, dtype=np.int64),
        train_loss=one(metrics.train_loss),
        eval_loss=one(metrics.eval_loss),
        learning_rate=one(None),
        grad_norm=one(None),
        gap=one(metrics.gap),
        total=1,
    )
