"""What a model says of new rows, as the wire has it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Interval", "Predictions"]


class Interval(BaseModel):
    """The ends of an interval about each prediction."""

    model_config = ConfigDict(frozen=True)

    level: float
    kind: Literal["prediction", "mean"]
    weight: float | None = Field(
        None,
        description="of a prediction: the weight that the new row is taken to have, so that its"
        " variance is residual_sd^2",
    )
    low: list[list[float]] = Field(description="as y")
    high: list[list[float]]


class Predictions(BaseModel):
    """What the model says: one row for each row, one number for each target."""

    model_config = ConfigDict(frozen=True)

    object: Literal["predictions"] = "predictions"
    model_id: str
    targets: list[str]
    y: list[list[float]]
    interval: Interval | None = None
