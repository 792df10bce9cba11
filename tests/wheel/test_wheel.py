"""What is published: the wheel holds `descend/` alone, and installs without what a server needs."""

import json
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from benchmarks import client as measured
from tests.house.sources import ROOT

ABSENT = {"torch", "sqlalchemy", "celery", "fastapi", "redis", "scipy", "polars", "scikit-learn"}
NEEDED = {"numpy", "pydantic", "httpx2", "rich", "typer"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*build, "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT], check=True
    )
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_client_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name) for name in archive.namelist()}

    modules = {path.relative_to(ROOT) for path in (ROOT / "descend").rglob("*.py")}
    rest = {name for name in names - modules if not name.parts[0].endswith(".dist-info")}
    assert modules <= names
    assert rest == {Path("descend/py.typed")}


def test_the_wheel_asks_for_what_the_client_imports(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        headers = HeaderParser().parsestr(archive.read(metadata).decode())

    required = [Requirement(line) for line in headers.get_all("Requires-Dist") or []]
    assert {one.name for one in required if one.marker is None} == NEEDED


@pytest.mark.wheel
def test_an_empty_environment_gets_the_client_without_a_server(tmp_path: Path) -> None:
    python = measured.empty_environment(tmp_path / "venv")
    measured.install(python)

    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
        capture_output=True,
        check=True,
    )
    names = {one["name"].lower() for one in json.loads(listed.stdout)}
    assert names >= NEEDED | {"descend"}
    assert names & ABSENT == set()
    assert_it_works(python, tmp_path)


def assert_it_works(python: Path, folder: Path) -> None:
    """Use the client there: its values, its refusal where nobody listens, its command."""
    program = """
import sys, descend
model = descend.LinearModel(features=["x"], targets=["y"], coef=[[2.0]], intercept=[0.5])
assert model.predict([[4.0]]).tolist() == [[8.5]]
assert "<table>" in model._repr_html_()
try:
    descend.Client("http://127.0.0.1:9", retries=0).train([[1.0]], [1.0])
except descend.errors.Unreachable:
    pass
try:
    descend.DescendRegressor
except ImportError as error:
    print(error)
"""
    ran = subprocess.run(
        [python, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "pip install 'descend[sklearn]'" in ran.stdout
    version = subprocess.run(
        [python.with_name("descend"), "--version"], capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("descend ")
