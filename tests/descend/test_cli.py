"""The command line where no server is needed, or none is there."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from descend import cli
from descend.hyperparameters import Hyperparameters
from descend.jobs import JobSpec
from tests.descend.conftest import PROGRAM, Command, environment
from tests.house.sources import ROOT
from tests.servers import free_port

# The client without the server's packages: the checkout is taken off the path, a copy put on it.
CLIENT_ALONE = """
import sys
sys.path = [sys.argv[1], *(p for p in sys.path if p not in ("", sys.argv[2]))]
sys.argv = ["descend", *sys.argv[3:]]
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
from descend.cli import main
main()
"""


def option_names(command: str) -> set[str]:
    found = cli.typer.main.get_command(cli.app).commands[command]
    return {name for one in found.params for name in (*one.opts, *one.secondary_opts)}


@pytest.mark.parametrize("command", ["train", "plan"])
def test_every_field_of_a_job_is_an_option(command: str) -> None:
    fields = {*JobSpec.model_fields, *Hyperparameters.model_fields}
    fields -= {"dataset", "hyperparameters", "deterministic"}

    wanted = {f"--{name.replace('_', '-')}" for name in fields}

    assert wanted <= option_names(command)
    assert {"--lr", "--epochs", "--validation", "--no-standardize"} <= option_names(command)


def test_a_server_that_does_not_answer_is_exit_code_3_and_says_what_to_do(run: Command) -> None:
    ended = run("jobs", "--url", f"http://127.0.0.1:{free_port()}")

    assert ended.code == 3
    assert ended.out == ""
    assert "no Descend server answers" in ended.err
    assert "DESCEND_URL" in ended.err


def test_an_error_is_json_where_json_is_asked_for(run: Command) -> None:
    ended = run("jobs", "--json", "--url", f"http://127.0.0.1:{free_port()}")

    assert ended.code == 3
    assert ended.out == ""
    assert json.loads(ended.err)["error"]["code"] == "unreachable"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("train", "cars.csv", "--target", "mpg", "--lr", "-1"),
            "--learning-rate is a number",
        ),
        (("train", "cars.csv", "--target", "mpg", "--learning_rate", "fast"), ", or auto"),
        (("train", ".", "--target", "mpg"), ". is a folder"),
        (("train", "cars.csv", "--target", "mpg", "--schedule", "up"), "--schedule is an object"),
        (("train", "cars.csv", "--target", "mpg", "--epochs", "many"), "--max-epochs:"),
        (("train", "cars.csv", "--target", "mpg", "--optimizer", "exact", "--lr", "1"), "not used"),
        (("train", "cars.csv", "--target", "mpg", "--metadata", "owner"), "key=value"),
        (("train", "nothing.csv", "--target", "mpg"), "there is no file nothing.csv"),
        (("train", "-", "--target", "mpg"), "standard input is empty"),
        (("train", "cars.csv", "--lernrate", "1"), "No such option"),
        (("history", "job_1", "--plot", "--csv"), "one of --plot, --csv and --json"),
        (("delete", "cars.csv"), "is no id"),
    ],
)
def test_what_cannot_be_is_refused_with_exit_code_2_before_anything_is_sent(
    run: Command, arguments: tuple[str, ...], words: str
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"

    ended = run(*arguments, env={"DESCEND_URL": nobody})

    assert (ended.code, ended.out) == (2, "")
    assert words in ended.words
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        (("jobs", "--limit", "0"), "limit"),
        (("jobs", "--state", "nope"), "state"),
        (("jobs", "--nope"), None),
        (("show",), "job"),
    ],
)
def test_with_json_a_wrong_option_is_one_line_of_json(
    run: Command, arguments: tuple[str, ...], param: str | None
) -> None:
    ended = run(*arguments, "--json")

    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    told = json.loads(ended.err)["error"]
    assert (told["code"], told["param"]) == ("usage", param)
    assert told["message"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:80x", "127.0.0.1:1", "nonsense"])
def test_an_address_that_is_none_is_told_without_a_traceback(run: Command, url: str) -> None:
    ended = run("jobs", "--url", url)

    assert ended.code in {2, 3}
    assert "Traceback" not in ended.err


def test_a_key_file_that_is_not_there_is_named(run: Command) -> None:
    ended = run("jobs", "--key-file", "missing.key")

    assert ended.code == 2
    assert "missing.key" in ended.err


def test_the_completion_script_of_a_shell_is_printed(folder: Path) -> None:
    answer = subprocess.run(
        [PROGRAM],
        env=environment(_DESCEND_COMPLETE="source_bash"),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )

    assert "complete -o default -F _descend_completion descend" in answer.stdout


def test_options_are_completed(folder: Path) -> None:
    asked = {
        "_DESCEND_COMPLETE": "complete_bash",
        "COMP_WORDS": "descend train cars.csv --learn",
        "COMP_CWORD": "3",
    }

    answer = subprocess.run(
        [PROGRAM],
        env=environment(**asked),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )

    assert answer.stdout.split() == ["--learning-rate"]


def test_the_client_alone_says_how_to_get_a_server(tmp_path: Path, folder: Path) -> None:
    shutil.copytree(ROOT / "descend", tmp_path / "alone" / "descend")
    words = [str(tmp_path / "alone"), str(ROOT), "train", "cars.csv", "--target", "mpg"]

    answer = subprocess.run(
        [sys.executable, "-P", "-c", CLIENT_ALONE, *words],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 3, answer.stderr
    assert "docker compose up" in answer.stderr
    assert "make up" in answer.stderr
