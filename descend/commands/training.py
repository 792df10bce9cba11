"""`train` and `plan`: a file or a data set, and how to train."""

import shlex
from contextlib import nullcontext
from typing import Annotated, Any

import typer
from rich.text import Text

from descend.commands import data_pages, job_pages, model_pages
from descend.commands.options import SPEC, options_of, quoted, spec_of
from descend.commands.reading import READING, Source, forget, source_of, stored
from descend.commands.refusals import in_options
from descend.commands.sessions import JOB_FAILED, Session, registered
from descend.counts import counted
from descend.datasets import Dataset
from descend.errors import NOTHING_MADE, InvalidInput
from descend.jobs import Job, JobState, StopReason
from descend.needed_columns import needed_columns

__all__ = ["add_to", "end_shown", "followed", "tell_detached"]

TableOrId = Annotated[
    str, typer.Argument(metavar="FILE|-|ds_…", help="A table, - for standard input, or an id.")
]
# An id of no data set: what can be refused without the data is refused before anything is sent.
_NO_DATASET = "ds_" + "0" * 32


def add_to(app: typer.Typer) -> None:
    registered(app, more=(*READING, *SPEC))(train)
    registered(app, more=(*READING, *SPEC))(plan)


def train(
    session: Session,
    table: TableOrId,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the end.")] = False,
    **given: Any,
) -> None:
    """Train on a table's columns: progress, then coefficients with their errors.

    Where no server runs, one is run in the data folder until the command ends.
    """
    source = source_of(table, given)
    spec_of(_NO_DATASET, given)
    if not detach:
        session.use_or_start()
    job = _submitted(session, source, given)
    if detach:
        tell_detached(session, job)
    else:
        end_shown(session, followed(session, job))


def plan(session: Session, table: TableOrId, **given: Any) -> None:
    """Say what `train` with the same options would do, without training.

    The rate from which it diverges, the best one, and the epochs to each part of the way. A file is
    uploaded for the question only; to ask often, upload it and name its id.
    """
    source = source_of(table, given)
    spec_of(_NO_DATASET, given)
    session.use_or_start()
    dataset = _stored(session, source, given)
    try:
        _need_target(dataset, given)
        answer = session.client.plan(dataset=dataset, **options_of(given))
    finally:
        forget(session.client, source, dataset)
    if session.as_json:
        session.show_json(answer)
    else:
        session.out.print(data_pages.plan_page(answer))


def followed(session: Session, job: Job) -> Job:
    """Follow a job to its end; who stops looking is told that it goes on."""
    try:
        return _seen_through(session, job)
    except KeyboardInterrupt:
        session.note(_going_on(session, job), style="yellow")
        raise


def _seen_through(session: Session, job: Job) -> Job:
    """Show a job's progress until it has ended, and return it as it ended."""
    from descend.progress import Watched, shown

    if job.state.is_terminal:
        return job
    watched, seen_by_nobody = Watched(job), session.as_json and not session.err.is_terminal
    with nullcontext() if seen_by_nobody else shown(session.err) as display:
        for event in session.client.events(job.id):
            watched.learn(event)
            if display is not None:
                display.show(watched)
    return session.client.job(job.id)


def end_shown(session: Session, job: Job) -> None:
    """Show what came of a job, and end with 1 where no model did."""
    if session.as_json:
        session.show_json(job)
    else:
        _show_end(session, job)
    if job.state is not JobState.SUCCEEDED:
        raise typer.Exit(JOB_FAILED)


def _show_end(session: Session, job: Job) -> None:
    line = Text.assemble((job.id, "bold"), " ", job_pages.state_text(job))
    if job.stop_reason is not StopReason.DIVERGED:  # of which the failure tells epoch and loss
        line.append(f" after {counted(job.progress.epoch, 'epoch')}")
    session.out.print(line)
    for part in job_pages.outcome(job):
        session.out.print(part, soft_wrap=isinstance(part, Text))
    if job.model_id is not None:
        session.out.print(model_pages.summary_page(session.client.summary(job.model_id)))
        session.out.print(
            f"\nmodel {job.model_id}\n"
            f"  descend predict {job.model_id} FILE    predictions of a table's rows\n"
            f"  descend history {job.id} --plot    the curve of its losses",
            soft_wrap=True,
        )


def _submitted(session: Session, source: Source, given: dict[str, Any]) -> Job:
    dataset = _stored(session, source, given)
    try:
        _need_target(dataset, given)
        return session.client.submit(spec_of(dataset.id, given)).job
    except NOTHING_MADE:
        forget(session.client, source, dataset)
        raise


def _stored(session: Session, source: Source, given: dict[str, Any]) -> Dataset:
    """Read or upload the table; what was found on reading a file is told before it is used."""
    dataset = stored(session.client, source, needed=needed_columns(options_of(given)))
    if source.dataset_id is None:
        for warning in dataset.warnings:
            session.note(f"! {in_options(warning)}", style="yellow")
    return dataset


def _need_target(dataset: Dataset, given: dict[str, Any]) -> None:
    if not given["target"] and dataset.default_target is None:
        numbers = [column.name for column in dataset.columns if column.is_numeric]
        likely = dataset.suggested_target
        such = f" (--target {shlex.quote(quoted(likely))}?)" if likely else ""
        raise InvalidInput(
            f"name the column to predict{such}: {', '.join(numbers[:20])}", param="target"
        )


def tell_detached(session: Session, job: Job) -> None:
    if session.as_json:
        session.show_json(job)
        return
    session.out.print(Text(job.id))
    session.note(f"descend watch {job.id}    follow it\ndescend cancel {job.id}    stop it")


def _going_on(session: Session, job: Job) -> str:
    if session.runs_server:
        return (
            f"\n{job.id} is kept, with what it has learnt: it goes on with the next descend up (or"
            " descend train) in this folder."
        )
    return (
        f"\n{job.id} goes on. Follow it: descend watch {job.id}\nStop it: descend cancel {job.id}"
    )
