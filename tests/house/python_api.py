"""The Python part of docs/reference.md, written from the docstrings by `make reference`."""

import inspect
from collections.abc import Iterator

import descend
from descend.estimator import DescendRegressor
from descend.history import History
from tests.house.sources import ROOT

BEGIN, END = "<!-- python: begin -->\n", "<!-- python: end -->\n"
WITH_MEMBERS = (descend.Client, descend.Run, DescendRegressor, History, descend.LinearModel)
PAGE = ROOT / "docs" / "reference.md"


def first_line(thing: object) -> str:
    words = inspect.getdoc(thing) or ""
    return " ".join(words.split("\n\n")[0].split()).replace("|", r"\|")


def members(kind: type) -> Iterator[tuple[str, object]]:
    """The public methods and properties that are this project's own."""
    for name in sorted(dir(kind)):
        owner = next((base for base in kind.__mro__ if name in vars(base)), None)
        ours = owner is not None and owner.__module__.startswith("descend")
        value = inspect.getattr_static(kind, name)
        is_member = isinstance(value, property | classmethod) or inspect.isfunction(value)
        if ours and is_member and not name.startswith("_"):
            yield name, getattr(kind, name) if isinstance(value, classmethod) else value


def section() -> str:
    lines = ["| name | is |", "|---|---|"]
    for name in descend.__all__:
        lines.append(f"| `descend.{name}` | {first_line(getattr(descend, name))} |")
    for kind in WITH_MEMBERS:
        lines += ["", f"| `{kind.__name__}` | |", "|---|---|"]
        for name, member in members(kind):
            called = "" if isinstance(member, property) else "()"
            lines.append(f"| `{kind.__name__}.{name}{called}` | {first_line(member)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}{section()}{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
