"""What is known about a fit beyond its weights: stored when a job ends, shown as a Summary."""

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from rich.console import Group

__all__ = [
    "INTERCEPT",
    "Coefficient",
    "Covariance",
    "Statistics",
    "Summary",
    "TargetStatistics",
    "TargetSummary",
]

Covariance = Literal["classical", "HC0", "HC1", "HC2", "HC3"]
INTERCEPT = "(intercept)"


class TargetStatistics(BaseModel):
    """One target's figures; null where there is no such number."""

    model_config = ConfigDict(frozen=True)

    target: str
    residual_sd: float | None = Field(description="root of residual sum of squares / df_residual")
    r2: float | None = Field(
        description="1 - RSS / TSS; about the mean where there is an intercept or the columns make"
        " one, else about 0"
    )
    adjusted_r2: float | None
    f: float | None = Field(None, description="F statistic of all coefficients but the constant")
    f_p: float | None = None
    log_likelihood: float | None = None
    aic: float | None = None
    bic: float | None = None
    std_errors: dict[Covariance, list[float | None]] = Field(
        {}, description="of each covariance that is known, in the order of names"
    )
    refused: str | None = Field(None, description="why this target has no inference")


class Statistics(BaseModel):
    """A fit's statistics. `refused` says why inference does not exist, where it does not."""

    model_config = ConfigDict(frozen=True)

    names: list[str] = Field(description="features, then (intercept) where one was fitted")
    n_samples: int
    df_model: int = Field(description="rank without the constant")
    df_residual: int
    rank: int
    condition_number: float | None = Field(description="of the column-scaled design")
    vif: list[float | None] = Field([], description="variance inflation, one for each feature")
    targets: list[TargetStatistics]
    refused: str | None = None
    robust_refused: str | None = Field(None, description="why HC0 to HC3 are not there")


class Coefficient(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    estimate: float
    std_error: float | None = None
    t: float | None = None
    p: float | None = Field(None, description="two-sided")
    low: float | None = Field(None, description="lower end of the confidence interval")
    high: float | None = None
    vif: float | None = None


class TargetSummary(BaseModel):
    model_config = ConfigDict(frozen=True)

    target: str
    coefficients: list[Coefficient]
    refused: str | None = Field(None, description="why this target has no errors, t and p")
    residual_sd: float | None = None
    r2: float | None = None
    adjusted_r2: float | None = None
    f: float | None = None
    f_p: float | None = None
    log_likelihood: float | None = None
    aic: float | None = None
    bic: float | None = None


class Summary(BaseModel):
    """Standard errors, tests and intervals; or `refused`, why they do not exist."""

    model_config = ConfigDict(frozen=True)

    object: Literal["summary"] = "summary"
    model_id: str
    refused: str | None = None
    covariance: Covariance = "classical"
    level: float = 0.95
    n_samples: int
    df_model: int | None = None
    df_residual: int | None = None
    rank: int | None = None
    condition_number: float | None = None
    targets: list[TargetSummary]

    def __rich__(self) -> "Group":
        from descend.commands.model_pages import summary_page

        return summary_page(self)

    def _repr_html_(self) -> str:
        from descend.views import summary_html

        return summary_html(self)
