"""The walkthrough names functions; each must be where it says."""

import ast
import re
from pathlib import Path

import pytest

from tests.house.sources import ROOT, sources

NAMED = re.findall(r"`([\w/]+\.py)::([\w.]+)`", (ROOT / "docs" / "walkthrough.md").read_text())


def defined(file: str) -> set[str]:
    """Return the functions of a file, methods as Class.method."""
    tree = sources(str(Path(file).parent)).get(Path(file), ast.Module([], []))
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = [
                m for m in node.body if isinstance(m, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
            names |= {f"{node.name}.{method.name}" for method in methods}
    return names


def test_the_walkthrough_names_functions() -> None:
    assert len(NAMED) > 40


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_a_function_of_the_walkthrough_exists(file: str, name: str) -> None:
    assert name in defined(file)
