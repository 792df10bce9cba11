"""Residuals, leverages and tests of a fitted model, in passes over rows, in memory or not.

The first pass factors the columns: leverage is x' (X' Omega X)^-1 x. The second takes everything
else. Where the standardized residuals do not fit in memory, two to six more select their quantiles.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from descend.diagnostics import (
    MAX_POINTS,
    DiagnosedRow,
    Diagnostics,
    Quantiles,
    ResidualTest,
    TargetDiagnostics,
)
from workers.training.factor import Factor, factor, matrices_of, scaling_of
from workers.training.order_statistics import KEPT, order_statistics
from workers.training.problem import Floats
from workers.training.residual_tests import (
    Moments,
    breusch_pagan,
    curvature,
    orthogonal_to_columns,
    tails,
)
from workers.training.rounding import row_lengths
from workers.training.scaling import Scaling

__all__ = ["Fitted", "diagnostics"]

Block = tuple[Floats, Floats, Floats | None]
Blocks = Callable[[], Iterable[Block]]
Mask = NDArray[np.bool_]

QUANTILES = 201
OUTLIER = 3.0
# Residuals of so many units in the last place of the targets are rounding, not noise.
ROUNDING = 64 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Fitted:
    """The model that is looked at, in original units: coef (t, d), intercept (t,)."""

    coef: Floats
    intercept: Floats
    targets: tuple[str, ...]
    fit_intercept: bool


@np.errstate(over="ignore", invalid="ignore")
def diagnostics(
    blocks: Blocks,
    fitted: Fitted,
    *,
    seed: int,
    held: Mask | None = None,
    points: int = MAX_POINTS,
    kept: int = KEPT,
) -> Diagnostics:
    r"""Compute what residuals say about a model.

    e_i = y_i - x_i coef' - intercept;  h_i = omega_i x_i' (X' Omega X)^- x_i;
    s^2 = sum omega_i e_i^2 / (n - rank);  r_i = sqrt(omega_i) e_i / (s sqrt(1 - h_i));
    Cook's D_i = r_i^2 h_i / ((1 - h_i) rank).

    Args:
        blocks: called for each pass; gives (X, Y, omega) of consecutive rows: (n, d), (n, t), and
            (n,) or None.
        fitted: the model.
        seed: draws the rows that are told.
        held: which of all rows were held out; None for none. They are told, not counted.
        points: rows told, of all targets together.
        kept: standardized residuals held in memory at once.

    Returns:
        The diagnostics; `rows` in the order of the draw, so that fewer of them are their first,
        numbered from 1 among those given.

    Notes:
        Leverage and the tests are those of the columns, whatever the weights are penalised by: for
        a penalised or unfinished fit they describe its residuals, not an estimator's.
        Rows of weight 0 are no observations. Cost: three factorisations of the columns.
    """
    columns = factor((X, Y, omega) for X, Y, omega, _ in _parts(blocks, held, of="train"))
    lever = _Lever.of(columns, intercept=fitted.fit_intercept)
    view = _View(blocks, fitted, lever, held)
    per_target = max(50, points // len(fitted.targets))
    totals = _Totals(len(fitted.targets), _Draw(seed, per_target))
    straight = factor(_added(view, totals))
    spread = factor((X, np.square(u), None) for X, u in view.whitened())
    df = totals.n - lever.rank
    told = _Told(view, totals, df=df, kept=kept)
    tests = _tests(straight, spread, totals, fitted=fitted, df=df)
    return Diagnostics(
        n_samples=totals.n_train,
        n_eval_samples=totals.n_eval,
        df_residual=df,
        rank=lever.rank,
        sampled=totals.n_train + totals.n_eval > per_target,
        targets=[
            told.target(place, name, tests[place]) for place, name in enumerate(fitted.targets)
        ],
    )


@dataclass(frozen=True, eq=False)
class _Lever:
    """Leverage of a row: || [z, 1] root ||^2 omega."""

    scaling: Scaling
    root: Floats
    rank: int
    mean: float
    intercept: bool

    @classmethod
    def of(cls, columns: Factor, *, intercept: bool) -> "_Lever":
        scaling = scaling_of(columns, standardize=True, fit_intercept=intercept)
        A, _ = matrices_of(columns, scaling, intercept=intercept)
        _, singular, right = np.linalg.svd(A, full_matrices=False)
        size = max(columns.n_observations, A.shape[1])
        above = singular > size * np.finfo(np.float64).eps * singular[0]
        root = right[above].T / singular[above] * (np.sqrt(columns.n_rows) / columns.root_weight)
        rank = int(above.sum())
        return cls(scaling, root, rank, rank / columns.n_observations, intercept)

    def __call__(self, X: Floats, omega: Floats | None) -> Floats:
        Z = self.scaling.apply(X) @ self.root[: X.shape[1]]
        if self.intercept:
            Z = Z + self.root[-1]
        h = np.square(Z).sum(axis=1)
        return np.asarray(h if omega is None else h * omega)


@dataclass(frozen=True, eq=False)
class _Seen:
    """A block of rows as the model sees it; `place`: of its first row."""

    X: Floats
    Y: Floats
    omega: Floats | None
    predicted: Floats
    leverage: Floats
    whitened: Floats  # sqrt(omega) e
    held: Mask
    place: int

    @property
    def counted(self) -> Mask:
        """Rows that are observations: trained on, with a weight above 0."""
        return ~self.held if self.omega is None else ~self.held & (self.omega > 0)

    def scores(self) -> Floats:
        """Standardized residuals of the observations, but for the common s; rows of h = 1 are 0."""
        h = self.leverage[self.counted, np.newaxis]
        left = np.where(1 - h > ROUNDING, 1 - h, np.inf)
        return np.asarray(self.whitened[self.counted] / np.sqrt(left))


@dataclass(frozen=True, eq=False)
class _View:
    blocks: Blocks
    fitted: Fitted
    lever: _Lever
    held: Mask | None

    def seen(self) -> Iterator[_Seen]:
        for X, Y, omega, place in _parts(self.blocks, self.held, of="all"):
            predicted = X @ self.fitted.coef.T + self.fitted.intercept
            root = 1.0 if omega is None else np.sqrt(omega)[:, np.newaxis]
            mask = np.zeros(len(X), dtype=bool)
            if self.held is not None:
                mask = self.held[place : place + len(X)]
            yield _Seen(
                X=X,
                Y=Y,
                omega=omega,
                predicted=predicted,
                leverage=self.lever(X, omega),
                whitened=root * (Y - predicted),
                held=mask,
                place=place,
            )

    def whitened(self) -> Iterator[tuple[Floats, Floats]]:
        for seen in self.seen():
            yield seen.X[seen.counted], seen.whitened[seen.counted]


class _Draw:
    """The rows with the smallest of as many raw words of a Philox generator as there are rows."""

    def __init__(self, seed: int, size: int) -> None:
        self._generator = np.random.Philox(key=seed)
        self._size = size
        self._words = np.zeros(0, dtype=np.uint64)
        self._rows: list[Floats] = []

    def take(self, table: Floats) -> None:
        words = self._generator.random_raw(len(table))
        rows = np.concatenate([*self._rows, table])
        words = np.concatenate([self._words, words])
        order = np.argsort(words, kind="stable")[: self._size]
        self._words, self._rows = words[order], [rows[order]]

    @property
    def rows(self) -> Floats:
        """The rows drawn, in the order of their words."""
        return self._rows[0] if self._rows else np.zeros((0, 4))


class _Totals:
    """What the second pass adds up."""

    def __init__(self, n_targets: int, draw: _Draw) -> None:
        nothing = Moments.of(np.zeros((0, n_targets)))
        self.draw = draw
        self.n_train = self.n_eval = 0
        self.whitened = self.raw = nothing
        self.size = np.zeros(n_targets)  # largest |y|
        self.max_abs = np.zeros(n_targets)
        self.max_leverage = 0.0
        self.max_cooks = np.zeros(n_targets)  # times rank s^2
        self.high_leverage = 0

    @property
    def n(self) -> int:
        return self.whitened.n

    @property
    def rss(self) -> Floats:
        return np.asarray(self.whitened.squares + self.n * np.square(self.whitened.mean))

    def add(self, seen: _Seen, *, mean_leverage: float) -> None:
        counted = seen.counted
        self.n_train += int((~seen.held).sum())
        self.n_eval += int(seen.held.sum())
        self._draw(seen)
        if not counted.any():
            return
        h, raw = seen.leverage[counted], (seen.Y - seen.predicted)[counted]
        self.whitened += Moments.of(seen.whitened[counted])
        self.raw += Moments.of(raw)
        self.size = np.maximum(self.size, np.abs(seen.Y[counted]).max(axis=0))
        self.max_abs = np.maximum(self.max_abs, np.abs(raw).max(axis=0))
        self.max_leverage = max(self.max_leverage, float(h.max()))
        self.high_leverage += int((h > 2 * mean_leverage).sum())
        odds = np.where(1 - h > ROUNDING, h / np.maximum(1 - h, ROUNDING), 0)
        cooks = np.square(seen.scores()) * odds[:, np.newaxis]
        self.max_cooks = np.maximum(self.max_cooks, cooks.max(axis=0))

    def _draw(self, seen: _Seen) -> None:
        rows = np.arange(seen.place, seen.place + len(seen.X), dtype=np.float64)
        omega = np.ones(len(rows)) if seen.omega is None else seen.omega
        told = (rows, seen.held, seen.leverage, omega, seen.Y, seen.predicted)
        self.draw.take(np.column_stack(told))


@dataclass(frozen=True, eq=False)
class _Told:
    """Everything as the contract has it, now that s is known."""

    view: _View
    totals: _Totals
    df: int
    kept: int

    def target(self, place: int, name: str, tests: list[ResidualTest]) -> TargetDiagnostics:
        totals, sd = self.totals, self._sd(place)
        quantiles, outliers = self._quantiles(place, sd)
        return TargetDiagnostics(
            target=name,
            residual_sd=sd,
            mean_residual=float(totals.raw.mean[place]),
            max_abs_residual=float(totals.max_abs[place]),
            max_leverage=min(totals.max_leverage, 1.0),
            max_cooks=self._cooks(float(totals.max_cooks[place]), sd),
            high_leverage=totals.high_leverage,
            outliers=outliers,
            rows=[self._row(row, place, sd) for row in totals.draw.rows],
            quantiles=quantiles,
            tests=tests,
        )

    def _sd(self, place: int) -> float | None:
        return float(np.sqrt(self.totals.rss[place] / self.df)) if self.df > 0 else None

    def _cooks(self, times: float, sd: float | None) -> float | None:
        return times / (self.view.lever.rank * sd**2) if sd else None

    def _row(self, row: Floats, place: int, sd: float | None) -> DiagnosedRow:
        t = len(self.view.fitted.targets)
        number, held, h, omega = (float(value) for value in row[:4])
        actual, predicted = float(row[4 + place]), float(row[4 + t + place])
        spread = 1 + h if held else 1 - h
        known = sd is not None and sd > 0 and spread > ROUNDING and omega > 0
        scaled = float(np.sqrt(omega)) * (actual - predicted)
        standard = scaled / (sd * float(np.sqrt(spread))) if known and sd else None
        cooks = None
        if standard is not None and not held:
            cooks = standard**2 * h / (spread * self.view.lever.rank)
        return DiagnosedRow(
            row=int(number) + 1,
            actual=actual,
            predicted=predicted,
            residual=actual - predicted,
            std_residual=standard,
            leverage=h,
            cooks=cooks,
            split="eval" if held else "train",
        )

    def _quantiles(self, place: int, sd: float | None) -> tuple[Quantiles | None, int]:
        n = self.totals.n
        if not sd or n == 0:
            return None, 0
        from scipy.special import ndtri

        outliers = 0

        def scores() -> Iterator[Floats]:
            nonlocal outliers
            outliers = 0
            for seen in self.view.seen():
                found = seen.scores()[:, place] / sd
                outliers += int((np.abs(found) > OUTLIER).sum())
                yield found

        ranks = np.unique(np.linspace(0, n - 1, min(n, QUANTILES)).round().astype(int))
        values = order_statistics(scores, ranks.tolist(), kept=self.kept)
        normal = ndtri((ranks + 1 - 0.375) / (n + 0.25))
        told = Quantiles(
            rank=(ranks + 1).tolist(), normal=normal.tolist(), std_residual=values.tolist()
        )
        return told, outliers


def _parts(
    blocks: Blocks, held: Mask | None, *, of: str
) -> Iterator[tuple[Floats, Floats, Floats | None, int]]:
    """Give blocks with the place of their first row; of "train" without the rows held out."""
    place = 0
    for X, Y, omega in blocks():
        mask = None if held is None else ~held[place : place + len(X)]
        if of == "all" or mask is None:
            yield X, Y, omega, place
        else:
            yield X[mask], Y[mask], None if omega is None else omega[mask], place
        place += len(X)


def _added(view: _View, totals: _Totals) -> Iterator[Block]:
    """Give residuals and squared fitted values beside the columns; add up the rest on the way."""
    fitted, lever = view.fitted, view.lever
    slopes = fitted.coef * lever.scaling.scale
    middle = fitted.intercept + fitted.coef @ lever.scaling.mean
    size = row_lengths(slopes)
    size = np.where(size > 0, size, 1.0)
    for seen in view.seen():
        totals.add(seen, mean_leverage=lever.mean)
        counted = seen.counted
        fits = (seen.predicted[counted] - (middle if fitted.fit_intercept else 0.0)) / size
        residuals = (seen.Y - seen.predicted)[counted]
        omega = None if seen.omega is None else seen.omega[counted]
        yield seen.X[counted], np.concatenate([residuals, np.square(fits)], axis=1), omega


def _tests(
    straight: Factor, spread: Factor, totals: _Totals, *, fitted: Fitted, df: int
) -> list[list[ResidualTest]]:
    t = len(fitted.targets)
    before, after, _ = orthogonal_to_columns(straight, intercept=fitted.fit_intercept)
    squares, left, rank = orthogonal_to_columns(spread, intercept=True)
    rounding = ROUNDING * totals.size * np.sqrt(max(totals.n, 1))
    told: list[list[ResidualTest]] = []
    for place in range(t):
        if np.sqrt(totals.rss[place]) <= rounding[place]:
            told.append([])
            continue
        pair = [place, t + place]
        told.append(
            [
                curvature(before[:, pair], after[:, pair], df=df - 1),
                breusch_pagan(squares[:, place], left[:, place], n=totals.n, rank=rank),
                tails(totals.whitened, place),
            ]
        )
    return told
