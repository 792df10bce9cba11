"""The server itself: `up`, `backup`; and what is known of one: `status`, `limits`."""

import logging
import subprocess
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from descend.commands.sessions import Session, complain, registered
from descend.commands.tables import pairs
from descend.jobs import JobState

if TYPE_CHECKING:
    from descend.stack import Stack

__all__ = ["add_to"]

Data = Annotated[
    Path, typer.Option(envvar="DESCEND_DATA", help="Folder of database, artefacts and logs.")
]


def add_to(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(backup)
    registered(app)(status)
    registered(app)(limits)


def up(
    context: typer.Context,
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8000,
    data: Data = Path(".descend"),
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    open_: Annotated[
        bool, typer.Option("--open", help="Show the dashboard in the browser.")
    ] = False,
) -> None:
    """Run the whole stack here until Ctrl-C: SQLite, broker, API, workers."""
    from descend import stack

    options = stack.Options(host, port, data.resolve(), workers, dict(context.obj))

    def announce(running: "Stack") -> None:
        _announce(running, open_=open_)

    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    with stack.stopped_by_signals() as stop:
        try:
            stack.run(options, stop=stop, announce=announce)
        except stack.Refused as error:
            complain(str(error), error.exit_code)


def _announce(running: "Stack", *, open_: bool) -> None:
    # One line, first, and so written since the beginning: programs wait for it.
    typer.echo(f"Descend is ready at {running.url}")
    typer.echo(f"  data   {running.options.data} (kept; a later start finds it)")
    typer.echo(f"  logs   {running.logs}")
    typer.echo("  try    descend train FILE --target COLUMN")
    typer.echo("  stop   Ctrl-C")
    sys.stdout.flush()
    if open_ and not webbrowser.open(running.url):
        typer.echo(f"There is no browser here that can be opened: go to {running.url}", err=True)


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The archive to write; it must not exist yet.")],
    *,
    data: Data = Path(".descend"),
) -> None:
    """Copy database and artefacts, consistently, while the stack runs."""
    from descend import stack

    try:
        stack.check_installed()
    except stack.Refused as error:
        complain(str(error), error.exit_code)
    environment = {**context.obj, "DESCEND_DATA": str(data.resolve())}
    command = stack.storage_command("storage.backup", str(file))
    raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)


def status(session: Session) -> None:
    """Say which server it is, which of its parts work and what it does just now."""
    client, busy = session.client, (JobState.RUNNING, JobState.QUEUED)
    ready = client.ready()
    kept = ready.status != "not_ready"
    counts = {s.value: sum(1 for _ in client.jobs(state=s)) for s in busy} if kept else {}
    if session.as_json:
        told = ready.model_dump(mode="json")
        session.show_json({"url": client.url, **told, "jobs": counts})
        return
    heading = [("server", client.url), ("status", ready.status.replace("_", " "))]
    numbers = [(state, str(n)) for state, n in counts.items()]
    session.out.print(pairs([*heading, *ready.parts.items(), *numbers]), soft_wrap=True)


def limits(session: Session) -> None:
    """Show what the server accepts at most."""
    found = session.client.limits()
    if session.as_json:
        session.show_json(found)
        return
    told = {name: info.description or name for name, info in type(found).model_fields.items()}
    session.out.print(pairs((words, f"{getattr(found, name):,}") for name, words in told.items()))
