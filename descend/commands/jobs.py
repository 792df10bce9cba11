"""Jobs: list, show, follow, cancel, run again, and the history of their losses."""

import csv
import sys
from itertools import islice
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from descend.charts import chart, number, sparkline
from descend.commands import job_pages, model_pages
from descend.commands.options import SPEC, options_of, pairs_of
from descend.commands.sessions import Session, registered
from descend.commands.short_ids import job_id_of
from descend.commands.tables import table_of
from descend.commands.training import end_shown, followed, tell_detached
from descend.counts import counted
from descend.errors import InvalidInput
from descend.history import COLUMNS, History
from descend.jobs import Job, JobKind, JobState
from descend.limits import DEFAULT_LIST

__all__ = ["add_to"]

JobId = Annotated[
    str, typer.Argument(metavar="JOB", help="As train and jobs print it, or its beginning.")
]
_ROWS_SHOWN = 20
_CHART_HEIGHT = 16
_WIDEST_CHART = 120


def add_to(app: typer.Typer) -> None:
    for command in (jobs, show, watch, cancel, history):
        registered(app)(command)
    registered(app, more=SPEC)(retry)


def jobs(
    session: Session,
    *,
    state: Annotated[JobState | None, typer.Option(help="Only these.")] = None,
    kind: Annotated[JobKind, typer.Option(help="Trainings, or another kind.")] = JobKind.TRAIN,
    dataset: Annotated[str | None, typer.Option(metavar="ds_…", help="Of this data set.")] = None,
    q: Annotated[str | None, typer.Option("--name", help="With this in their name.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="With this pair.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = DEFAULT_LIST,
) -> None:
    """List jobs, newest first."""
    found = session.client.jobs(
        state=state, kind=kind, dataset=dataset, q=q, metadata=pairs_of(metadata or [])
    )
    listed = list(islice(found, limit))
    if session.as_json:
        session.show_json({"object": "list", "data": listed})
    elif listed:
        session.out.print(_table(session, listed))
    else:
        session.note("There is no such job. The first one: descend train FILE --target COLUMN")


def _table(session: Session, listed: list[Job]) -> Table:
    unicode = session.out.encoding.startswith("utf")
    return job_pages.jobs_table(listed, width=session.out.width, unicode=unicode)


def show(session: Session, job: JobId) -> None:
    """Show a job: what was asked, how it stands, what came of it."""
    found = session.client.job(job_id_of(job, session.client.jobs))
    if session.as_json:
        session.show_json(found)
        return
    session.out.print(job_pages.job_page(found), soft_wrap=True)
    if found.model_id is not None:
        session.out.print(model_pages.summary_page(session.client.summary(found.model_id)))


def watch(session: Session, job: JobId) -> None:
    """Follow a job until it ends. Ctrl-C stops the looking, not the job."""
    end_shown(session, followed(session, session.client.job(job_id_of(job, session.client.jobs))))


def cancel(session: Session, job: JobId) -> None:
    """Ask a job to stop; may be repeated."""
    found = session.client.cancel(job_id_of(job, session.client.jobs))
    if session.as_json:
        session.show_json(found)
    elif found.state.is_terminal:
        session.out.print(Text(f"{found.id} has ended: ").append_text(job_pages.state_text(found)))
    else:
        session.out.print(Text(f"{found.id} is asked to stop"))


def retry(
    session: Session,
    job: JobId,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the end.")] = False,
    **given: Any,
) -> None:
    """Run a job again, as a new job, with what is given by options done differently."""
    found = session.client.retry(job_id_of(job, session.client.jobs), **options_of(given)).job
    if detach:
        tell_detached(session, found)
    else:
        end_shown(session, followed(session, found))


def history(
    session: Session,
    job: JobId,
    *,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the curve.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="All columns of every epoch.")] = False,
    start: Annotated[int, typer.Option(min=0, help="The first epoch.")] = 0,
    stop: Annotated[int | None, typer.Option(min=0, help="The epoch after the last.")] = None,
    max_points: Annotated[
        int | None, typer.Option(min=2, help="Choose so many that keep the curve's shape.")
    ] = None,
) -> None:
    """Show the loss of every epoch, before its step; also while the job runs."""
    if plot + as_csv + session.as_json > 1:
        raise InvalidInput("give one of --plot, --csv and --json")
    width = min(session.out.width, _WIDEST_CHART)
    chosen = max_points or (2 * width if plot else None if _whole(session, as_csv) else _ROWS_SHOWN)
    job_id = job_id_of(job, session.client.jobs)
    found = session.client.history(job_id, start=start, stop=stop, max_points=chosen)
    if session.as_json:
        session.show_json(dict(found.to_json()))
    elif as_csv:
        _write_csv(found)
    elif plot:
        _draw(session, found, width)
    else:
        _show_table(session, found)


def _whole(session: Session, as_csv: bool) -> bool:  # noqa: FBT001
    return as_csv or session.as_json


def _write_csv(found: History) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    columns = [getattr(found, name).tolist() for name in COLUMNS]
    for row in zip(*columns, strict=True):
        writer.writerow("" if cell != cell else repr(cell) for cell in row)  # noqa: PLR0124  NaN


def _draw(session: Session, found: History, width: int) -> None:
    if not len(found):
        session.note("No epoch has been reported yet.")
        return
    unicode = session.out.encoding.startswith("utf")
    for line in chart(found, width=width, height=_CHART_HEIGHT, unicode=unicode):
        session.out.print(line, no_wrap=True, crop=False)


def _show_table(session: Session, found: History) -> None:
    used = [name for name in COLUMNS[1:] if np.isfinite(getattr(found, name)).any()]
    table = table_of("epoch", *used, right=("epoch", *used))
    for place, epoch in enumerate(found.epoch):
        table.add_row(str(epoch), *(number(float(getattr(found, name)[place])) for name in used))
    session.out.print(table)
    curve = sparkline(found.train_loss, 40, unicode=session.out.encoding.startswith("utf"))
    session.note(f"{len(found)} of {counted(found.total, 'epoch')}  {curve}")
