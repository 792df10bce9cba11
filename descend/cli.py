"""The command line. Exit codes: 0 done, 1 job failed, 2 usage, 3 unreachable, 130 interrupted.

A command parses, calls one thing and prints; they are in descend/commands, a module for each
subject. Besides the settings classes this is the only module that reads the environment: commands
are given it as a mapping.
"""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from descend.commands import datasets, jobs, models, stacks, training

__all__ = ["app", "main"]


def _as_option(name: str) -> str:
    """Read the contract's names as options: --learning_rate is --learning-rate."""
    return name.replace("_", "-")


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"token_normalize_func": _as_option, "help_option_names": ["--help", "-h"]},
)
for part in (stacks, training, jobs, models, datasets):
    part.add_to(app)


def _show_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"descend {version('descend')}")
        raise typer.Exit


@app.callback()
def descend(
    context: typer.Context,
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Train linear regressions: exact loss histories, weights by name, jobs that are not lost."""
    context.obj = dict(os.environ)  # noqa: TID251  handed down, to commands and to children


def main() -> None:
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot write R² shows R?
    app()


if __name__ == "__main__":
    main()
