"""Models of every kind of column, and rows for them: for what reads models in other forms."""

from typing import Any

import numpy as np

from descend.encoding import CategoricalInput, Encoding, NumericInput
from descend.models import LinearModel

__all__ = ["CATALOGUE", "FILLED", "LEVELS", "NO_FILL", "NUMBERS", "model_of_inputs", "records_of"]

LEVELS = ["Bonn", "Oslo", "Rome", "Zürich 'am See'"]
NO_FILL = [
    NumericInput(name="age"),
    CategoricalInput(name="town", levels=LEVELS),
    NumericInput(name="y", boolean=True),
    CategoricalInput(name="effects of town", levels=["", "a"]),
]
FILLED = [
    CategoricalInput(name="town", levels=LEVELS, fill="Rome"),
    NumericInput(name="age", fill=31.25),
    NumericInput(name="weight"),
]
NUMBERS = [NumericInput(name=f"x{i}", fill=None if i else 0.75) for i in range(7)]
TEXT_ALONE = [CategoricalInput(name="town", levels=LEVELS)]
CATALOGUE: dict[str, list[Any]] = {
    "no fill": NO_FILL,
    "filled": FILLED,
    "numbers": NUMBERS,
    "text": TEXT_ALONE,
}


def model_of_inputs(inputs: list[Any], *, n_targets: int = 2, seed: int = 0) -> LinearModel:
    encoding = Encoding(inputs=inputs)
    random = np.random.default_rng(seed)
    scale = 10.0 ** random.integers(-3, 4, len(encoding.features))
    return LinearModel(
        features=encoding.features,
        targets=[f"target {i}" for i in range(n_targets)],
        coef=(random.normal(size=(n_targets, len(scale))) * scale).tolist(),
        intercept=random.normal(size=n_targets).tolist(),
        encoding=encoding,
    )


def records_of(inputs: list[Any], n: int = 500, *, seed: int = 1) -> list[dict[str, Any]]:
    """Rows of every level; cells are missing where the model fills them."""
    random = np.random.default_rng(seed)

    def cell(column: Any) -> Any:
        if column.fill is not None and random.random() < 0.2:
            return None
        if isinstance(column, CategoricalInput):
            return column.levels[random.integers(len(column.levels))]
        return bool(random.random() < 0.5) if column.boolean else float(random.normal(scale=50))

    return [{column.name: cell(column) for column in inputs} for _ in range(n)]
