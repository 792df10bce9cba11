"""What the residuals of a model say about it, row by row and in tests with names."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "DEFAULT_POINTS",
    "MAX_POINTS",
    "DiagnosedRow",
    "Diagnostics",
    "Quantiles",
    "ResidualTest",
    "TargetDiagnostics",
]

DEFAULT_POINTS = 2000
MAX_POINTS = 5000

Split = Literal["train", "eval"]
TestName = Literal["curvature", "breusch_pagan", "tails"]


class DiagnosedRow(BaseModel):
    """A row of the data as the model sees it. Units: the target's, unless said."""

    model_config = ConfigDict(frozen=True)

    row: int = Field(description="its number in the data set, from 1: rows left out count too")
    actual: float
    predicted: float
    residual: float = Field(description="actual - predicted")
    std_residual: float | None = Field(
        description="over its standard deviation: sd sqrt(1 - leverage), of a held-out row sd"
        " sqrt(1 + leverage); null where that is 0"
    )
    leverage: float | None = Field(description="omega x' (X' Omega X)^-1 x, 0 to 1 in training")
    cooks: float | None = Field(description="Cook's distance; null for held-out rows")
    split: Split


class Quantiles(BaseModel):
    """Exact order statistics of the standardized residuals, against a normal distribution's."""

    model_config = ConfigDict(frozen=True)

    rank: list[int] = Field(description="1 is the smallest of n")
    normal: list[float] = Field(description="normal quantile of (rank - 3/8) / (n + 1/4)")
    std_residual: list[float]


class ResidualTest(BaseModel):
    """One test: a small p speaks against what its null hypothesis says."""

    model_config = ConfigDict(frozen=True)

    name: TestName = Field(
        description="curvature: RESET, the square of the fitted values added. breusch_pagan: the"
        " studentized form of Koenker. tails: Jarque and Bera"
    )
    null: str = Field(description="what a small p speaks against")
    statistic: float | None
    distribution: str = Field(description="of the statistic, were the null hypothesis true")
    p: float | None
    refused: str | None = Field(None, description="why there is no such number")


class TargetDiagnostics(BaseModel):
    model_config = ConfigDict(frozen=True)

    target: str
    residual_sd: float | None = Field(description="root of residual sum of squares / df_residual")
    mean_residual: float
    max_abs_residual: float
    max_leverage: float | None
    max_cooks: float | None
    high_leverage: int = Field(description="training rows above twice the mean leverage")
    outliers: int = Field(description="training rows with |std_residual| > 3")
    rows: list[DiagnosedRow] = Field(description="a sample of all rows, drawn by the job's seed")
    quantiles: Quantiles | None = Field(description="of training rows; null where there are none")
    tests: list[ResidualTest] = Field(description="empty where the residuals are rounding")


class Diagnostics(BaseModel):
    """What the residuals say; of all rows but for `rows`, which is a sample."""

    model_config = ConfigDict(frozen=True)

    object: Literal["diagnostics"] = "diagnostics"
    model_id: str | None = None
    n_samples: int = Field(description="rows trained on")
    n_eval_samples: int
    df_residual: int
    rank: int
    sampled: bool = Field(description="whether rows are fewer than there are")
    targets: list[TargetDiagnostics]
    warnings: list[str] = []

    def thinned(self, model_id: str, points: int) -> "Diagnostics":
        """Take fewer rows of each target, in the order of the data."""
        return self.model_copy(
            update={
                "model_id": model_id,
                "sampled": points < self.n_samples + self.n_eval_samples or self.sampled,
                "targets": [
                    one.model_copy(
                        update={"rows": sorted(one.rows[:points], key=lambda row: row.row)}
                    )
                    for one in self.targets
                ],
            }
        )

    def numbered(self, numbers: Mapping[int, int]) -> "Diagnostics":
        """Give rows other numbers, in the same order."""

        def renumbered(of: TargetDiagnostics) -> TargetDiagnostics:
            rows = [row.model_copy(update={"row": numbers[row.row]}) for row in of.rows]
            return of.model_copy(update={"rows": rows})

        return self.model_copy(update={"targets": [renumbered(one) for one in self.targets]})
