"""The reference's tables of commands and options, made from the commands themselves.

`python -m tests.house.commands` writes them into docs/reference.md; a test says when to.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import typer

from descend import cli
from tests.house.sources import ROOT

REFERENCE = ROOT / "docs" / "reference.md"
BEGIN, END = "<!-- commands: written by make reference -->\n", "<!-- end of commands -->\n"
SHARED = ("url", "key_file", "data", "as_json")
LIKE_TRAIN = ("train", "plan", "retry")


def main() -> None:
    text = REFERENCE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    REFERENCE.write_text(before + BEGIN + "\n" + tables() + "\n" + END + after)


def tables() -> str:
    """Every command with its options; train's, which are many, in a table of their own."""
    commands = typer.main.get_command(cli.app).commands
    shared = [one for one in options(commands["jobs"]) if one.name in SHARED]
    return "\n".join(
        [
            "| command | does |",
            "|---|---|",
            *(f"| `descend {name}` | {does(command)} |" for name, command in commands.items()),
            "",
            "Options of every command but `up` and `backup`:",
            "",
            *table(shared),
            "",
            "Options of `train` and `plan`; `retry` has all but those about reading a file:",
            "",
            *table(one for one in options(commands["train"]) if one.name not in SHARED),
            "",
        ]
    )


def does(command: Any) -> str:
    """The first sentence of its help, then its own options."""
    words = " ".join(command.help.partition("\n\n")[0].split()).removesuffix(".")
    own = [one for one in options(command) if one.name not in SHARED]
    if command.name in LIKE_TRAIN:
        return f"{words}; options below"
    if command.name in {"up", "backup"}:
        own = options(command)
    listed = ", ".join(names(one) for one in own)
    return f"{words}; {listed}" if listed else words


def options(command: Any) -> list[Any]:
    return [one for one in command.params if one.param_type_name == "option"]


def table(found: Iterable[Any]) -> Iterator[str]:
    yield "| option | takes | means |"
    yield "|---|---|---|"
    for one in found:
        takes = ", ".join(f"`{word}`" for word in (one.metavar or "").split("|") if word)
        yield f"| {names(one)} | {takes} | {one.help.replace('|', chr(92) + '|')} |"


def names(one: Any) -> str:
    return ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))


if __name__ == "__main__":
    main()
