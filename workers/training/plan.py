"""What training would do, told from the spectrum: bounds, rates, and when the minimum is near."""

import math

import numpy as np

from descend.jobs import Hyperparameters
from descend.plans import GAPS, GapEpochs, Mode, Plan
from descend.statistics import INTERCEPT
from workers.training.certificate import Certificate, is_provable
from workers.training.conditioning import repeated_columns, unevenness
from workers.training.divergence import guilty_columns, largest_parts
from workers.training.losses import Loss
from workers.training.modes import Modes, epochs_to, modes_of
from workers.training.objective import Matrices
from workers.training.outcome import engine_of
from workers.training.problem import Floats, Problem
from workers.training.rate import best_rate, stability_bound
from workers.training.remedies import exactly, listed
from workers.training.setup import Setup, prepare
from workers.training.spectrum import Spectrum, spectrum

__all__ = ["expected_epochs", "no_closed_form", "no_minimum", "parameters_of", "plan", "told_modes"]

# Digits that are left where a condition number has taken its own from those of the dtype.
DIGITS = {"float64": 15.95, "float32": 7.22}
WANTED_DIGITS = 4.0
ILL_CONDITIONED = 1e6
# Vectors are told while all of them together have at most so many components.
VECTOR_CELLS = 10_000
HISTORY_BYTES = 48  # of an epoch
TOO_LARGE = "the problem is too large, or its numbers are: only the largest eigenvalue is told"

UNPROVED = (
    "the problem is too large, or its numbers are, or the search for the minimum with l1 ended"
    " without a proof: raise l1, add l2, or leave out columns that repeat others"
)


@np.errstate(over="ignore", invalid="ignore")
def plan(problem: Problem, device: str, whole: Problem | None = None) -> Plan:
    """Say what training this problem would do, without training it.

    Args:
        problem: what would be trained.
        device: where.
        whole: the same on full batches, of which minimum, modes and bound are told; with
            mini-batches only, whose own matrices are of some of the rows.

    Returns:
        The plan, without an estimate of the time: there is no clock here.

    Notes:
        For plain gradient descent (sgd without momentum, squared loss, all rows, a constant rate,
        no l1) `epochs_to_gap` is exact: the epoch of the history at which the gap is first so
        small. Cost: one singular value decomposition of the design.
    """
    setup, arranged = prepare(problem)
    basis, design = (setup, arranged) if whole is None else prepare(whole)
    minimum = basis.certificate
    modes = modes_of(basis.problem, design, basis.start, minimum)
    found = spectrum(basis.problem, design) if modes is None else modes.spectrum
    h = setup.hyperparameters
    direction = largest_parts(found.direction, parameters_of(problem))
    bound = _bound(h, found)
    refused = no_closed_form(h, modes)
    told_plan = Plan(
        engine="exact" if h.optimizer == "exact" else engine_of(problem),
        device=device,
        n_samples=problem.n_train,
        n_eval_samples=problem.n_eval,
        n_columns=arranged.A.shape[1],
        rank=found.rank if minimum is None else minimum.rank,
        condition_number=None if minimum is None else finite(minimum.condition),
        hessian_condition=_over(found.largest, found.smallest),
        modes=[] if modes is None else told_modes(modes),
        unreachable=0.0 if modes is None else modes.unreachable,
        initial_loss=_initial_loss(setup),
        initial_objective=_initial_objective(setup),
        min_objective=None if minimum is None else minimum.objective,
        min_loss=None if minimum is None else minimum.loss,
        minimum_refused=no_minimum(h, minimum),
        learning_rate=finite(setup.rate),
        stability_bound=bound,
        best_rate=best_rate(_as_sgd(h), found),
        diverges=_diverges(h, setup.rate, bound),
        epochs_to_gap=_epochs(modes, setup.rate, refused=refused),
        epochs_refused=refused,
        guilty_columns=list(guilty_columns(direction)) if bound is not None else [],
        direction=direction,
        memory_bytes=_memory(problem, arranged),
    )
    told = _warnings(problem.hyperparameters, told_plan, uneven=unevenness(basis) is not None)
    warnings = [*told, *repeated_columns(basis.problem, minimum)]
    return told_plan.model_copy(update={"warnings": warnings})


def expected_epochs(plan: Plan, hyperparameters: Hyperparameters) -> int:
    """Guess the epochs that training takes: to a gap of 1e-9 where that is known, else all."""
    known = [one.epochs for one in plan.epochs_to_gap if one.epochs is not None]
    if hyperparameters.tol == 0 or len(known) < len(plan.epochs_to_gap):
        return hyperparameters.max_epochs
    return min(hyperparameters.max_epochs, max(known))


def no_minimum(h: Hyperparameters, minimum: Certificate | None) -> str | None:
    """Say why no minimum is told; None where one is."""
    if minimum is not None:
        return None
    if h.loss != "squared" and not is_provable(h):
        return f"no minimum of {h.loss} loss is computed with this penalty or in mini-batches"
    return UNPROVED if h.l1 > 0 and h.loss == "squared" else TOO_LARGE


def no_closed_form(h: Hyperparameters, modes: Modes | None) -> str | None:
    """Say why the course cannot be told; None for plain gradient descent."""
    if h.optimizer != "sgd":
        return f"the closed form is of gradient descent, not of {h.optimizer}"
    if h.momentum:
        return "the closed form is of gradient descent without momentum"
    if h.batch_size is not None:
        return "mini-batches have no closed form; the bound is that of descent on all rows"
    if h.schedule is not None and h.schedule.type != "constant":
        return "the closed form is of a constant rate"
    if h.loss != "squared" or h.l1 > 0:
        return "the closed form is of squared loss without l1"
    return TOO_LARGE if modes is None else None


