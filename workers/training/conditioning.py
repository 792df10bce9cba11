"""What makes training slow and weights uncertain: columns that repeat each other, uneven scales."""

import math

import numpy as np
from scipy.linalg import solve_triangular
from scipy.sparse.csgraph import connected_components

from workers.training.certificate import Certificate
from workers.training.objective import Matrices, matrices
from workers.training.problem import Floats, Problem
from workers.training.remedies import exactly, listed
from workers.training.rounding import rank_tolerance
from workers.training.setup import Setup
from workers.training.spectrum import spectrum

__all__ = ["repeated_columns", "unevenness"]

INFLATED = 100.0
# Of columns whose variance is so inflated, those belong together that go together, whatever the
# others do: a partial correlation. Singular vectors would mix two pairs that are equally close.
TOGETHER = 0.9
NULL_SHARE = 1e-12  # below it a column's part in what is dependent is rounding
NAMED_AT_MOST = 5
# Multiplications below which a design is decomposed for the sake of a warning: 0.1 s of a core.
CHEAP = 1e8
# How much flatter scaled columns have to be before the scales are called the reason.
HELPS = 100.0


def repeated_columns(problem: Problem, minimum: Certificate | None) -> tuple[str, ...]:
    """Name columns that nearly determine each other, with their variance inflation and remedies.

    Args:
        problem: of squared loss on all rows; its l2 counts, for it keeps the weights apart.
        minimum: its certificate; nothing is known of others, and nothing said.

    Notes:
        A variance inflation of v takes a condition number of at least sqrt(v): where that of the
        certificate is below, this costs nothing; else the inverse of R, or its singular value
        decomposition where columns are dependent. The closest are told, and how many more.
    """
    if minimum is None or minimum.condition <= math.sqrt(INFLATED):
        return ()
    fitted = problem.hyperparameters.fit_intercept
    if problem.trained.n_observations - fitted <= problem.n_features:
        return ()  # so few rows determine each column by the others: the rank is told
    A, place = _columns(problem)
    precision, exact = _precision(A)
    inflation = np.diagonal(precision)
    groups = sorted(_groups(precision), key=lambda group: -inflation[group].max())
    told = []
    for group in sorted(groups[:NAMED_AT_MOST]):
        names = [problem.features[place[j]] for j in group]
        largest, dependent = float(inflation[group].max()), bool(exact[group].any())
        told.append(_told(problem, names, largest, exact=dependent))
    if more := sum(map(len, groups[NAMED_AT_MOST:])):
        told.append(f"{more} more columns repeat others, less closely")
    return tuple(told)


def unevenness(setup: Setup) -> tuple[float, float] | None:
    """Compare largest over smallest eigenvalue of the Hessian as it is, and of scaled columns.

    Returns:
        Both; None unless scaled columns would spare descent most of its way.
    """
    h, problem = setup.hyperparameters, setup.problem
    arranged = setup.matrices()
    dear = arranged.A.size * min(arranged.A.shape) > CHEAP
    if h.standardize or h.optimizer != "sgd" or dear:
        return None
    scaling = problem.summary.scaling(standardize=True, fit_intercept=h.fit_intercept)
    now, scaled = _spread(problem, arranged), _spread(problem, matrices(problem, scaling))
    return (now, scaled) if now >= HELPS * scaled else None


def _spread(problem: Problem, arranged: Matrices) -> float:
    found = spectrum(problem, arranged)
    return found.largest / found.smallest if found.smallest else 1.0


def _columns(problem: Problem) -> tuple[Floats, list[int]]:
    """Give the columns about their means, of length 1, penalty rows below; and which they are."""
    h = problem.hyperparameters
    fitted = {"fit_intercept": h.fit_intercept}
    scaling = problem.summary.scaling(standardize=True, **fitted)
    trained = problem.summary.scaling(standardize=h.standardize, **fitted)
    A = matrices(problem, scaling).A[:, : problem.n_features]
    if h.l2 > 0:
        size = math.sqrt(h.l2 * len(A) * problem.n_targets)
        A = np.concatenate([A, np.diag(size * trained.scale / scaling.scale)])
    norms = np.linalg.norm(A, axis=0)
    kept = np.flatnonzero(norms)  # a constant column repeats the intercept, no other
    return A[:, kept] / norms[kept], kept.tolist()


def _precision(A: Floats) -> tuple[Floats, Floats]:
    """Invert the correlations of columns; tell which of them the others determine exactly."""
    R = np.asarray(np.linalg.qr(A, mode="r"))
    limit = 1 / rank_tolerance(A.shape)
    inverse = _inverse(R)
    if inverse is not None and np.linalg.norm(R) * np.linalg.norm(inverse) < limit:
        return inverse @ inverse.T, np.zeros(A.shape[1], dtype=bool)
    # Ten times as dear, and needed only where a singular value may be nothing but rounding.
    _, singular, right = np.linalg.svd(R, full_matrices=False)
    least = singular.max(initial=0) / limit
    half = right / np.maximum(singular, least)[:, np.newaxis]
    exact = np.square(right[singular <= least]).sum(axis=0) > NULL_SHARE
    return half.T @ half, exact


@np.errstate(over="ignore", invalid="ignore")
def _inverse(R: Floats) -> Floats | None:
    """Invert a triangle; None where it has none, or none that floats can hold."""
    if R.shape[0] < R.shape[1] or not np.diagonal(R).all():
        return None
    inverse = np.asarray(solve_triangular(R, np.eye(len(R))))
    return inverse if np.isfinite(inverse).all() else None


def _groups(precision: Floats) -> list[list[int]]:
    """Gather the inflated columns that go together, in their order."""
    inflation = np.diagonal(precision)
    inflated = np.flatnonzero(inflation > INFLATED)
    size = np.sqrt(inflation[inflated])
    together = np.abs(precision[np.ix_(inflated, inflated)]) >= TOGETHER * np.outer(size, size)
    count, label = connected_components(together, directed=False)
    groups = [inflated[label == one].tolist() for one in range(count)]
    return sorted(groups)


def _told(problem: Problem, names: list[str], inflation: float, *, exact: bool) -> str:
    h, several = problem.hyperparameters, len(names) > 1
    subject = _listed(names) + (" repeat each other" if several else " repeats other columns")
    their, out = ("their", "leave one out") if several else ("its", "leave it out")
    ridge = "raise l2" if h.l2 > 0 else "add l2"
    if h.optimizer == "exact" and h.loss in {"absolute", "quantile"}:  # solved without l2
        ridge = "raise l1" if h.l1 > 0 else "add l1"
    if exact:
        return f"{subject} exactly: many weights fit equally well; {out} or {ridge}"
    subject = f"{subject} (variance inflation {inflation:.2g})"
    if h.optimizer == "exact":
        return (
            f"{subject}: {their} weights are {math.sqrt(inflation):.2g} times less certain than"
            f" they would be alone; {out} or {ridge}"
        )
    return (
        f"{subject}: the loss can be near its minimum while {their} weights are far from theirs;"
        f" {listed([out, ridge, exactly(h) or 'solve exactly'])}"
    )


def _listed(names: list[str]) -> str:
    if len(names) > NAMED_AT_MOST:
        return f"{', '.join(names[:NAMED_AT_MOST])} and {len(names) - NAMED_AT_MOST} more columns"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
