"""Models on a terminal: the list, and coefficients with their errors and intervals."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from descend.charts import number
from descend.commands.tables import MOST_ROWS, ago, table_of
from descend.models import LinearModel
from descend.statistics import Summary, TargetSummary

__all__ = ["models_table", "summary_page"]


def summary_page(summary: Summary) -> Group:
    """The coefficients by target, with errors and intervals, or why there are none."""
    told: list[RenderableType] = []
    for target in summary.targets:
        told += [Text(f"\n{target.target}", style="bold"), _coefficients(summary, target)]
        told.append(_fit(summary, target))
        if target.refused and not summary.refused:
            told.append(Text(f"No standard errors: {target.refused}", style="yellow"))
    if summary.refused:
        told.append(Text(f"No standard errors: {summary.refused}", style="yellow"))
    elif summary.definition:
        errors = f"standard errors: {summary.covariance}, {summary.definition}"
        told.append(Text(errors, style="dim"))
    return Group(*told)


def _coefficients(summary: Summary, target: TargetSummary) -> Table:
    level = f"{100 * summary.level:.4g} % from"
    heads = ("std error", "t", "p", level, "to")
    shown = [] if summary.refused else heads
    table = table_of("", "estimate", *shown, right=("estimate", *heads))
    for one in target.coefficients[:MOST_ROWS]:
        cells = (number(one.std_error), number(one.t), _p(one.p), number(one.low), number(one.high))
        table.add_row(Text(one.name), number(one.estimate), *(cells if shown else ()))
    if (more := len(target.coefficients) - MOST_ROWS) > 0:
        table.caption = f"and {more} more: --json has all"
    return table


def _p(value: float | None) -> str:
    return "-" if value is None else "< 1e-4" if value < 1e-4 else f"{value:.4f}"


def _fit(summary: Summary, target: TargetSummary) -> Text:
    named = {
        "R²": target.r2,
        "adjusted R²": target.adjusted_r2,
        "residual sd": target.residual_sd,
        "F": target.f,
        "AIC": target.aic,
    }
    parts = [f"{name} {number(value)}" for name, value in named.items() if value is not None]
    return Text("  ".join([*parts, f"rows {summary.n_samples}"]), style="dim")


def models_table(models: Iterable[LinearModel], *, wide: bool) -> Table:
    more = ("job", "when") if wide else ()
    right = ("features", "R²")
    table = table_of("model", "targets", "features", "R²", *more, right=right, whole=("model",))
    for model in models:
        r2 = model.metrics.get("r2")
        job = model.provenance.job_id if model.provenance else ""
        cells = (job, ago(model.created_at) if model.created_at else "")
        table.add_row(
            Text(model.id or "", style="bold"),
            Text(", ".join(model.targets)),
            str(len(model.features)),
            number(None if r2 is None else float(r2)),
            *(cells if wide else ()),
        )
    return table
