"""Courses that the engine took: `python -m tests.workers.training.courses` records them.

The dashboard draws descent in closed form; dashboard/tests holds it to these histories.
"""

import json
from collections.abc import Callable
from pathlib import Path

from tests.problems import RegressionProblem, longley, norris, notebook, random_problem
from tests.workers.training.trained import problem_of, train
from workers.training.gradients import gradients

FIXTURE = Path(__file__).parents[3] / "dashboard" / "tests" / "courses.json"
COURSES: dict[str, tuple[Callable[[], RegressionProblem], dict[str, object]]] = {
    "notebook": (notebook, {"learning_rate": 0.01, "standardize": False, "max_epochs": 1000}),
    "notebook, nearly the bound": (
        notebook,
        {"learning_rate": 0.18, "standardize": False, "max_epochs": 300},
    ),
    "notebook, beyond the bound": (
        notebook,
        {"learning_rate": 0.185, "standardize": False, "max_epochs": 20},
    ),
    "longley": (longley, {"learning_rate": 0.2, "max_epochs": 5000}),
    "norris, ridge": (norris, {"learning_rate": 0.3, "max_epochs": 200, "l2": 0.1}),
    "momentum": (norris, {"learning_rate": 0.1, "momentum": 0.9, "max_epochs": 400}),
    "nesterov": (
        longley,
        {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "max_epochs": 2000},
    ),
    "two targets": (lambda: random_problem("two", n_targets=2), {"max_epochs": 100}),
}


def course(rows: RegressionProblem, **asked: object) -> dict[str, object]:
    """Take it, and tell what the closed form starts from."""
    run = train(rows, tol=0, **asked)
    told = gradients(problem_of(rows, **asked))
    assert told.minimum is not None
    history = run.history
    places = sorted({*range(40), *range(0, len(history), 37), len(history) - 1})
    places = [place for place in places if place < len(history)]
    objective = history.gap + told.minimum.objective
    return {
        "rate": float(history.learning_rate[0]),
        "momentum": asked.get("momentum", 0),
        "nesterov": asked.get("nesterov", False),
        "floor": told.minimum.objective,
        "unreachable": told.unreachable,
        "modes": [mode.model_dump() for mode in told.modes],
        "weights": told.weights,
        "gradient": told.by_hand,
        "center": told.center,
        "scale": told.scale,
        "minimum": told.minimum.model_dump(),
        "epoch": places,
        "objective": [float(objective[place]) for place in places],
        "train_loss": [float(history.train_loss[place]) for place in places],
    }


if __name__ == "__main__":
    told = {name: course(rows(), **asked) for name, (rows, asked) in COURSES.items()}
    FIXTURE.write_text(json.dumps(told, indent=1) + "\n")
