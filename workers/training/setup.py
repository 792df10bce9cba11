"""What is decided about a problem before its first epoch."""

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from descend.errors import InvalidInput
from descend.jobs import Hyperparameters, InitialWeights
from workers.training.certificate import NOISE, Certificate, certify, is_provable
from workers.training.constant import holds_constant
from workers.training.losses import Loss
from workers.training.magnitudes import check_magnitudes
from workers.training.mapped import Mapped
from workers.training.objective import Matrices, matrices, rows_sampled
from workers.training.piecewise import best_constant
from workers.training.problem import Floats, Problem
from workers.training.rate import auto_rate
from workers.training.rounding import EPS
from workers.training.samples import Rows
from workers.training.scaling import Scaling
from workers.training.sparse import LASSO_COST
from workers.training.spectrum import Spectrum, spectrum

__all__ = ["Setup", "prepare"]

# Of a design whose minimum is looked for after mini-batches: some 200 MB while it is.
MOST_ELEMENTS = 2**21


@dataclass(frozen=True, eq=False)
class Setup:
    """A problem with all that training needs beside its rows.

    Attributes:
        start: [W; b] before the first step in the coordinates of training, (columns, n_targets).
        hyperparameters: the problem's, with the rate as a number.
        variance: of the targets trained on: population, weighted, mean over targets.
        mean_square: of the same targets.
        lowest: the lowest point that could be computed, be it the minimum or not.
    """

    problem: Problem
    scaling: Scaling
    start: Floats
    hyperparameters: Hyperparameters
    variance: float
    mean_square: float
    lowest: Certificate | None

    @property
    def certificate(self) -> Certificate | None:
        """The minimum of the objective, where it is known and proved."""
        return self.lowest if self.lowest is not None and self.lowest.proved else None

    @cached_property
    def has_constant(self) -> bool:
        """Whether the model has an intercept, or columns that make one."""
        h = self.problem.hyperparameters
        return h.fit_intercept or holds_constant(self.problem.summary)

    @property
    def baseline(self) -> float:
        """The squared loss that R2 compares with: of the mean, of 0 where there is no constant.

        0 where it is nothing but the targets' last digits: then there is no R2.
        """
        found = self.variance if self.has_constant else self.mean_square
        return found if found > EPS**2 * self.mean_square else 0.0

    @property
    def rate(self) -> float:
        rate = self.hyperparameters.learning_rate
        return math.nan if rate is None else float(rate)

    def matrices(self) -> Matrices:
        return matrices(self.problem, self.scaling)

    def rows_sampled(self) -> Matrices | None:
        return rows_sampled(self.problem, self.scaling)

    def spectrum(self) -> Spectrum:
        return spectrum(self.problem, self.matrices())

    def fingerprint(self) -> str:
        """Hash what a checkpoint must agree with: hyperparameters, names, the data's moments."""
        problem = self.problem
        told = hashlib.sha256(problem.hyperparameters.model_dump_json().encode())
        told.update(repr((problem.features, problem.targets, self.variance)).encode())
        told.update(problem.summary.digest())
        told.update(self.scaling.scale.tobytes())
        return told.hexdigest()

    def original(self, params: Floats) -> tuple[Floats, Floats]:
        """Bring [W; b] (columns, n_targets) back to coef (t, d), intercept (t,) in X's units."""
        problem = self.problem
        fitted = problem.hyperparameters.fit_intercept
        intercept = params[-1] if fitted else np.zeros(problem.n_targets)
        return self.scaling.to_original(params[: problem.n_features].T, intercept)

    def trained(self, coef: Floats, intercept: Floats) -> Floats:
        """Bring coef (t, d), intercept (t,) in X's units to [W; b] in the coordinates of training.

        Sums are in twice the precision: an offset costs no digits of what the weights predict.
        """
        W, b = self.scaling.to_trained(coef, intercept)
        fitted = self.problem.hyperparameters.fit_intercept
        return np.concatenate([W.T, b[np.newaxis]]) if fitted else np.ascontiguousarray(W.T)

    def whole(self) -> Matrices:
        """Give the matrices of all rows, where `matrices` of mini-batches are of a sample."""
        rows = self.problem.trained
        if self.problem.is_summed_up or not isinstance(rows, Mapped):
            return self.matrices()
        return matrices(replace(self.problem, trained=rows.part(0, rows.n)), self.scaling)

    def proved_afterwards(self) -> "Setup":
        """Find the minimum of huber, absolute or quantile loss once its mini-batches are done.

        Left as it is where the rows are too many for that, or no proof is known.
        """
        problem, h = self.problem, self.problem.hyperparameters
        if h.batch_size is None or h.loss == "squared" or self.lowest is not None:
            return self
        if problem.trained.n * len(self.start) > MOST_ELEMENTS:
            return self
        full = replace(problem, hyperparameters=h.model_copy(update={"batch_size": None}))
        return replace(self, lowest=certify(full, self.whole()))

    @cached_property
    def rounding(self) -> float:
        """The loss of a perfect fit that is off by rounding, in the units of X.

        Of predictions that are off by ten units in the last place of every term of coef x +
        intercept at the minimum. 0 where the fit is not perfect but for so much, or the loss is
        squared.
        """
        minimum, rows = self.lowest, self.problem.trained
        if minimum is None or minimum.baseline is None or not isinstance(rows, Rows):
            return 0.0
        coef, intercept = self.original(minimum.params)
        last = np.abs(rows.X) @ np.spacing(np.abs(coef.T)) + np.spacing(np.abs(intercept))
        off, measure = NOISE * last, Loss.of(self.problem.hyperparameters)
        values = np.maximum(measure.values(off), measure.values(-off)).mean(axis=1)
        lost = float(np.average(values, weights=rows.omega))
        return lost if minimum.objective <= lost else 0.0


