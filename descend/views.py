"""How results look in a notebook: HTML with the loss curve as an inline SVG, and no script.

On a terminal they look as the command line shows them (descend.commands). Whatever is written here
may come from a file: names of columns and jobs are escaped.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from rich.text import Text

from descend.charts import number
from descend.history import History
from descend.jobs import Job
from descend.models import LinearModel
from descend.statistics import Summary

__all__ = [
    "curve_svg",
    "history_html",
    "history_page",
    "job_html",
    "model_html",
    "model_page",
    "progress_html",
    "summary_html",
]

_WIDTH, _HEIGHT, _LEFT, _EDGE = 480, 180, 64, 18
_MOST_POINTS = 400
_MOST_ROWS = 50
_FIGURES = ("estimate", "std_error", "t", "p", "low", "high")
_COLOURS = {"train_loss": "#2563eb", "eval_loss": "#c2410c"}
_CELL = 'style="text-align:{};padding:2px 10px"'

Floats = NDArray[np.float64]


# -- the curve ----------------------------------------------------------------------------------


def curve_svg(history: History, *, label: str = "loss by epoch") -> str:
    """Draw the losses as lines; logarithmic where they are positive and span over a decade."""
    series = {name: getattr(history, name) for name in _COLOURS}
    drawn = {name: column for name, column in series.items() if np.isfinite(column).any()}
    if not drawn or len(history) < 2:
        return ""
    every = np.concatenate([column[np.isfinite(column)] for column in drawn.values()])
    low, high = float(every.min()), float(every.max())
    log = low > 0 and high > 10 * low
    lines = "".join(
        f'<polyline fill="none" stroke="{_COLOURS[name]}" stroke-width="1.5" points="{points}"/>'
        for name, column in drawn.items()
        for points in [_points(history.epoch, column, low, high, log=log)]
    )
    names = "".join(
        _text(_WIDTH - 4, 12 + 14 * k, name, anchor="end", colour=_COLOURS[name])
        for k, name in enumerate(drawn)
    )
    bottom = _HEIGHT - _EDGE
    frame = (
        f'<path d="M{_LEFT} {_EDGE}V{bottom}H{_WIDTH}" fill="none" stroke="currentColor"'
        ' opacity=".35"/>'
    )
    ends = (
        _text(_LEFT - 6, _EDGE + 4, number(high), anchor="end")
        + _text(_LEFT - 6, bottom, number(low), anchor="end")
        + _text(_LEFT, _HEIGHT - 4, f"{int(history.epoch[0]):,}", anchor="start")
        + _text(_WIDTH, _HEIGHT - 4, f"epoch {int(history.epoch[-1]):,}", anchor="end")
    )
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        f' width="{_WIDTH}" height="{_HEIGHT}" style="max-width:100%;color:inherit">'
        f"{frame}{lines}{names}{ends}</svg>"
    )


def _points(epoch: NDArray[np.int64], column: Floats, low: float, high: float, *, log: bool) -> str:
    """Place the points; of many, some that were there: no mean is drawn."""
    finite = np.flatnonzero(np.isfinite(column))
    if len(finite) > _MOST_POINTS:
        finite = finite[np.linspace(0, len(finite) - 1, _MOST_POINTS).round().astype(int)]
    heights, ends = column[finite], np.array([low, high])
    if log:
        heights, ends = np.log10(heights), np.log10(ends)
    across = (epoch[finite] - epoch[0]) / max(int(epoch[-1] - epoch[0]), 1)
    up = (heights - ends[0]) / (ends[1] - ends[0] or 1.0)
    x = _LEFT + across * (_WIDTH - _LEFT)
    y = _HEIGHT - _EDGE - up * (_HEIGHT - 2 * _EDGE)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def _text(x: float, y: float, words: str, *, anchor: str, colour: str = "currentColor") -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="11" fill="{colour}">'
        f"{escape(words)}</text>"
    )


# -- pages --------------------------------------------------------------------------------------


def history_html(history: History) -> str:
    shown = f"{len(history):,} of {history.total:,} epochs"
    return f"<div>{curve_svg(history)}<div>{shown}</div></div>"


def history_page(history: History) -> Group:
    from descend.charts import chart

    return Group(*chart(history, width=72, height=10))


def job_html(job: Job, history: History | None = None) -> str:
    """Show a job's state and figures, and its curve where there is one."""
    metrics = job.metrics
    facts: list[tuple[str, Any]] = [
        ("job", job.id),
        ("name", job.name),
        ("state", f"{job.state} ({job.stop_reason})" if job.stop_reason else job.state),
        ("epochs", f"{job.progress.epoch:,} of {job.progress.max_epochs:,}"),
        ("loss", metrics and metrics.train_loss),
        ("lowest there is", metrics and metrics.min_loss),
        ("R²", metrics and metrics.r2),
        ("error", job.error and job.error.message),
        *[("warning", warning) for warning in job.warnings],
    ]
    curve = curve_svg(history, label=f"loss of {job.id}") if history is not None else ""
    rows = [(name, _number(value)) for name, value in facts if value not in (None, "")]
    return f"<div>{_table((), rows)}{curve}</div>"


