"""The Dockerfile: linted, and held to what the design says of the images."""

import re
import subprocess
import sys
from pathlib import Path

from tests.house.sources import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
BIN = Path(sys.executable).parent


def stages() -> dict[str, list[str]]:
    """Map each stage to its lines; the first of them is its FROM."""
    found: dict[str, list[str]] = {}
    for line in TEXT.replace("\\\n", " ").splitlines():
        if start := re.match(r"FROM \S+ AS (\S+)", line):
            found[start.group(1)] = lines = []
        if line and not line.startswith("#") and found:
            lines.append(line)
    return found


def test_the_linter_finds_nothing() -> None:
    answer = subprocess.run(
        [BIN / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )

    assert (answer.returncode, answer.stdout) == (0, "")


def test_every_image_runs_as_a_user_without_rights() -> None:
    for target in ("service", "worker", "worker-cuda"):
        users = [line for line in stages()[target] if line.startswith("USER")]

        assert users == ["USER 10001:10001"]


def test_commands_are_in_exec_form_so_that_signals_arrive() -> None:
    commands = [line for line in TEXT.splitlines() if line.startswith("CMD ")]

    assert len(commands) == 3
    assert all(re.fullmatch(r'CMD \[".*"\]', line) for line in commands)


def test_no_torch_is_installed_for_the_service() -> None:
    words = " ".join(stages()["build-service"] + stages()["service"])

    assert "workers" not in words
    assert "torch" not in words


def test_everything_is_installed_at_the_versions_of_the_constraints() -> None:
    installs = [line for lines in stages().values() for line in lines if " install " in line]
    installs = [line for line in installs if line.startswith("RUN pip")]

    assert len(installs) == 3
    assert all("-c constraints.txt" in line for line in installs)


def test_the_build_needs_no_frontend_from_a_registry() -> None:
    assert "syntax=" not in TEXT


def test_the_builder_is_sent_only_what_the_images_hold() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()

    assert lines[1] == "*"
    assert "!secrets" not in lines