def prepare(
    problem: Problem, *, budget: float = LASSO_COST, wanted: bool = False
) -> tuple[Setup, Matrices]:
    """Fit the scaling, bring initial weights and rate into the coordinates of training.

    Args:
        problem: any.
        budget: multiplications that the minimum may take under l1.
        wanted: whether the minimum is what is wanted (see `certify`).

    Raises:
        InvalidInput: where the squares of a column leave the range of the dtype.
    """
    hyperparameters = problem.hyperparameters
    scaling = scaling_for(problem)
    check_magnitudes(problem, scaling)
    arranged = matrices(problem, scaling)
    start = _start(problem, scaling, arranged)
    if hyperparameters.learning_rate == "auto":
        rate = auto_rate(problem, arranged, start, rows=rows_sampled(problem, scaling))
        hyperparameters = hyperparameters.model_copy(update={"learning_rate": rate})
    variance, mean_square = problem.summary.moments()
    if scaling.goal is not None:
        with np.errstate(over="ignore"):
            mean_square = float(np.square(arranged.B).mean())
    certified = is_provable(hyperparameters)
    lowest = certify(problem, arranged, budget=budget, wanted=wanted) if certified else None
    setup = Setup(problem, scaling, start, hyperparameters, variance, mean_square, lowest)
    return setup, arranged


def scaling_for(problem: Problem) -> Scaling:
    """Fit the scaling of the columns; under another loss than squared that of the targets, too.

    With an intercept residuals are then counted from the targets' (weighted) median or quantile:
    an offset of 1e6 would leave steps and line searches no digits.
    """
    h, rows = problem.hyperparameters, problem.trained
    scaling = problem.summary.scaling(standardize=h.standardize, fit_intercept=h.fit_intercept)
    fits = h.loss != "squared" and h.fit_intercept
    # Batches are drawn as they lie.
    if not fits or h.batch_size is not None or not isinstance(rows, Rows):
        return scaling
    return replace(scaling, goal=_constant(rows.Y, rows.omega, Loss.of(h)))


def _constant(Y: Floats, omega: Floats | None, loss: Loss) -> Floats:
    """The constant of least loss for each target."""
    weights = np.ones(len(Y)) if omega is None else omega
    seen = weights > 0
    return best_constant(Y[seen], weights[seen], loss)


def _start(problem: Problem, scaling: Scaling, arranged: Matrices) -> Floats:
    h = problem.hyperparameters
    coef, intercept = _initial_weights(problem)
    if h.init == "zeros" and h.fit_intercept and h.loss != "squared":
        # From 0 a step of bounded length would take forever to a target that is far away.
        goal = _constant(arranged.B, arranged.weights, Loss.of(h))
        intercept = goal if scaling.goal is None else goal + scaling.goal
    coef, intercept = scaling.to_trained(coef, intercept)
    if not problem.hyperparameters.fit_intercept:
        return np.ascontiguousarray(coef.T)
    return np.concatenate([coef.T, intercept[np.newaxis]])


def _initial_weights(problem: Problem) -> tuple[Floats, Floats]:
    init = problem.hyperparameters.init
    intercept = np.zeros(problem.n_targets)
    if init == "zeros":
        return np.zeros((problem.n_targets, problem.n_features)), intercept
    if init == "torch":
        return _drawn_as_linear(problem)
    assert isinstance(init, InitialWeights)  # noqa: S101 - the only kind left
    if init.intercept is not None:
        intercept = np.array(init.intercept, dtype=np.float64)
    coef = np.array(init.coef, dtype=np.float64)
    if init.features is not None:
        coef = coef[:, [init.features.index(name) for name in problem.features]]
    if intercept.any() and not problem.hyperparameters.fit_intercept:
        raise InvalidInput(
            "init.intercept without fit_intercept: leave it out", param="hyperparameters.init"
        )
    return coef, intercept


def _drawn_as_linear(problem: Problem) -> tuple[Floats, Floats]:
    """Draw what nn.Linear(n_features, n_targets) holds after torch.manual_seed(seed).

    From a generator of our own: forked runners share the global one.
    """
    dtype = getattr(torch, problem.hyperparameters.dtype)
    generator = torch.Generator().manual_seed(problem.seed)
    weight = torch.empty(problem.n_targets, problem.n_features, dtype=dtype)
    torch.nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
    bias = torch.zeros(problem.n_targets, dtype=dtype)
    if problem.hyperparameters.fit_intercept:
        bound = 1 / math.sqrt(problem.n_features)
        bias.uniform_(-bound, bound, generator=generator)
    return weight.double().numpy(), bias.double().numpy()
