"""The gradient at given weights, computed three ways, with all that a lesson draws from it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from descend.plans import Mode

__all__ = ["Difference", "Gradients", "Minimum", "SampleRow"]


class Difference(BaseModel):
    """The largest difference from the gradient by autograd."""

    model_config = ConfigDict(frozen=True)

    absolute: float
    relative: float = Field(description="over the largest component by autograd; 0 where all are 0")


class Minimum(BaseModel):
    """The certified minimum, in original units."""

    model_config = ConfigDict(frozen=True)

    loss: float = Field(description="train_loss there")
    objective: float
    coef: list[list[float]] = Field(
        description="n_targets rows of n_features; the shortest of many where rank is short"
    )
    intercept: list[float]


class SampleRow(BaseModel):
    """A row that the gradient is taken over, as training sees it."""

    model_config = ConfigDict(frozen=True)

    x: list[float] = Field(description="a number for each feature, in the coordinates of training")
    actual: list[float] = Field(description="of each target")
    predicted: list[float] = Field(description="at the weights")


class Gradients(BaseModel):
    """Gradients of the smooth objective: the data term with l2, without l1.

    Gradients, modes and the Jacobian are in the coordinates that training uses: `original`, or
    columns of mean 0 and standard deviation 1, `standardized`.
    """

    model_config = ConfigDict(frozen=True)

    object: Literal["gradients"] = "gradients"
    coordinates: Literal["original", "standardized"]
    parameters: list[str] = Field(description="features, then (intercept) where one is fitted")
    targets: list[str]
    center: list[float] = Field(
        description="of each feature: standardized it is (x - center) / scale; zeros where not"
    )
    scale: list[float] = Field(description="of each feature; ones where not standardized")
    n_samples: int
    samples: list[SampleRow] = Field(
        description="the first five rows trained on; empty: not in memory, or too wide"
    )
    dtype: Literal["float64", "float32"] = Field(description="of autograd and finite differences")
    weights: list[list[float]] = Field(
        description="where the gradient is taken: for each target a number for each parameter"
    )
    loss: float = Field(description="data term")
    objective: float = Field(description="with its penalties")
    autograd: list[list[float]] = Field(description="as weights")
    by_hand: list[list[float]] = Field(description="2 / (sum(omega) t) X' omega (X W - Y) + 2 l2 W")
    finite_differences: list[list[float]] = Field(description="central, in float64")
    by_hand_difference: Difference
    finite_differences_difference: Difference
    jacobian: list[list[float]] | None = Field(
        description="of the predictions by autograd, a row for each sample; null: too large"
    )
    eigenvalues: list[float] = Field(description="of the Hessian, largest first; empty: too large")
    minimum: Minimum | None
    modes: list[Mode]
    unreachable: float = Field(
        0.0, description="part of the gap along eigenvalues of 0, which no step shortens"
    )
    refused: str | None = Field(None, description="why minimum, modes or jacobian are missing")
