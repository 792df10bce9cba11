"""Training in one call, for tests."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from descend.history import COLUMNS, History
from descend.jobs import Hyperparameters
from tests.problems import RegressionProblem
from workers import training

__all__ = ["Trained", "concatenate", "problem_of", "same_bits", "train", "train_batch"]


@dataclass(frozen=True, eq=False)
class Trained:
    history: History
    outcome: training.TrainingOutcome


def problem_of(rows: RegressionProblem, **hyperparameters: object) -> training.Problem:
    """Make a problem; a seed of 0 unless one is given."""
    asked = Hyperparameters.model_validate(hyperparameters)
    return training.Problem.of_rows(
        X=rows.X,
        Y=rows.Y,
        sample_weight=rows.sample_weight,
        features=rows.features,
        targets=rows.targets,
        hyperparameters=asked.resolved(0),
    )


def train(rows: RegressionProblem, *, device: str = "cpu", **hyperparameters: object) -> Trained:
    return train_batch([problem_of(rows, **hyperparameters)], device=device)[0]


def train_batch(
    problems: Sequence[training.Problem], *, device: str = "cpu", portion: int = 10**9
) -> list[Trained]:
    """Train problems of one key to their ends, `portion` epochs a call."""
    state = training.start(problems, device, [None] * len(problems))
    parts: list[list[History]] = [[] for _ in problems]
    while state.live:
        state, segments = training.advance(state, portion)
        for segment in segments:
            parts[segment.index].append(segment.history)
    return [
        Trained(concatenate(histories), training.outcome(state, index))
        for index, histories in enumerate(parts)
    ]


def concatenate(histories: Sequence[History]) -> History:
    columns = {name: np.concatenate([getattr(h, name) for h in histories]) for name in COLUMNS}
    return History(**columns, total=histories[-1].total)


def same_bits(one: Trained, other: Trained) -> bool:
    """Whether two runs agree in every bit of history, weights and metrics."""
    columns = all(
        getattr(one.history, name).tobytes() == getattr(other.history, name).tobytes()
        for name in COLUMNS
    )
    weights = all(
        getattr(one.outcome, name).tobytes() == getattr(other.outcome, name).tobytes()
        for name in ("coef", "intercept")
    )
    rest = {field.name for field in fields(one.outcome)} - {"coef", "intercept"}
    told = all(getattr(one.outcome, name) == getattr(other.outcome, name) for name in rest)
    return columns and weights and told
