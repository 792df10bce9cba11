"""What is known about a fit beyond its weights: stored when a job ends, shown as a Summary."""

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from rich.console import Group

__all__ = [
    "DEFINITIONS",
    "INTERCEPT",
    "Coefficient",
    "Covariance",
    "Statistics",
    "Summary",
    "TargetStatistics",
    "TargetSummary",
]

Covariance = Literal[
    "classical",
    "HC0",
    "HC1",
    "HC2",
    "HC3",
    "kernel",
    "nid",
    "robust",
    "iid",
    "sandwich",
    "H1",
    "H2",
    "H3",
]
# Each with whose definition it is; the formulas: docs/objective.md.
DEFINITIONS: dict[Covariance, str] = {
    "classical": "errors of one variance: sigma^2 (X'X)^-1",
    "HC0": "heteroscedasticity-consistent, of the squared residuals (White)",
    "HC1": "HC0 times n / (n - rank)",
    "HC2": "HC0 with each square over 1 - leverage",
    "HC3": "HC0 with each square over (1 - leverage)^2",
    "kernel": "Powell's sandwich: the residuals' density at each row by a normal kernel"
    ' (se = "ker" of R\'s quantreg)',
    "nid": "Hendricks and Koenker's sandwich: the density at each row by the distance of two"
    ' quantiles (se = "nid" of R\'s quantreg)',
    "robust": 'as statsmodels\' QuantReg vcov="robust" with kernel "epa", bandwidth "hsheather":'
    " one density for all rows",
    "iid": 'as statsmodels\' QuantReg vcov="iid": residuals of one distribution',
    "sandwich": "Huber's sandwich of squared slopes, W^-1 X' diag(psi^2) X W^-1, which holds under"
    " unequal variances",
    "H1": "Huber's first: residuals of one distribution (cov of statsmodels' RLM)",
    "H2": "Huber's second (cov of statsmodels' RLM)",
    "H3": "Huber's third (cov of statsmodels' RLM)",
}
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
    covariance: Covariance = Field("classical", description="what is shown unless asked")
    errors_refused: dict[Covariance, str] = Field({}, description="why others are not there")
    intervals_refused: str | None = Field(None, description="why predictions have no intervals")


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
    covariance: Covariance = Field("classical", description="which standard errors these are")
    definition: str | None = Field(None, description="of these standard errors")
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
