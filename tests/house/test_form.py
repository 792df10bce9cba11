"""Sizes, names and imports of the files of the house."""

import ast
import os
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.sources import PACKAGES, ROOT, imported, sources

WRITTEN = {".py", ".md", ".toml", ".yml", ".yaml"}
SUBJECTLESS = {"utils", "util", "core", "common", "helpers", "base", "manager", "services", "misc"}


def files() -> Iterator[tuple[Path, ast.Module]]:
    yield from sources(*PACKAGES).items()


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path, tree in files():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines, its signature's and its docstring's left out."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def text_files() -> Iterator[Path]:
    """All that a person may have written, installed and generated folders left out."""
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [name for name in inner if name not in {".venv", ".git", "node_modules"}]
        for name in names:
            path = Path(folder, name)
            if path.suffix in WRITTEN or name in {"Makefile", "Dockerfile", "run"}:
                yield path


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path, _ in files()}

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
    names = {part.removesuffix(".py") for path, _ in files() for part in path.parts}

    assert not names & SUBJECTLESS


def test_every_module_says_what_lives_in_it() -> None:
    silent = {str(path) for path, tree in files() if tree.body and not ast.get_docstring(tree)}

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
    importers = {str(path) for path, tree in files() if "workers.warm" in imported(tree)}

    assert importers == set()


@pytest.mark.parametrize("name", ["pickle", "dill", "cloudpickle", "shelve", "marshal"])
def test_nothing_reads_or_writes_pickles(name: str) -> None:
    users = {str(path) for path, tree in files() if name in imported(tree)}

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
    found = {
        str(path.relative_to(ROOT))
        for path in text_files()
        for place in places
        if place in path.read_text()
    }

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