def parameters_of(problem: Problem) -> list[str]:
    """Name the rows of [W; b]."""
    intercept = [INTERCEPT] if problem.hyperparameters.fit_intercept else []
    return [*problem.features, *intercept]


def told_modes(modes: Modes) -> list[Mode]:
    """Write modes as the contract has them."""
    if not np.isfinite(modes.excess).all():
        return []
    told = modes.vectors.size <= VECTOR_CELLS
    vectors = modes.vectors.tolist() if told else [None] * len(modes.excess)
    return [
        Mode(eigenvalue=value, excess=excess, vector=vector)
        for value, excess, vector in zip(
            modes.eigenvalues.tolist(), modes.excess.tolist(), vectors, strict=True
        )
    ]


def finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _as_sgd(h: Hyperparameters) -> Hyperparameters:
    """What the bound is told of: gradient descent with its momentum; of others, plain."""
    return h if h.optimizer == "sgd" else Hyperparameters(optimizer="sgd")


def _bound(h: Hyperparameters, found: Spectrum) -> float | None:
    bound = stability_bound(_as_sgd(h), found)
    return finite(bound) if bound else None


def _diverges(h: Hyperparameters, rate: float, bound: float | None) -> bool:
    """Other losses than squared have slopes that are bounded: they end up circling."""
    return h.optimizer == "sgd" and h.loss == "squared" and bound is not None and rate >= bound


def _over(largest: float, smallest: float | None) -> float | None:
    return finite(largest / smallest) if smallest else None


def _initial_loss(setup: Setup) -> float | None:
    measure = Loss.of(setup.hyperparameters)
    return finite(setup.problem.summary.loss(*setup.original(setup.start), measure))


def _initial_objective(setup: Setup) -> float | None:
    loss, h = _initial_loss(setup), setup.hyperparameters
    weights = setup.start[: setup.problem.n_features]
    penalties = h.l2 * np.square(weights).sum() + h.l1 * np.abs(weights).sum()
    return None if loss is None else finite(loss + float(penalties))


def _epochs(modes: Modes | None, rate: float, *, refused: str | None) -> list[GapEpochs]:
    known = modes is not None and refused is None and math.isfinite(modes.gap)
    return [
        GapEpochs(
            gap=gap,
            epochs=epochs_to(modes, rate=rate, fraction=gap) if known and modes else None,
        )
        for gap in GAPS
    ]


def _memory(problem: Problem, arranged: Matrices) -> int:
    columns = problem.n_features + problem.n_targets + 1
    design: Floats = arranged.A
    rows = 8 * (problem.n_train + problem.n_eval) * columns
    return int(rows + 2 * design.nbytes + HISTORY_BYTES * problem.hyperparameters.max_epochs)


def _warnings(h: Hyperparameters, told: Plan, *, uneven: bool) -> list[str]:
    words = (
        _rank(told),
        _rate(told, uneven=uneven),
        *_condition(h, told, uneven=uneven),
        _slow(h, told, uneven=uneven),
    )
    return [text for text in words if text]


def _rank(told: Plan) -> str | None:
    if told.rank is None or told.rank >= told.n_columns:
        return None
    return (
        f"of {told.n_columns} columns {told.rank} are independent: many weights fit equally well,"
        " and which come out depends on where training starts"
    )


def _rate(told: Plan, *, uneven: bool) -> str | None:
    if not told.diverges:
        return None
    return (
        f"learning_rate {told.learning_rate:.5g} is at or above {told.stability_bound:.5g}, the"
        f" bound below which gradient descent is stable on this data; it is set by"
        f" {', '.join(told.guilty_columns)}; set learning_rate to auto"
        + (", and standardize to true" if uneven else "")
    )


def _condition(h: Hyperparameters, told: Plan, *, uneven: bool) -> list[str]:
    warnings = []
    descends = h.optimizer == "sgd" and told.hessian_condition is not None
    if descends and (told.hessian_condition or 0) > ILL_CONDITIONED:
        ways = ["set standardize to true" if uneven else None, exactly(h)]
        warnings.append(
            f"the steepest direction is {told.hessian_condition:.2g} times as steep as the"
            " flattest: gradient descent takes about that many epochs; "
            + listed([way for way in ways if way])
        )
    lost = math.log10(told.condition_number) if told.condition_number else 0.0
    if DIGITS[h.dtype] - lost < WANTED_DIGITS:
        advice = (
            "use dtype float64"
            if h.dtype == "float32"
            else "few of the weights' digits are certain"
        )
        warnings.append(
            f"the columns' condition number {told.condition_number:.2g} costs {lost:.0f} of the"
            f" {DIGITS[h.dtype]:.0f} digits of {h.dtype}: {advice}"
        )
    return warnings


def _slow(h: Hyperparameters, told: Plan, *, uneven: bool) -> str | None:
    needed = next((one.epochs for one in told.epochs_to_gap if one.gap == 1e-6), None)
    if told.epochs_refused or told.diverges or (needed or 0) <= h.max_epochs:
        return None
    cure = "; set standardize to true: the scales of the columns are the reason" if uneven else ""
    return (
        f"max_epochs ({h.max_epochs}) ends before the minimum is near: {needed} epochs bring the"
        f" gap to a millionth{cure}"
    )