def progress_html(job: str, state: str, epoch: int, max_epochs: int, history: History) -> str:
    """Show how far a job is: a bar, and the curve so far."""
    bar = (
        f'<progress max="{max(max_epochs, 1)}" value="{epoch}" style="width:{_WIDTH}px"></progress>'
    )
    words = f"{escape(job)} {escape(state)}: epoch {epoch:,} of {max_epochs:,}"
    return f"<div><div>{words}</div>{bar}<br>{curve_svg(history)}</div>"


def model_html(model: LinearModel) -> str:
    heads = ("weight of", *model.targets)
    return _table(heads, [(name, *map(_number, row)) for name, row in _weights(model)])


def model_page(model: LinearModel) -> Table:
    """List the weights, by name."""
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("weight of")
    for target in model.targets:
        table.add_column(Text(target), justify="right")
    for name, row in _weights(model):
        table.add_row(Text(name), *map(_number, row))
    return table


def _weights(model: LinearModel) -> list[tuple[str, tuple[float, ...]]]:
    columns = list(zip(*model.coef, strict=True))
    rows = list(zip(model.features, columns, strict=True))
    more = len(rows) - _MOST_ROWS
    shown = [*rows[:_MOST_ROWS], ("(intercept)", tuple(model.intercept))]
    return [*shown, (f"and {more} more", ())] if more > 0 else shown


def summary_html(summary: Summary) -> str:
    heads = ("", *(figure.replace("_", " ") for figure in _FIGURES))
    parts = [f"<p>No standard errors: {escape(summary.refused)}</p>"] if summary.refused else []
    for target in summary.targets:
        rows = [
            (one.name, *(_number(getattr(one, figure)) for figure in _FIGURES))
            for one in target.coefficients[:_MOST_ROWS]
        ]
        fit = f"R² {_number(target.r2)}, residual sd {_number(target.residual_sd)}"
        if target.refused and not summary.refused:
            fit += f". No standard errors: {escape(target.refused)}"
        parts.append(f"<h4>{escape(target.target)}</h4>{_table(heads, rows)}<p>{fit}</p>")
    if summary.definition:
        errors = f"standard errors: {summary.covariance}, {summary.definition}"
        parts.append(f"<p>{escape(errors)}</p>")
    return f"<div>{''.join(parts)}</div>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        styled = (_CELL.format("left" if place == 0 else "right") for place in range(len(cells)))
        parts = (f"<{tag} {s}>{escape(c)}</{tag}>" for s, c in zip(styled, cells, strict=True))
        return f"<tr>{''.join(parts)}</tr>"

    head = f"<thead>{line(heads, 'th')}</thead>" if heads else ""
    return f"<table>{head}<tbody>{''.join(line(row, 'td') for row in rows)}</tbody></table>"


def _number(value: object) -> str:
    if value is None:
        return "-"
    return number(value) if isinstance(value, float) else str(value)
