"""How many digits of NIST's certified coefficients are right: ours, statsmodels', scikit-learn's.

    python -m benchmarks.truth [--json FILE]

Each solves the same rows in the same run. A figure is LRE = -log10(|estimate - certified| /
|certified|) of the worst coefficient, the intercept's included; 15 is all that float64 holds.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from descend.jobs import Hyperparameters
from tests.peers import by_sklearn, by_statsmodels, digits
from tests.problems import Floats, RegressionProblem, longley, norris
from workers import training


def by_descend(rows: RegressionProblem) -> Floats:
    """As a job with optimizer "exact" does: the factor, the solution, its refinement."""
    problem = training.compress(
        training.Problem.of_rows(
            rows.X,
            rows.Y,
            None,
            features=rows.features,
            targets=rows.targets,
            hyperparameters=Hyperparameters(optimizer="exact").resolved(seed=0),
        )
    )
    _, outcome = training.solve_exactly(problem, lambda: [(rows.X, rows.Y, None)])
    return np.array([outcome.intercept[0], *outcome.coef[0]])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path, help="where to write the figures")
    chosen = options.parse_args()
    programs = {"ours": by_descend, "statsmodels": by_statsmodels, "sklearn": by_sklearn}
    figures = {}
    print(f"  {'':12}" + "".join(f"{name:>14}" for name in programs))
    for rows in (longley(), norris()):
        found = {name: digits(solve(rows), rows.name) for name, solve in programs.items()}
        print(f"  {rows.name:12}" + "".join(f"{value:14.1f}" for value in found.values()))
        figures |= {f"{rows.name}_{name}": value for name, value in found.items()}
        best = max(value for name, value in found.items() if name != "ours")
        figures[f"{rows.name}_over_best_peer"] = found["ours"] - best
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
