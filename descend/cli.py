"""The command line: `descend up` and `descend backup`. Exit codes: 0 done, 2 usage, 3 unreachable.

A command parses, calls one thing and prints. Besides the settings classes of the two processes,
this is the only module that reads the environment.
"""

import logging
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from descend import stack

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Data = Annotated[
    Path, typer.Option(envvar="DESCEND_DATA", help="Folder of database, artefacts and logs.")
]


def _show_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"descend {version('descend')}")
        raise typer.Exit


@app.callback()
def descend(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Train linear regressions: exact loss histories, weights by name, jobs that are not lost."""


@app.command()
def up(
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8000,
    data: Data = Path(".descend"),
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
) -> None:
    """Run the whole stack here until Ctrl-C: SQLite, broker, API, workers."""
    environment = dict(os.environ)  # noqa: TID251  handed to the children
    options = stack.Options(host, port, data.resolve(), workers, environment)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    with stack.stopped_by_signals() as stop:
        try:
            stack.run(options, stop=stop, announce=sys.stdout)
        except stack.Refused as exc:
            _complain(str(exc), exc.exit_code)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The archive to write; it must not exist yet.")],
    *,
    data: Data = Path(".descend"),
) -> None:
    """Copy database and artefacts, consistently, while the stack runs."""
    try:
        stack.check_installed()
    except stack.Refused as exc:
        _complain(str(exc), exc.exit_code)
    environment = {**os.environ, "DESCEND_DATA": str(data.resolve())}  # noqa: TID251
    command = stack.storage_command("storage.backup", str(file))
    raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)


def _complain(message: str, exit_code: int) -> None:
    Console(stderr=True).print(f"[bold red]descend:[/] {message}", highlight=False)
    raise typer.Exit(exit_code)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
