"""Data sets and plans on a terminal."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from descend.charts import number
from descend.commands.tables import FAILED, MOST_ROWS, ago, known, pairs, table_of, warnings_of
from descend.counts import counted
from descend.datasets import Dataset
from descend.plans import Plan

__all__ = ["dataset_page", "datasets_table", "plan_page"]


def datasets_table(datasets: Iterable[Dataset]) -> Table:
    table = table_of(
        "data set",
        "rows",
        "columns",
        "name",
        "when",
        right=("rows", "columns"),
        whole=("data set",),
    )
    for one in datasets:
        table.add_row(
            Text(one.id, style="bold"),
            f"{one.n_rows}",
            f"{one.n_columns}",
            Text(one.name or ""),
            ago(one.created_at),
        )
    return table


def dataset_page(dataset: Dataset) -> Group:
    """A data set's columns and warnings."""
    table = table_of(
        "column", "type", "missing", "min", "mean", "max", right=("missing", "min", "mean", "max")
    )
    for one in dataset.columns[:MOST_ROWS]:
        table.add_row(
            Text(one.name),
            str(one.dtype),
            f"{one.missing}",
            number(one.min),
            number(one.mean),
            number(one.max),
        )
    heading = pairs(
        [
            ("data set", Text(dataset.id, style="bold")),
            ("name", dataset.name),
            ("rows", f"{dataset.n_rows}"),
        ]
    )
    return Group(heading, table, *warnings_of(dataset.warnings))


def plan_page(plan: Plan) -> Group:
    """What would happen: rate and bound, how long, and what is in the way."""
    rate = number(plan.learning_rate)
    verdict = Text(f"{rate}, at or above the bound: it diverges", style=FAILED)
    rows, columns = counted(plan.n_samples, "row"), counted(plan.n_columns, "column")
    told = pairs(
        [
            ("design", f"{rows}, {columns}, rank {plan.rank or '-'}"),
            ("engine", f"{plan.engine} on {plan.device}"),
            ("condition", known(plan.condition_number)),
            ("rate", verdict if plan.diverges else known(plan.learning_rate)),
            ("bound", known(plan.stability_bound)),
            ("best rate", known(plan.best_rate)),
            ("set by", ", ".join(plan.guilty_columns)),
            ("first loss", known(plan.initial_loss)),
            ("lowest loss", known(plan.min_loss) or plan.minimum_refused),
            ("memory", f"{plan.memory_bytes / 2**20:.1f} MiB"),
            ("time", None if plan.seconds is None else f"{plan.seconds:.3g} s"),
        ]
    )
    return Group(told, *_gaps(plan), *warnings_of(plan.warnings))


def _gaps(plan: Plan) -> list[RenderableType]:
    if plan.epochs_refused:
        return [Text(plan.epochs_refused, style="dim")]
    table = table_of("part of the way left", "epochs", right=("part of the way left", "epochs"))
    for one in plan.epochs_to_gap:
        table.add_row(f"{one.gap:g}", "never" if one.epochs is None else f"{one.epochs}")
    return [table] if plan.epochs_to_gap else []
