"""A problem: one model to train, as numpy arrays and names. No tensors here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from descend.errors import InvalidInput
from descend.jobs import Hyperparameters, InitialWeights

__all__ = ["Floats", "Problem", "Split", "split"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """One model to train.

    Attributes:
        X: design matrix, shape (n_samples, n_features), float64, finite.
        Y: targets, shape (n_samples, n_targets), float64, finite.
        sample_weight: shape (n_samples,), finite, >= 0, not all zero; None for equal weights.
        features: names of the columns of X.
        targets: names of the columns of Y.
        hyperparameters: with its defaults filled in (`Hyperparameters.resolved`); the rate may
            still be "auto".

    Raises:
        InvalidInput: when shapes, names or values do not fit together.
    """

    X: Floats
    Y: Floats
    sample_weight: Floats | None
    features: tuple[str, ...]
    targets: tuple[str, ...]
    hyperparameters: Hyperparameters

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_values(self)
        if self.hyperparameters.seed is None:
            raise InvalidInput("hyperparameters are not resolved: seed is null", param="seed")
        if isinstance(self.hyperparameters.init, InitialWeights):
            _check_init(self.hyperparameters.init, self.n_features, self.n_targets)

    @property
    def n_samples(self) -> int:
        return len(self.X)

    @property
    def n_features(self) -> int:
        return int(self.X.shape[1])

    @property
    def n_targets(self) -> int:
        return int(self.Y.shape[1])

    @property
    def n_eval(self) -> int:
        """Rows held out: the rounded fraction, at least one, and never all."""
        fraction = self.hyperparameters.validation_fraction
        if fraction == 0 or self.n_samples < 2:
            return 0
        return min(max(1, round(fraction * self.n_samples)), self.n_samples - 1)

    @property
    def n_train(self) -> int:
        return self.n_samples - self.n_eval

    @property
    def seed(self) -> int:
        seed = self.hyperparameters.seed
        assert seed is not None  # noqa: S101 - held by __post_init__
        return seed


@dataclass(frozen=True, eq=False)
class Split:
    """Some rows of a problem: X (n, n_features), Y (n, n_targets), omega (n,) or None."""

    X: Floats
    Y: Floats
    omega: Floats | None

    def __len__(self) -> int:
        return len(self.X)


def split(problem: Problem) -> tuple[Split, Split]:
    """Part a problem's rows into those trained on and those held out.

    The held-out rows are those with the smallest of n_samples raw 64-bit words of a Philox
    generator keyed by the seed: the words are fixed by the algorithm, so the split is the same on
    every machine and numpy version. Both parts keep the rows' order. Without validation rows no
    data is copied.
    """
    if problem.n_eval == 0:
        none = Split(problem.X[:0], problem.Y[:0], None)
        return Split(problem.X, problem.Y, problem.sample_weight), none
    words = np.random.Philox(key=problem.seed).random_raw(problem.n_samples)
    held_out = np.zeros(problem.n_samples, dtype=bool)
    held_out[np.argsort(words, kind="stable")[: problem.n_eval]] = True
    trained, held = _rows(problem, ~held_out), _rows(problem, held_out)
    if trained.omega is not None and not trained.omega.any():
        raise InvalidInput("every row left to train on has weight 0", param="validation_fraction")
    return trained, held


def _rows(problem: Problem, mask: NDArray[np.bool_]) -> Split:
    omega = problem.sample_weight
    return Split(problem.X[mask], problem.Y[mask], None if omega is None else omega[mask])


def _check_shapes(problem: Problem) -> None:
    X, Y, omega = problem.X, problem.Y, problem.sample_weight
    if X.ndim != 2 or Y.ndim != 2 or X.shape[0] != Y.shape[0] or 0 in X.shape or 0 in Y.shape:
        raise InvalidInput(f"X has shape {X.shape}, Y {Y.shape}: need (n, d) and (n, t)", param="X")
    if omega is not None and omega.shape != (X.shape[0],):
        raise InvalidInput(
            f"sample_weight has shape {omega.shape}: need ({X.shape[0]},)", param="sample_weight"
        )
    names = (len(problem.features), len(problem.targets))
    if names != (X.shape[1], Y.shape[1]):
        raise InvalidInput(
            f"{names} names for {(X.shape[1], Y.shape[1])} columns", param="features"
        )


def _check_values(problem: Problem) -> None:
    for param, values in (("X", problem.X), ("Y", problem.Y)):
        if values.dtype != np.float64:
            raise InvalidInput(f"{param} is {values.dtype}: need float64", param=param)
        if not np.isfinite(values).all():
            raise InvalidInput(f"{param} holds NaN or infinity: remove those rows", param=param)
    omega = problem.sample_weight
    if omega is None:
        return
    if not np.isfinite(omega).all() or (omega < 0).any() or not omega.any():
        raise InvalidInput(
            "sample weights must be finite, >= 0 and not all 0", param="sample_weight"
        )


def _check_init(init: InitialWeights, n_features: int, n_targets: int) -> None:
    lengths = {len(row) for row in init.coef}
    if len(init.coef) != n_targets or lengths != {n_features}:
        raise InvalidInput(
            f"init.coef needs {n_targets} rows of {n_features} numbers", param="init"
        )
    if init.intercept is not None and len(init.intercept) != n_targets:
        raise InvalidInput(f"init.intercept needs {n_targets} numbers", param="init")
