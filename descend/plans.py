"""What would happen if a job were trained, without training it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["GAPS", "GapEpochs", "Mode", "Plan"]

# Parts of the first epoch's gap for which a plan tells the epoch.
GAPS = (1e-1, 1e-2, 1e-3, 1e-6, 1e-9)


class GapEpochs(BaseModel):
    """When the objective will be so near to its minimum."""

    model_config = ConfigDict(frozen=True)

    gap: float = Field(description="as a part of the first epoch's gap")
    epochs: int | None = Field(
        description="the first epoch at which history's gap is at most that; null: never, or not"
        " known, as epochs_refused says"
    )


class Mode(BaseModel):
    """One eigenvector of the Hessian, along which gradient descent goes its own way."""

    model_config = ConfigDict(frozen=True)

    eigenvalue: float
    excess: float = Field(description="the mode's part in the objective's distance from its least")
    vector: list[float] | None = Field(
        None,
        description="unit vector over parameters, in the coordinates that are named; null where"
        " there are too many",
    )


class Plan(BaseModel):
    """What would happen.

    For plain gradient descent at a constant rate the objective before step k is exactly
    `min_objective + unreachable + sum_i excess_i (1 - rate * eigenvalue_i)^(2 k)`.
    """

    model_config = ConfigDict(frozen=True)

    object: Literal["plan"] = "plan"
    engine: str = Field(description="what would compute the epochs")
    device: str
    n_samples: int = Field(description="rows trained on")
    n_eval_samples: int = 0
    n_columns: int = Field(description="columns of the design after encoding, the intercept's too")
    rank: int | None = Field(description="columns that are independent")
    condition_number: float | None = Field(
        description="of the design with columns of equal length; null where it has not full rank"
    )
    hessian_condition: float | None = Field(
        description="largest over smallest eigenvalue that is not 0: sets the speed of descent"
    )
    modes: list[Mode] = Field(
        description="largest eigenvalue first; empty where the problem is too large to tell"
    )
    unreachable: float = Field(
        0.0, description="part of the initial gap along eigenvalues of 0, which no step shortens"
    )
    initial_loss: float | None = Field(description="train_loss of epoch 0")
    initial_objective: float | None = Field(description="with its penalties")
    min_objective: float | None = Field(description="the lowest objective there is")
    min_loss: float | None = Field(description="train_loss there")
    minimum_refused: str | None = Field(None, description="why no minimum is told")
    learning_rate: float | None = Field(description='what "auto" becomes, or the rate given')
    stability_bound: float | None = Field(
        description="the rate at and above which full-batch descent diverges on squared loss"
    )
    best_rate: float | None = Field(description="at which the slowest mode converges fastest")
    diverges: bool = Field(description="the rate is at or above the bound")
    epochs_to_gap: list[GapEpochs]
    epochs_refused: str | None = Field(
        None, description="why epochs cannot be told: the closed form is of plain gradient descent"
    )
    guilty_columns: list[str] = Field(description="columns that set the bound, largest part first")
    direction: dict[str, float] = Field(
        description="largest parts of the eigenvector of the largest eigenvalue, by column"
    )
    memory_bytes: int = Field(description="estimate: rows as read, the design, the history")
    seconds: float | None = Field(
        None, description="estimate: a few epochs were timed; null where none are taken"
    )
    warnings: list[str] = []
