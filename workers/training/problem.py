"""A problem: one model to train, as numpy arrays and names. No tensors here."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from descend.errors import InvalidInput
from descend.jobs import Hyperparameters, InitialWeights
from workers.training.mapped import Mapped
from workers.training.samples import Floats, Rows, Sample, check_rows

__all__ = ["Floats", "Problem", "held_out", "n_held_out"]

_INIT = "hyperparameters.init"
# Drawn at a time to choose the rows that are held out: half a MiB.
WORDS = 2**16


@dataclass(frozen=True, eq=False)
class Problem:
    """One model to train.

    Attributes:
        trained: the data trained on.
        held: the data that only eval_loss is computed from; None where there are none.
        factored: the R factor of the rows that batches are drawn from, which knows the minimum;
            None with full batches, whose data `trained` is, and where no factor is taken.
        features: names of the columns of X.
        targets: names of the columns of Y.
        hyperparameters: with its defaults filled in (`Hyperparameters.resolved`); the rate may
            still be "auto".
        weight_unit: what the rows' weights are given in units of, a power of 4. Only figures of a
            row of weight 1 depend on it.

    Raises:
        InvalidInput: when names or initial weights do not fit the data.
    """

    trained: Sample
    held: Sample | None
    features: tuple[str, ...]
    targets: tuple[str, ...]
    hyperparameters: Hyperparameters
    weight_unit: float = 1.0
    factored: Sample | None = None

    def __post_init__(self) -> None:
        shape = (self.n_features, self.n_targets)
        names = (len(self.features), len(self.targets))
        if names != shape:
            raise InvalidInput(f"{names} names for {shape} columns", param="features")
        if self.held is not None and (self.held.n_features, self.held.n_targets) != shape:
            raise InvalidInput("the validation rows have other columns", param="validation_dataset")
        if self.hyperparameters.seed is None:
            raise InvalidInput("hyperparameters are not resolved: seed is null", param="seed")
        if isinstance(self.hyperparameters.init, InitialWeights):
            _check_init(self.hyperparameters.init, self.features, self.n_targets)

    @classmethod
    def of_rows(
        cls,
        X: Floats,
        Y: Floats,
        sample_weight: Floats | None,
        *,
        features: tuple[str, ...],
        targets: tuple[str, ...],
        hyperparameters: Hyperparameters,
    ) -> "Problem":
        """Make a problem of rows in memory; `validation_fraction` parts them.

        Args:
            X: design matrix, shape (n_samples, n_features), float64, finite.
            Y: targets, shape (n_samples, n_targets), float64, finite.
            sample_weight: shape (n_samples,), finite, >= 0, not all zero among the rows trained
                on; None for equal weights. Held-out rows that all weigh 0 are no rows to validate
                on.
            features: names of the columns of X.
            targets: names of the columns of Y.
            hyperparameters: resolved.

        Raises:
            InvalidInput: when shapes or values do not fit together.
        """
        check_rows(X, Y, sample_weight)
        fraction = hyperparameters.validation_fraction
        held = held_out(len(X), fraction, seed=hyperparameters.seed or 0)
        kind = Rows if hyperparameters.batch_size is None else Mapped
        trained, kept = kind(X, Y, sample_weight), None
        if held is not None:
            kept = kind(*_part(trained, held))
            trained = kind(*_part(trained, ~held))
        if not trained.weighs:
            raise InvalidInput(
                "every row left to train on has weight 0",
                param="sample_weight" if held is None else "validation_fraction",
            )
        kept = kept if kept is not None and kept.weighs else None
        if isinstance(trained, Mapped):  # batches are gathered from what lies there
            trained, kept = trained.observed, None if kept is None else kept.observed
        return cls(trained, kept, features, targets, hyperparameters)

    @property
    def summary(self) -> Sample:
        """What is told of all rows together: by their factor, where batches are drawn beside it."""
        return self.trained if self.factored is None else self.factored

    @property
    def is_summed_up(self) -> bool:
        """Whether the matrices stand for all rows, and not for some that batches are drawn from."""
        return self.hyperparameters.batch_size is None or self.factored is not None

    @property
    def n_features(self) -> int:
        return self.trained.n_features

    @property
    def n_targets(self) -> int:
        return self.trained.n_targets

    @property
    def n_train(self) -> int:
        return self.trained.n

    @property
    def n_eval(self) -> int:
        return 0 if self.held is None else self.held.n

    @property
    def seed(self) -> int:
        seed = self.hyperparameters.seed
        assert seed is not None  # noqa: S101 - held by __post_init__
        return seed


def n_held_out(n_samples: int, fraction: float) -> int:
    """Count the rows held out: the rounded fraction, at least one, and never all."""
    if fraction == 0 or n_samples < 2:
        return 0
    return min(max(1, round(fraction * n_samples)), n_samples - 1)


def held_out(n_samples: int, fraction: float, *, seed: int) -> NDArray[np.bool_] | None:
    """Choose the rows held out; None where there are none.

    They are those with the smallest of n_samples raw 64-bit words of a Philox generator keyed by
    the seed: the words are fixed by the algorithm, so the choice is the same on every machine and
    numpy version. The words are drawn twice, some at a time, first to count them by their leading
    16 bits: what is kept is a byte a row.
    """
    n_held = n_held_out(n_samples, fraction)
    if n_held == 0:
        return None
    counts = np.zeros(2**16, dtype=np.int64)
    for _, words in _drawn(n_samples, seed):
        counts += np.bincount(_leading(words), minlength=len(counts))
    below = np.cumsum(counts)
    last = int(np.searchsorted(below, n_held))  # of the leading bits of words that are held out
    chosen = np.zeros(n_samples, dtype=bool)
    tied: list[tuple[int, int]] = []
    for begin, words in _drawn(n_samples, seed):
        leading = _leading(words)
        chosen[begin : begin + len(words)] = leading < last
        among = np.flatnonzero(leading == last)
        tied += zip(words[among].tolist(), (begin + among).tolist(), strict=True)
    rest = n_held - int(below[last] - counts[last])
    chosen[[place for _, place in sorted(tied)[:rest]]] = True
    return chosen


def _drawn(n: int, seed: int) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    """Yield the generator's first n words, some at a time, each with the place of the first."""
    generator = np.random.Philox(key=seed)
    for begin in range(0, n, WORDS):
        yield begin, generator.random_raw(min(WORDS, n - begin))


def _leading(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (words >> np.uint64(48)).astype(np.int64)


def _part(rows: Rows, mask: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats | None]:
    """Take some rows, in their order."""
    return rows.X[mask], rows.Y[mask], None if rows.omega is None else rows.omega[mask]


def _check_init(init: InitialWeights, features: tuple[str, ...], n_targets: int) -> None:
    n_features = len(init.features or features)
    lengths = {len(row) for row in init.coef}
    if len(init.coef) != n_targets or lengths != {n_features}:
        raise InvalidInput(f"init.coef needs {n_targets} rows of {n_features} numbers", param=_INIT)
    if init.intercept is not None and len(init.intercept) != n_targets:
        raise InvalidInput(f"init.intercept needs {n_targets} numbers", param=_INIT)
    if init.features is None:
        return
    if missing := sorted(set(features) - set(init.features)):
        raise InvalidInput(f"init has no weight of feature {missing[0]!r}", param=_INIT)
    if unknown := sorted(set(init.features) - set(features)):
        raise InvalidInput(f"init has a weight of {unknown[0]!r}, no feature here", param=_INIT)
