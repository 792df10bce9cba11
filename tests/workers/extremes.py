"""Small trainings at the ends of float64, drawn by a seed; and what is right, in rationals."""

import math
import random
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from descend.jobs import JobSpec
from service.admission import admit
from service.bodies import parse
from storage.ingest import JsonTable
from tests.workers.tables import assignment
from workers.batch import load, work_on
from workers.orders import Assignment
from workers.reports import Entry, read_report, write_report

__all__ = ["Drawn", "as_float", "assigned", "drawn", "ended"]

SPEC: TypeAdapter[JobSpec] = TypeAdapter(JobSpec)
LARGEST = 1.7e308
SCHEDULES = [{"type": "cosine"}, {"type": "step", "every": 3}, {"type": "inverse"}]

Column = list[float]


@dataclass(frozen=True)
class Drawn:
    """A job's data and settings."""

    X: list[Column]
    Y: list[Column]
    weights: Column | None
    hyperparameters: dict[str, Any]

    @property
    def body(self) -> dict[str, Any]:
        data = {"X": self.X, "y": self.Y}
        weights = {} if self.weights is None else {"sample_weight": self.weights}
        return {"dataset": data | weights, "hyperparameters": self.hyperparameters}

    @property
    def omega(self) -> list[Fraction]:
        return [Fraction(w) for w in self.weights or [1.0] * len(self.X)]

    def loss(self, coef: list[Column], intercept: Column) -> Fraction:
        """Compute the weighted mean of squared residuals, without rounding."""
        total = Fraction(0)
        for row, targets, weight in zip(self.X, self.Y, self.omega, strict=True):
            for w, b, y in zip(coef, intercept, targets, strict=True):
                terms = (Fraction(a) * Fraction(x) for a, x in zip(w, row, strict=True))
                total += weight * (sum(terms, Fraction(b)) - Fraction(y)) ** 2
        return total / (sum(self.omega) * len(self.Y[0]))

    def least_loss(self) -> Fraction:
        """Compute the least there is, by orthogonalising the columns without rounding."""
        fitted = self.hyperparameters.get("fit_intercept", True)
        columns = [[Fraction(x) for x in column] for column in zip(*self.X, strict=True)]
        basis: list[list[Fraction]] = []
        for column in [*columns, *([[Fraction(1)] * len(self.X)] if fitted else [])]:
            rest = self._without(column, basis)
            if self._product(rest, rest):
                basis.append(rest)
        left = Fraction(0)
        for target in zip(*self.Y, strict=True):
            rest = self._without([Fraction(y) for y in target], basis)
            left += self._product(rest, rest)
        return left / (sum(self.omega) * len(self.Y[0]))

    def variance(self) -> Fraction:
        constant = Drawn([[0.0]] * len(self.X), self.Y, self.weights, {})
        return constant.least_loss()

    def _product(self, a: list[Fraction], b: list[Fraction]) -> Fraction:
        return sum((w * x * y for w, x, y in zip(self.omega, a, b, strict=True)), Fraction(0))

    def _without(self, column: list[Fraction], basis: list[list[Fraction]]) -> list[Fraction]:
        for one in basis:
            share = self._product(column, one) / self._product(one, one)
            column = [c - share * q for c, q in zip(column, one, strict=True)]
        return column


def drawn(seed: int) -> Drawn:
    """Draw a job: extreme scales, offsets, weights; dependent and constant columns."""
    r = random.Random(seed)  # noqa: S311  tests are to be drawn again
    n, d, t = r.choice([1, 2, 3, 4, 6, 9]), r.choice([1, 1, 2, 3, 4]), r.choice([1, 1, 1, 2])
    X = [list(row) for row in zip(*(_column(r, n) for _ in range(d)), strict=True)]
    if d > 1 and r.random() < 0.15:
        for row in X:
            row[1] = _finite(row[0] * r.choice([1, 2, -1]))
    Y = [list(row) for row in zip(*(_column(r, n) for _ in range(t)), strict=True)]
    if r.random() < 0.15:
        Y = [[_finite(3 * row[0] + 2)] * t for row in X]
    weights = _weights(r, n)
    return Drawn(X, Y, weights if weights and any(weights) else None, _hyperparameters(r))


