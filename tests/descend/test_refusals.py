"""Refusals in the command line's words, and in one sentence where a field takes several kinds."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from descend.choices import of_several
from descend.commands.refusals import in_options, refusal
from descend.commands.short_ids import job_id_of, shortened
from descend.counts import counted
from descend.datasets import UploadFormat
from descend.errors import InvalidInput, JobNotFound
from storage.ingest_files import Order, ingest_file

MISSING = 'column \'a\' has 1 missing cell: set missing to "drop", or to "mean", which fills them'


@pytest.mark.parametrize(
    ("told", "typed"),
    [
        (
            "name it in null_values; or see decimal",
            "--null-values; or see --decimal",
        ),
        (
            "send decimal=, if the comma is the decimal sign",
            "--decimal , if the comma is the",
        ),
        ("Set standardize to true: it divides", "Give --standardize: it"),
        (
            "Set learning_rate to 1.5e-07, or to auto, which",
            "1.5e-07, or --learning-rate auto",
        ),
        ("hyperparameters.max_epochs: lower it", "--max-epochs: lower it"),
        ("(see thousands and decimal)", "(see --thousands and --decimal)"),
        ("the delimiter is ';', as its rows agree", "the delimiter is ';', as its rows"),
        ("'.' is the decimal sign: it cannot", "is the decimal sign: it"),
        ("a wrong delimiter: send delimiter=;", "a wrong delimiter: send --delimiter ;"),
        ("column 'max_epochs' is empty", "column 'max_epochs' is empty"),
        ("name a column, with text or not", "name a column, with text or not"),
    ],
)
def test_fields_become_the_options_that_set_them(told: str, typed: str) -> None:
    assert typed in in_options(told)


def test_what_the_service_says_of_files_and_columns_stays_a_sentence() -> None:
    told = [in_options(text) for module in ("storage", "service") for text in literals(module)]

    assert len(told) > 1000
    assert [one for one in told if re.search(r"\b(?:the|an?|is|no|of|wrong) --(?!name)", one)] == []
    assert any("see --delimiter and --decimal" in one for one in told)


def literals(package: str) -> Iterator[str]:
    """Yield the texts in a package's code, each piece of an f-string; not its docstrings."""
    for path in sorted(Path(str(importlib.import_module(package).__file__)).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and not text.endswith((".\n    ", ".")):
                yield text


def test_a_column_with_spaces_is_quoted_for_a_shell() -> None:
    told = in_options("or keep it as text with text=the age", "the age")

    assert told == "or keep it as text with --text 'the age'"


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("zip", "--text zip keeps"),
        ("the zip", "--text 'the zip' keeps"),
        ("town, zip", "--text '\"town, zip\"' keeps"),
        ("town's zip", "--text 'town'\"'\"'s zip' keeps"),
    ],
)
def test_what_a_note_says_of_a_column_can_be_typed(tmp_path: Path, name: str, typed: str) -> None:
    path = tmp_path / "zips.csv"
    path.write_text(f'"{name}",y\n01067,1\n10115,2\n')
    order = Order(path=path, target=tmp_path / "t.arrow", format=UploadFormat.CSV)

    (warning,) = ingest_file(order).warnings

    assert typed in in_options(warning)


def test_an_option_that_nobody_typed_is_not_blamed() -> None:
    told = "column 'a' has 1 missing cell: give --missing drop, or --missing mean, which fills them"

    assert refusal(MISSING, "features", frozenset({"target"})) == told
    assert refusal(MISSING, "features", frozenset({"features"})) == f"--features: {told}"


def test_a_column_of_an_options_name_is_no_option() -> None:
    assert refusal("column 'weight' is empty", "weight", frozenset({"weight"})).startswith("column")


def test_an_option_of_a_question_is_named_where_it_was_typed() -> None:
    told = "Input should be less than 1"

    assert refusal(told, "level", frozenset({"level"})) == f"--level: {told}"
    assert refusal(told, "interval.level", frozenset({"interval"})) == f"--interval: {told}"
    assert refusal("is no number", "level", frozenset({"target"})) == "is no number"


def test_a_field_that_takes_several_kinds_says_so_in_one_sentence() -> None:
    every = ["Input should be 'auto'", "Input should be a valid number"]

    assert of_several("hyperparameters.learning_rate", every) == (
        "learning_rate is a number above 0 (at most 1e300), or auto"
    )
    assert of_several("hyperparameters.tol", every[1:]) == every[1]


class Listed:
    def __init__(self, name: str) -> None:
        self.id = name


def test_ids_are_shortened_to_what_tells_them_apart() -> None:
    ids = ["job_" + "0" * 28 + "1abc", "job_" + "0" * 27 + "12abc"]

    assert list(shortened(ids[:1]).values()) == ["job_0000…1abc"]
    assert len(set(shortened([ids[0], "job_" + "0" * 27 + "21abc"]).values())) == 2


def test_a_shortened_id_that_several_have_or_none_is_refused() -> None:
    ids = ["job_" + "0" * 31 + "1", "job_" + "0" * 31 + "2"]

    def listed() -> list[Listed]:
        return [Listed(one) for one in ids]

    assert job_id_of("job_0000…2", listed) == ids[1]
    assert job_id_of(ids[0], listed) == ids[0]
    with pytest.raises(InvalidInput, match="give more of it"):
        job_id_of("job_0000", listed)
    with pytest.raises(JobNotFound):
        job_id_of("job_1111", listed)


def test_one_is_singular() -> None:
    assert [counted(n, "epoch") for n in (0, 1, 2)] == ["0 epochs", "1 epoch", "2 epochs"]
