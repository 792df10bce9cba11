"""Sizes, names and imports of the files of the house."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.sources import PACKAGES, ROOT, imported, sources

FILES = list(sources(*PACKAGES).items())
SUBJECTLESS = {"utils", "util", "core", "common", "helpers", "base", "manager", "services", "misc"}


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path, tree in FILES:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines, its signature's and its docstring's left out."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path, _ in FILES}

    assert {path: n for path, n in lengths.items() if n > 400} == {}


def test_no_function_is_longer_than_40_lines() -> None:
    lengths = {f"{path}::{node.name}": code_lines(node) for path, node in functions()}

    assert {name: n for name, n in lengths.items() if n > 40} == {}


def test_the_median_function_is_short() -> None:
    assert statistics.median(code_lines(node) for _, node in functions()) <= 10


def test_no_function_takes_more_than_five_positional_parameters() -> None:
    crowded = {
        f"{path}::{node.name}"
        for path, node in functions()
        if len([a for a in node.args.args if a.arg not in {"self", "cls"}]) > 5
    }

    assert crowded == set()


def test_every_module_is_named_for_its_subject() -> None:
    names = {part.removesuffix(".py") for path, _ in FILES for part in path.parts}

    assert not names & SUBJECTLESS


def test_every_module_says_what_lives_in_it() -> None:
    silent = {str(path) for path, tree in FILES if tree.body and not ast.get_docstring(tree)}

    assert silent == set()


def test_imports_are_absolute() -> None:
    relative = {
        str(path)
        for path, tree in sources(*PACKAGES, "tests", "benchmarks", "examples").items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    }

    assert relative == set()


def test_the_warm_module_is_imported_by_the_fork_server_alone() -> None:
    importers = {str(path) for path, tree in FILES if "workers.warm" in imported(tree)}

    assert importers == set()


@pytest.mark.parametrize("name", ["pickle", "dill", "cloudpickle", "shelve", "marshal"])
def test_nothing_reads_or_writes_pickles(name: str) -> None:
    users = {str(path) for path, tree in FILES if name in imported(tree)}

    assert users == set()


def test_nothing_is_left_to_do() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    texts = {path: (ROOT / path).read_text() for path in sources(*PACKAGES, "tests", "examples")}

    assert {str(p) for p, text in texts.items() if any(mark in text for mark in marks)} == set()


def test_no_file_names_the_machine_it_was_written_on() -> None:
    places = [
        "/wo" + "rk/",
        "/ro" + "ot/",
        "/opt/" + "pypi",
        "/var/tmp/" + "docklab",
        "../sha" + "red",
    ]
    text_files = [
        path
        for pattern in (
            "*.py",
            "*.md",
            "*.toml",
            "*.yml",
            "*.yaml",
            "Makefile",
            "Dockerfile",
            "run",
        )
        for path in ROOT.rglob(pattern)
        if not any(part in {".venv", ".git", "node_modules"} for part in path.parts)
    ]

    found = {str(p.relative_to(ROOT)) for p in text_files for x in places if x in p.read_text()}

    assert found == set()


def test_every_public_name_of_the_engine_says_what_it_computes() -> None:
    entrance = sources("workers/training")[Path("workers/training/__init__.py")]
    public = {name.rpartition(".")[2] for name in imported(entrance)}

    silent = {
        f"{path}::{node.name}"
        for path, tree in sources("workers/training").items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in public
        if not ast.get_docstring(node)
    }

    assert silent == set()
