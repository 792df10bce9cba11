"""Data sets: upload, list, show; and `delete`, of anything by its id."""

from itertools import islice
from typing import Annotated

import typer
from rich.text import Text

from descend.commands import data_pages
from descend.commands.reading import READING, source_of, stored
from descend.commands.sessions import Session, registered
from descend.errors import InvalidInput
from descend.limits import DEFAULT_LIST

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    registered(app, more=READING)(upload)
    registered(app)(datasets)
    registered(app)(delete)


def upload(
    session: Session,
    table: Annotated[
        str,
        typer.Argument(
            metavar="FILE|-",
            help="CSV, Parquet, Arrow, NDJSON, JSON, npy or npz, also with .gz; - is standard"
            " input.",
        ),
    ],
    *,
    name: Annotated[str | None, typer.Option(help="Instead of the file's.")] = None,
    **given: object,
) -> None:
    """Upload a table; it is profiled, and kept until it is deleted."""
    dataset = stored(session.client, source_of(table, dict(given)), name=name)
    if session.as_json:
        session.show_json(dataset)
        return
    session.out.print(data_pages.dataset_page(dataset), soft_wrap=True)
    session.note(f"descend train {dataset.id} --target COLUMN")


def datasets(
    session: Session,
    dataset: Annotated[
        str | None, typer.Argument(metavar="[ds_…]", help="Only this one, with its columns.")
    ] = None,
    *,
    q: Annotated[str | None, typer.Option("--name", help="With this in their name.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = DEFAULT_LIST,
) -> None:
    """List data sets, newest first, or show the columns of one."""
    if dataset is not None:
        found = session.client.dataset(dataset)
        page = found if session.as_json else data_pages.dataset_page(found)
        session.show_json(found) if session.as_json else session.out.print(page, soft_wrap=True)
        return
    listed = list(islice(session.client.datasets(q=q), limit))
    if session.as_json:
        session.show_json({"object": "list", "data": listed})
    elif listed:
        session.out.print(data_pages.datasets_table(listed))
    else:
        session.note("There is no data set yet. The first one: descend upload FILE")


def delete(
    session: Session,
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="Of data sets, jobs, models.")],
) -> None:
    """Delete data sets, jobs that have ended, or models, for good."""
    client = session.client
    deletes = {"ds": client.delete_dataset, "job": client.delete_job, "mdl": client.delete_model}
    for one in ids:
        if one.partition("_")[0] not in deletes:
            raise InvalidInput(f"{one!r} is no id: ds_…, job_… or mdl_…")
    for one in ids:
        deletes[one.partition("_")[0]](one)
        if not session.as_json:
            session.out.print(Text(f"{one} is deleted"))
    if session.as_json:
        session.show_json({"object": "deleted", "ids": ids})
