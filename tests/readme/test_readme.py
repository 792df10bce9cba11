"""The README's blocks, run as they stand against a real stack; and its links."""

import doctest
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house.sources import ROOT

TEXT = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = "http://127.0.0.1:8000"
END = "--- end of block ---"


@dataclass(frozen=True)
class Step:
    """A block of shell and what the text below it says that it prints."""

    shell: str
    printed: str


def steps() -> list[Step]:
    blocks = [(found[1], found[2]) for found in BLOCK.finditer(TEXT)]
    following = [*blocks[1:], ("", "")]
    return [
        Step(text, after if kind == "text" else "")
        for (language, text), (kind, after) in zip(blocks, following, strict=True)
        if language == "bash"
    ]


@pytest.fixture
def path_with_curl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no curl, the few options that the README uses are served by Python."""
    if shutil.which("curl") is None:
        stand_in = tmp_path / "bin" / "curl"
        stand_in.parent.mkdir()
        program = Path(__file__).with_name("curl.py").read_text()
        stand_in.write_text(f"#!{sys.executable}\n{program}")
        stand_in.chmod(0o755)
        monkeypatch.setenv("PATH", str(stand_in.parent), prepend=os.pathsep)


@pytest.mark.usefixtures("path_with_curl")
def test_the_walk_prints_what_the_readme_says(url: str, tmp_path: Path) -> None:
    script = "".join(f"{step.shell.replace(ADDRESS, url)}\necho '{END}'\n" for step in steps())

    answer = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    printed = answer.stdout.split(f"{END}\n")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    same = doctest.OutputChecker().check_output
    for step, got in zip(steps(), printed, strict=False):
        wanted, found = step.printed.strip(), got.strip()
        assert same(wanted, found, doctest.ELLIPSIS), f"{step.shell}\nprinted\n{got}"


def test_the_python_block_runs(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    block = next(found[2] for found in BLOCK.finditer(TEXT) if found[1] == "python")

    exec(block.replace(ADDRESS, url), {})  # noqa: S102  our own text

    assert capsys.readouterr().out.count("\n") == 2


def test_the_example_of_the_lesson_runs(url: str) -> None:
    answer = subprocess.run(
        [sys.executable, ROOT / "examples" / "notebook.py", url],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "prediction at x = 4: 7.9" in answer.stdout


def test_every_command_of_make_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"\bmake ([a-z-]+)\b", TEXT)) - {"alone"} <= targets


@pytest.mark.parametrize(
    "page", ["README.md", *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md"))]
)
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text())

    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
