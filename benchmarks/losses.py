"""Huber, absolute and quantile loss over HTTP: how near 200 random problems come to their minima.

    python -m benchmarks.losses [--json FILE] [--problems 200]

Tables of 30 to 2,000 rows and 1 to 10 columns with offsets of 0 to 1e6 and scales of 1e-3 to 1e6:
normal and heavy-tailed noise, none at all, ties, columns that nearly repeat each other. Each is
sent to an embedded stack that the script starts, as one job with all defaults and one of
`optimizer: "exact"`, with one of five losses in turn. The peers are SciPy's HiGHS (absolute,
quantile) and Newton's steps (huber), brought to the minimum in numbers of 64 bits
(`benchmarks.minima`), in which the loss of all weights is computed. A gap is a part of
max(minimum, 1e-9 of the loss of the best constant).

What the digits allow: weights are float64, so that an offset of 1e6 beside a scale of 1e-3 leaves
an intercept seven digits of what varies. `rounding` is the loss of predictions that are off by a
unit in the last place of every coefficient and of the intercept; "but for rounding" is the gap
less that. Beside it stands what HiGHS itself reaches in float64 on the table as it is.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.minima import Floats, Table, by_highs, least, loss_of
from benchmarks.quantiles import stack
from descend.client import Client
from descend.runs import Run

LOSSES: dict[str, dict[str, Any]] = {
    "huber": {"loss": "huber"},
    "absolute": {"loss": "absolute"},
    "quantile 0.05": {"loss": "quantile", "quantile": 0.05},
    "quantile 0.5": {"loss": "quantile", "quantile": 0.5},
    "quantile 0.95": {"loss": "quantile", "quantile": 0.95},
}
KINDS = ("normal", "heavy", "perfect", "ties", "collinear")
NEAR_NOTHING = 1e-9


def noise_of(kind: str, n: int, rng: np.random.Generator) -> Floats:
    if kind == "perfect":
        return np.zeros(n)
    if kind == "ties":
        return rng.integers(-3, 4, size=n).astype(np.float64)
    if kind == "heavy":
        return rng.standard_t(1.5, size=n)
    return rng.exponential(size=n) if kind == "collinear" else rng.normal(size=n)


def drawn(seed: int) -> tuple[Floats, Floats, str, float, float]:
    rng = np.random.default_rng([10, seed])
    kind = KINDS[seed // 5 % 5]
    n, d = round(10 ** rng.uniform(np.log10(30), np.log10(2000))), int(rng.integers(1, 11))
    scale, offset = 10.0 ** rng.uniform(-3, 6), float(rng.choice([0.0, 1e3, 1e4, 1e6]))
    X = rng.normal(size=(n, d))
    if kind == "collinear" and d > 1:
        X[:, 1:] = X[:, :1] + 10.0 ** rng.uniform(-5, -1) * X[:, 1:]
    if kind == "ties":
        X = np.round(3 * X)
    noise = noise_of(kind, n, rng)
    slopes = rng.integers(-3, 4, size=d) if kind == "ties" else rng.normal(size=d)
    units = 10.0 ** rng.uniform(-3, 6, size=d)
    X = units * (X + rng.choice([0.0, 1.0, 100.0], size=d))
    y = scale * (X @ (slopes / units) + noise) + offset
    return X, y, kind, offset, scale


def table_of(X: Floats, y: Floats, name: str) -> Table:
    asked = LOSSES[name]
    if asked["loss"] == "huber":
        return Table(X, y, 1.0, 1.0, 1.0)
    if asked["loss"] == "absolute":
        return Table(X, y, 1.0, 1.0, None)
    level = float(str(asked["quantile"]))
    return Table(X, y, level, 1 - level, None)


@dataclass(frozen=True)
class Reached:
    """What came of one problem in one way; gap and rounding are parts of what a gap is one of."""

    kind: str
    gap: float
    rounding: float
    converged: bool | None
    stop_reason: str

    @property
    def beyond_digits(self) -> float:
        return self.gap - self.rounding


def reached(table: Table, kind: str, lowest: np.longdouble, run: Run) -> Reached:
    run.wait(timeout_seconds=300)
    job, model = run.job, run.model
    if job.metrics is None or job.stop_reason is None:
        raise RuntimeError(f"{job.id} is {job.state}")
    coef, intercept = np.asarray(model.coef)[0], float(np.asarray(model.intercept)[0])
    unit = max(lowest, np.longdouble(NEAR_NOTHING * table.loss_of_constant))
    gap = float((loss_of(table, coef, intercept) - lowest) / unit)
    rounding = float(table.rounding(coef, intercept) / unit)
    return Reached(kind, gap, rounding, job.metrics.converged, str(job.stop_reason))


def by_peer(table: Table, lowest: np.longdouble) -> float | None:
    """The gap that HiGHS leaves on the table as it is, in float64; None of huber loss."""
    found = None if table.delta is not None else by_highs(table)
    if found is None:
        return None
    unit = max(lowest, np.longdouble(NEAR_NOTHING * table.loss_of_constant))
    return float((loss_of(table, found[:-1], float(found[-1])) - lowest) / unit)


def all_reached(client: Client, count: int) -> Iterator[tuple[Reached, Reached, float | None]]:
    """Give what the defaults and `exact` reached of each problem, and HiGHS on the table as is."""
    names, sent = list(LOSSES), []
    for seed in range(count):
        X, y, kind, *_ = drawn(seed)
        name = names[seed % len(names)]
        asked = LOSSES[name]
        runs = [client.train(X, y, **asked), client.train(X, y, optimizer="exact", **asked)]
        sent.append((table_of(X, y, name), kind, runs))
    for table, kind, runs in sent:
        lowest = least(table)
        by_default, exact = (reached(table, kind, lowest, run) for run in runs)
        yield by_default, exact, by_peer(table, lowest)


def figures_of(ways: Sequence[tuple[Reached, Reached, float | None]]) -> dict[str, float]:
    by_default, exact = [one for one, _, _ in ways], [one for _, one, _ in ways]
    peer = [gap for _, _, gap in ways if gap is not None]
    said = [one for one in (*by_default, *exact) if one.converged]
    told = {
        "problems": len(ways),
        "within_1_percent": sum(one.gap <= 0.01 for one in by_default),
        "within_1_percent_but_for_rounding": sum(one.beyond_digits <= 0.01 for one in by_default),
        "worst_default": max(one.gap for one in by_default),
        "worst_default_but_for_rounding": max(one.beyond_digits for one in by_default),
        "converged_default": sum(one.converged is True for one in by_default),
        "largest_gap_of_converged": max(one.gap for one in said),
        "stop_reason_and_converged_disagree": sum(
            (one.stop_reason == "converged") != (one.converged is True) for one in by_default
        ),
        "exact_within_1e-9": sum(one.gap <= 1e-9 for one in exact),
        "exact_within_1e-9_but_for_rounding": sum(one.beyond_digits <= 1e-9 for one in exact),
        "worst_exact": max(one.gap for one in exact),
        "worst_exact_with_noise": max(one.gap for one in exact if one.kind != "perfect"),
        "worst_exact_but_for_rounding": max(one.beyond_digits for one in exact),
        "lowest": min(one.gap for one in (*by_default, *exact)),
        "highs_as_it_is": len(peer),
        "highs_within_1e-9": sum(gap <= 1e-9 for gap in peer),
        "highs_within_1_percent": sum(gap <= 0.01 for gap in peer),
    }
    told["part_within_1_percent"] = told["within_1_percent_but_for_rounding"] / len(ways)
    told["part_exact_within_1e-9"] = told["exact_within_1e-9_but_for_rounding"] / len(ways)
    told["gap_allowed_over_largest_converged"] = 1e-6 / max(told["largest_gap_of_converged"], 1e-99)
    return told


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--problems", type=int, default=200)
    given = parser.parse_args()
    ways = []
    with (
        tempfile.TemporaryDirectory() as folder,
        stack(Path(folder) / "data") as url,
        Client(url) as client,
    ):
        for seed, way in enumerate(all_reached(client, given.problems)):
            ways.append(way)
            by_default, exact, _ = way
            if by_default.gap > 0.01 or exact.beyond_digits > 1e-9:
                print(f"problem {seed}: {by_default} {exact}", flush=True)
    figures = figures_of(ways)
    for name, figure in figures.items():
        print(f"{name}: {figure:.3g}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
