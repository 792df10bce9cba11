"""A client that openapi-python-client generates from our document trains and predicts.

The generator's pins conflict with ours, so it gets an environment of its own: `make client-test`.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import start_stack, stop_stack
from tests.house.sources import ROOT

GENERATOR = "openapi-python-client==0.29.1"
HERE = Path(__file__).parent

pytestmark = pytest.mark.client


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the generator, and nothing of ours."""
    folder = tmp_path_factory.mktemp("generator")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", GENERATOR]
    subprocess.run([python, *install], check=True)
    return python


@pytest.fixture(scope="session")
def generated(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a client made from the document that is kept; a warning is a failure."""
    folder = tmp_path_factory.mktemp("generated") / "client"
    order = ["generate", "--fail-on-warning", "--meta", "poetry", "--output-path", folder]
    where = ["--path", ROOT / "docs" / "openapi.json", "--config", HERE / "generator.yml"]
    program = python.with_name("openapi-python-client")
    answer = subprocess.run([program, *order, *where], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return folder


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process, address = start_stack(tmp_path_factory.mktemp("stack"))
    yield address
    stop_stack(process)


def test_a_generated_client_trains_and_predicts(python: Path, generated: Path, url: str) -> None:
    answer = subprocess.run(
        [python, "-W", "error", HERE / "lesson.py", url],
        env={"PYTHONPATH": str(generated)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "a generated client trained and predicted\n"
