"""Annotated shapes hold at run time. In a process of its own: checks come before imports."""

import subprocess
import sys

EXERCISE = """
from jaxtyping import install_import_hook

with install_import_hook("workers.training", "beartype.beartype"):
    from workers import training
    from workers.training import objective

import jaxtyping, pytest, torch
from tests.problems import random_problem
from tests.workers.training.trained import problem_of, train_batch

for place, asked in enumerate((
    {}, {"momentum": 0.9, "l2": 0.1}, {"momentum": 0.9, "nesterov": True, "l1": 0.1},
    {"optimizer": "adam", "l1": 0.1}, {"optimizer": "adamw", "fit_intercept": False},
    {"loss": "huber", "momentum": 0.5, "validation_fraction": 0.3}, {"loss": "quantile", "l1": 0.1},
    {"schedule": {"type": "cosine"}, "momentum": 0.5},
    {"validation_fraction": 0.3, "dtype": "float32"}, {"init": "torch", "standardize": False},
)):
    n_targets = 1 + 2 * (place % 2)
    rows = [random_problem("any", n_targets=n_targets, seed=seed) for seed in range(3)]
    problems = [problem_of(r, **asked, max_epochs=20 + 9 * i) for i, r in enumerate(rows)]
    train_batch(problems, portion=13)
    train_batch([problem_of(rows[0], **asked, batch_size=7, max_epochs=3)], portion=5)
    state, _ = training.advance(training.start(problems, "cpu", [None] * 3), 5)
    training.start(problems, "cpu", [training.save(state, i) for i in range(3)])

with pytest.raises(jaxtyping.TypeCheckError):
    objective.differentiate(state.design, torch.zeros(2, 3))
print("checked")
"""


def test_every_tensor_has_the_shape_it_is_annotated_with() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXERCISE], capture_output=True, text=True, timeout=120, check=False
    )

    assert done.stdout == "checked\n", done.stderr