def _column(r: random.Random, n: int) -> Column:
    size = r.choice([1.0, 1.0, 10.0 ** r.uniform(-12, 12), 10.0 ** r.uniform(-320, 308)])
    offset = r.choice([0.0, 0.0, 10.0 ** r.randrange(8)])
    kind = r.random()
    if kind > 0.9:
        return [size] * n
    return [
        _finite(size * (r.choice([1, r.gauss(0, 1)]) * r.gauss(0, 1) + offset)) for _ in range(n)
    ]


def _finite(value: float) -> float:
    return min(max(value, -LARGEST), LARGEST)


def _weights(r: random.Random, n: int) -> Column | None:
    kind = r.randrange(6)
    if kind == 0:
        return [float(r.choice([0, 1, 2])) for _ in range(n)]
    if kind == 1:
        return [10.0 ** r.uniform(300, 308.2) for _ in range(n)]
    if kind == 2:
        return [10.0 ** r.uniform(-323, -310) for _ in range(n)]
    return None


def _hyperparameters(r: random.Random) -> dict[str, Any]:
    optimizer = r.choice(["exact", "exact", "sgd", "sgd", "adam", "adamw", "lbfgs"])
    h: dict[str, Any] = {"optimizer": optimizer}
    if r.random() < 0.4:
        h["standardize"] = False
    if r.random() < 0.3:
        h["fit_intercept"] = False
    if r.random() < 0.15:
        h["l2"] = r.choice([0.1, 10.0 ** r.uniform(-100, 100)])
    if r.random() < 0.15 and optimizer != "lbfgs":
        h["l1"] = r.choice([0.1, 10.0 ** r.uniform(-100, 100)])
    if r.random() < 0.2:
        h |= {"validation_fraction": 0.3, "seed": r.randrange(5)}
    return h if optimizer == "exact" else h | _steps(r, optimizer)


def _steps(r: random.Random, optimizer: str) -> dict[str, Any]:
    h: dict[str, Any] = {"max_epochs": r.choice([1, 5, 40])}
    smooth = ["squared", "squared", "huber"]
    h["loss"] = r.choice(smooth if optimizer == "lbfgs" else [*smooth, "absolute", "quantile"])
    if r.random() < 0.2:
        h["dtype"] = "float32"
    if r.random() < 0.2:
        h["init"] = "torch"
    if optimizer == "lbfgs":
        return h
    if r.random() < 0.2:
        h["batch_size"] = r.choice([1, 2, 5])
    if r.random() < 0.2:
        h["learning_rate"] = 10.0 ** r.uniform(-12, 12)
    if r.random() < 0.2:
        h["schedule"] = r.choice(SCHEDULES)
    if optimizer == "sgd" and r.random() < 0.3:
        h |= {"momentum": 0.9, "nesterov": r.random() < 0.5}
    return h


def assigned(body: dict[str, Any], **more: object) -> Assignment:
    """Take a body the way of a submission, as far as a runner's order.

    Raises:
        DescendError: where it is refused.
    """
    spec = parse(to_json(body), SPEC)
    assert not isinstance(spec.dataset, str)
    ingested = JsonTable.of(spec.dataset).ingested(name=None)
    columns = admit(spec, ingested.dataset)
    assert ingested.inline is not None
    return assignment(
        ingested.inline,
        columns.features,
        columns.targets,
        hyperparameters=spec.hyperparameters.model_dump(exclude_unset=True),
        weight=columns.weight,
        missing=spec.missing,
        **more,
    )


def ended(job: Assignment, folder: Path) -> Entry:
    """Train a job to its end; what comes of it is read back from a report.

    Raises:
        DescendError: where the runner would end the job with it.
    """
    work = work_on([load(job, scratch=folder)])
    entries: list[Entry] = []
    while work.live:
        entries += work.advance(1000)
    report = folder / "report"
    write_report(report, entries, step_seconds=0.0)
    (entry,) = read_report(report).entries
    report.unlink()
    return entry


def as_float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
