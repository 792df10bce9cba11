"""The blocks of the README and of every page in docs/, run as they stand; and their links."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ADDRESS, Shell, is_as_told, run_python, steps
from tests.house.sources import ROOT

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
WALKS = [page for page in PAGES if steps(page)]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", WALKS, ids=name)
def test_a_page_prints_what_it_says(page: Path, url: str, shell: Shell) -> None:
    names: dict[str, Any] = {"__name__": "__page__"}

    for step in steps(page):
        text = step.text.replace(ADDRESS, url)
        got = shell.run(text) if step.language == "bash" else run_python(text, names)

        told = step.printed
        where = f"{name(page)}:{step.line} printed\n{got}"
        assert told is None or is_as_told(told.replace(ADDRESS, url), got), where


def test_the_readme_is_among_them() -> None:
    assert PAGES[0] in WALKS


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_of_make_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)\b|^make ([a-z-]+)\b", page.read_text(), re.MULTILINE))

    assert {one or other for one, other in named} <= targets


def test_the_index_leads_to_every_page() -> None:
    """Decisions have an index of their own."""
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES[1:]}
    wanted = {page for page in pages if not page.startswith("decisions/")} - {"README.md"}

    assert wanted <= set(re.findall(r"\]\(([^)#:]+)\)", index))
