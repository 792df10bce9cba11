"""Every sentence that advises can be followed: each remedy goes through parser and admission.

The advice is read out of the code: a sentence that this file does not know fails the last test.
"""

import ast
import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descend.errors import DescendError, InvalidInput
from descend.jobs import JobKind
from tests.workers.extremes import assigned, ended
from workers.answers import answer
from workers.reports import Entry

Body = dict[str, Any]
Change = Callable[[Body, re.Match[str]], None]

RNG = np.random.default_rng(7)
LINE = {"X": [[x] for x in (1, 2, 3, 4, 5)], "y": [1.2, 1.9, 3.1, 4.2, 4.8]}


def _set(**changes: Any) -> Change:
    def change(body: Body, _: re.Match[str]) -> None:
        for name, value in changes.items():
            body["hyperparameters"].pop(name, None)
            if value is not None:
                body["hyperparameters"][name] = value

    return change


def _times(name: str, factor: float, otherwise: float) -> Change:
    def change(body: Body, _: re.Match[str]) -> None:
        h = body["hyperparameters"]
        value = h.get(name, otherwise) * factor
        h[name] = round(value) if name == "max_epochs" else value

    return change


def _exact(body: Body, found: re.Match[str]) -> None:
    body["hyperparameters"]["optimizer"] = "exact"
    for name in re.findall(r"\w+", (found["without"] or "").replace(" and ", " ")):
        del body["hyperparameters"][name]


def _without_last_feature(body: Body, _: re.Match[str]) -> None:
    body["dataset"]["X"] = [row[:-1] for row in body["dataset"]["X"]]


def _multiplied(body: Body, found: re.Match[str]) -> None:
    name, factor = found["name"], float(found["factor"])
    data = body["dataset"]
    if name.startswith("y"):
        data["y"] = [value * factor for value in data["y"]]
    else:
        place = int(name[1:])
        for row in data["X"]:
            row[place] *= factor


def _targets_up(body: Body, _: re.Match[str]) -> None:
    body["dataset"]["y"] = [value * 1e-6 for value in body["dataset"]["y"]]


def _centred(body: Body, found: re.Match[str]) -> None:
    for name in found["names"].split(", "):
        place = int(name[1:])
        first = body["dataset"]["X"][0][place]
        for row in body["dataset"]["X"]:
            row[place] -= first


def _more_rows(body: Body, _: re.Match[str]) -> None:
    data = body["dataset"]
    n = len(data["X"][0])
    data["X"] += RNG.normal(size=(3 * n, n)).tolist()
    data["y"] += RNG.normal(size=3 * n).tolist()


def _rescaled(body: Body, found: re.Match[str]) -> None:
    for row in body["dataset"]["X"]:
        row[0] *= 1e250 if found["way"] == "up" else 1e-250


def _nothing(body: Body, _: re.Match[str]) -> None:
    """The advice is about what is asked of the result."""


OF_RATES = ("learning_rate", "schedule", "momentum", "nesterov", "betas", "eps", "weight_decay")

ADVICE: dict[str, Change] = {
    r"(use|train with) optimizer exact( \(without (?P<without>[^)]+)\))?": _exact,
    r"set standardize to true|and standardize to true": _set(standardize=True),
    r"set learning_rate to auto": _set(learning_rate="auto"),
    r"lower tol|a lower tol": _times("tol", 1e-3, 1e-9),
    r"use dtype float64": _set(dtype="float64"),
    r"more epochs": _times("max_epochs", 10, 1000),
    r"or a momentum": _set(momentum=0.5),
    r"but a schedule that falls": _set(schedule={"type": "cosine"}),
    r"or optimizer lbfgs": _set(optimizer="lbfgs", **dict.fromkeys(OF_RATES)),
    r"a larger learning_rate": _set(learning_rate="auto"),
    r"a schedule that falls slower": _set(schedule=None),
    r"lower weight_decay": _times("weight_decay", 0.01, 0.01),
    r"multiply the targets by a power of ten": _targets_up,
    r"lower eps to (?P<eps>\S+),": lambda body, found: _set(eps=float(found["eps"]))(body, found),
    r"(add|raise) l2": _set(l2=0.1),
    r"raise l1": _times("l1", 1e6, 1e-9),
    r"leave (one|it|features|one of them) out|leave out (columns|features)": _without_last_feature,
    r"multiply '(?P<name>\w+)' by (?P<factor>\S+)": _multiplied,
    r"train without l1 and l2": _set(l1=None, l2=None),
    r"raise huber_delta": _times("huber_delta", 10, 1),
    r"set missing to \"drop\"": lambda body, _: body.update(missing="drop"),
    r"or to \"mean\"": lambda body, _: body.update(missing="mean"),
    r"lower validation_fraction": _times("validation_fraction", 0.2, 0),
    r"set another seed": _set(seed=3),
    r"take HC0 or HC1": _nothing,
    r"(?P<names>x\d(, x\d)*) vary little .* subtract a constant from them": _centred,
    r"bring (more|at least \d+) rows": _more_rows,
    r"scale these columns (?P<way>up|down)": _rescaled,
}

HILBERT = (1 / (np.arange(40)[:, np.newaxis] + np.arange(40) + 1)).tolist()
LEVEL = [[float(x % 5), float(x == 4)] for x in range(10)]
COPIES = [[x, x + 1e-9 * (x % 3)] for x in map(float, range(12))]
UNEVEN = (RNG.normal(size=(30, 2)) * [1, 1e4]).tolist()
BENT = [float(x**2 % 7) for x in range(12)]
NOISE = RNG.normal(size=40).tolist()

# What is trained -> which advice it is known for: so that none of the table is dead.
JOBS: list[tuple[Body, dict[str, Any]]] = [
    ({"X": UNEVEN, "y": NOISE[:30]}, {"standardize": False, "max_epochs": 50}),
    ({"X": UNEVEN, "y": NOISE[:30]}, {"standardize": False, "tol": 1e-3, "momentum": 0.3}),
    (LINE, {"max_epochs": 3}),
    (LINE, {"max_epochs": 3, "optimizer": "adam", "learning_rate": 0.01}),
    (LINE, {"optimizer": "adam", "tol": 0.01, "learning_rate": 1e-4}),
    (LINE, {"optimizer": "lbfgs", "max_epochs": 1}),
    (LINE, {"tol": 0.1, "learning_rate": 1e-3, "schedule": {"type": "step", "every": 3}}),
    (LINE, {"dtype": "float32", "tol": 1e-9, "learning_rate": 1e-6, "momentum": 0.1}),
    (LINE, {"batch_size": 2, "max_epochs": 2}),
    (LINE, {"batch_size": 2, "tol": 0.1, "learning_rate": 1e-6}),
    (LINE, {"batch_size": 2, "tol": 0.5, "learning_rate": 1e-6, "schedule": {"type": "inverse"}}),
    (LINE, {"loss": "huber", "tol": 0.5, "learning_rate": 1e-6}),
    (LINE, {"loss": "huber", "tol": 0.5, "learning_rate": 1e-6, "schedule": {"type": "inverse"}}),
    (
        LINE,
        {
            "batch_size": 2,
            "tol": 0.5,
            "learning_rate": 1e-6,
            "loss": "huber",
            "l1": 0.01,  # of which no minimum is known
            "schedule": {"type": "inverse"},
        },
    ),
    (LINE, {"loss": "absolute", "max_epochs": 3}),
    (LINE, {"loss": "absolute", "optimizer": "sgd", "learning_rate": 1e-3, "max_epochs": 3}),
    (
        LINE,
        {
            "loss": "absolute",
            "optimizer": "sgd",
            "schedule": {"type": "constant"},
            "max_epochs": 3,
        },
    ),
    (LINE, {"loss": "huber", "optimizer": "sgd", "learning_rate": 1e-6, "max_epochs": 3}),
    (LINE, {"loss": "huber", "huber_delta": 0.1, "max_epochs": 2, "momentum": 0.2}),
    (LINE, {"loss": "huber", "learning_rate": 1e-7, "schedule": {"type": "inverse"}}),
    ({"X": LINE["X"], "y": [v * 1e-9 for v in LINE["y"]]}, {"optimizer": "adam", "eps": 1e-3}),
    ({"X": LINE["X"], "y": [v * 1e6 for v in LINE["y"]]}, {"optimizer": "adamw"}),
    (LINE, {"optimizer": "exact", "l2": 0.1}),
    (LINE, {"optimizer": "exact", "loss": "huber", "huber_delta": 1e-3}),
    (LINE, {"optimizer": "exact", "l1": 0.1}),
    ({"X": COPIES, "y": BENT}, {"optimizer": "exact"}),
    ({"X": COPIES, "y": BENT}, {"learning_rate": 0.01, "max_epochs": 50}),
    ({"X": COPIES, "y": BENT}, {"dtype": "float32", "max_epochs": 50}),
    ({"X": [[x, 2 * x] for x in range(12)], "y": BENT}, {"optimizer": "exact"}),
    ({"X": [[x, 2 * x] for x in range(12)], "y": BENT}, {"optimizer": "exact", "l1": 0.1}),
    ({"X": [[1, 5, 2], [2, 3, 7], [4, 1, 1]], "y": [1, 2, 4]}, {"optimizer": "exact"}),
    ({"X": [[1, 5, 2], [2, 3, 7], [4, 1, 1]], "y": [1, 2, 4]}, {"optimizer": "exact", "l1": 0.1}),
    ({"X": [[1, 5], [2, 3], [4, 1]], "y": [1, 2, 4]}, {"optimizer": "exact"}),
    ({"X": HILBERT, "y": NOISE}, {"optimizer": "exact", "l1": 1e-9}),
    ({"X": LEVEL, "y": [float(x**2) for x in range(10)]}, {"optimizer": "exact"}),
    ({"X": [[9007199254740992.0 + v] for v in (0, 4, 12)], "y": [1, 3, 6]}, {"optimizer": "exact"}),
    ({"X": [[1e-299], [0.0], [3e-299]], "y": [4e20, 0, 1e19]}, {}),
    ({"X": [[1e307], [2e307], [3e307]], "y": [1e-12, 2e-12, 4e-12]}, {"optimizer": "exact"}),
    ({"X": [[1e200], [2e200], [4e200]], "y": [1, 2, 3]}, {"standardize": False}),
    ({"X": [[1], [2], [4]], "y": [1e20, 2e20, 5e20]}, {"dtype": "float32"}),
    ({"X": [[1], [2], [4]], "y": [1e200, 2e200, 5e200]}, {}),
    ({"X": [[1], [None], [4], [5]], "y": [1, 2, 3, 5]}, {}),
    (
        {"X": [[1], [2], [3]], "y": [1, 2, 4], "sample_weight": [0, 1, 0]},
        {"validation_fraction": 0.33, "seed": 2},
    ),
    (LINE, {"learning_rate": 50}),
    ({"X": UNEVEN, "y": NOISE[:30]}, {"standardize": False, "learning_rate": 1}),
    (LINE, {"optimizer": "adam", "learning_rate": 1e12, "l2": 1e6}),
]


def told(job: Body, tmp_path: Path) -> tuple[list[str], list[Body]]:
    """What a job and a plan of it say, and the changes that a divergence hands out."""
    words: list[str] = []
    changes: list[Body] = []
    try:
        entry = ended(assigned(job), tmp_path)
        words += _words(entry)
        if entry.error is not None and isinstance(entry.error.detail, dict):
            changes += entry.error.detail.get("changes", [])
        planned = answer(assigned(job, kind=JobKind.PLAN), alive=lambda: None, scratch=tmp_path)
        words += re.findall(r'"((?:[^"\\]|\\.)*)"', (planned.result or b"").decode())
    except InvalidInput as refusal:
        words.append(refusal.message)
    return words, changes


def _words(entry: Entry) -> list[str]:
    statistics = entry.statistics
    more = [] if statistics is None else [statistics.refused, statistics.robust_refused]
    error = None if entry.error is None else entry.error.message
    return [one for one in (*entry.warnings, *more, error) if one]


def test_each_remedy_passes_the_parser_and_the_admission(tmp_path: Path) -> None:
    followed: set[str] = set()
    for data, hyperparameters in JOBS:
        job = {"dataset": data, "hyperparameters": hyperparameters}
        words, changes = told(job, tmp_path)
        for change in changes:
            changed = copy.deepcopy(job)
            _set(**change)(changed, re.match("", "") or pytest.fail("no match"))
            assigned(changed)
        for sentence in words:
            for pattern, change_of in ADVICE.items():
                if found := re.search(pattern, sentence):
                    changed = copy.deepcopy(job)
                    change_of(changed, found)
                    assert changed != job or change_of is _nothing, sentence
                    try:
                        assigned(changed)
                    except DescendError as refused:
                        pytest.fail(f"{sentence!r} of {hyperparameters}: {refused}")
                    followed.add(pattern)

    assert set(ADVICE) - followed == set()


@pytest.mark.parametrize(
    ("hyperparameters", "gone"),
    [
        ({"max_epochs": 3, "optimizer": "adam", "learning_rate": 0.01}, "momentum"),
        ({"max_epochs": 3, "optimizer": "adamw", "learning_rate": 0.01}, "momentum"),
        ({"max_epochs": 3, "momentum": 0.5}, "a momentum"),
        ({"optimizer": "lbfgs", "max_epochs": 1}, "momentum"),
        ({"optimizer": "exact", "l1": 0.1}, "least norm"),
    ],
)
def test_nobody_is_sent_where_the_parser_refuses(
    hyperparameters: Body, gone: str, tmp_path: Path
) -> None:
    data = {"X": [[1, 5, 2], [2, 3, 7], [4, 1, 1]], "y": [1, 2, 4]}

    words, _ = told({"dataset": data, "hyperparameters": hyperparameters}, tmp_path)

    assert words
    assert not any(gone in sentence for sentence in words)


def test_where_rows_are_too_few_no_column_is_said_to_repeat_others(tmp_path: Path) -> None:
    data = {"X": [[1, 5, 2], [2, 3, 7], [4, 1, 1], [9, 9, 9]], "y": [1, 2, 4, 0]}
    weights = {"sample_weight": [1, 1, 1, 0]}

    words, _ = told(
        {"dataset": data | weights, "hyperparameters": {"optimizer": "exact"}}, tmp_path
    )

    assert not any("repeat" in sentence for sentence in words)
    assert any("3 rows with a weight leave at most 3 of 4" in sentence for sentence in words)


def test_an_eps_that_swamps_the_gradients_is_named_and_lowering_it_helps(tmp_path: Path) -> None:
    data = {"X": LINE["X"], "y": [v * 1e-9 for v in LINE["y"]]}
    job = {"dataset": data, "hyperparameters": {"optimizer": "adam", "max_epochs": 2000}}

    entry = ended(assigned(job), tmp_path)

    (words,) = [one for one in entry.warnings if "swamps the gradients" in one]
    eps = float(re.search(r"lower eps to (\S+),", words)[1])  # type: ignore[index]
    job["hyperparameters"]["eps"] = eps  # type: ignore[index]
    again = ended(assigned(job), tmp_path)
    assert not any("swamps" in one for one in again.warnings)
    assert again.metrics is not None
    assert entry.metrics is not None
    assert (again.metrics.r2 or 0) > max(0.9, entry.metrics.r2 or 0)


# -- every sentence of the code ------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
ADVISING = [*sorted((ROOT / "workers" / "training").glob("*.py")), ROOT / "workers" / "loading.py"]
VERBS = re.compile(
    r"(?:^|[:;,] |\bor |\band )(use|set|train with|train without|lower|raise|add|take|leave"
    r"|multiply|subtract|bring|scale|increase|choose|divide|drop)\b"
)
# What ADVICE follows, as it stands in the code: the names and numbers are not filled in.
FOLLOWED = (
    "optimizer exact",
    "set standardize to true",
    "and standardize to true",
    "set learning_rate to auto",
    "lower tol",
    "a lower tol",
    "use dtype float64",
    "lower weight_decay",
    "add l2",
    "raise l2",
    "leave one out",
    "leave it out",
    "leave out features",
    "leave one of them out",
    "multiply {} by 1e{}",
    "train without l1 and l2",
    "raise huber_delta",
    "lower validation_fraction, or set another seed",
    "take HC0 or HC1",
    "subtract a constant from",
    "bring at least {} rows",
    "bring more rows",
    "scale these columns {}",
)
# Sentences of what is no hyperparameter, or whose remedies stand in `changes`, tested above.
KNOWN = (
    "remove those rows",
    "Set learning_rate to",
    "Divide {}",
    "Set standardize to true: it divides",
    "Use optimizer",
    "Remove or combine",
    "the file of the job's data set is missing",
    "init.intercept without fit_intercept: leave it out",
    "scale the columns",
    "leave out one of those that explain each other",
    "or use ridge (l2)",
    "give some a weight above 0, or name no weight",
    "leave out columns that repeat others, or train with optimizer",
    "train with optimizer {}",
    "raise l1, add l2, or leave out columns that repeat others",
    "and which come out depends on where training starts",
    "swamps the gradients, which begin",
    "ask for sandwich, or train without weights",
    "leave out columns that repeat others",
    "train with loss squared",
)


def sentences() -> Iterator[tuple[str, str]]:
    for path in ADVISING:
        tree = ast.parse(path.read_text())
        whole = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
        parts = {id(part) for node in whole for part in ast.walk(node) if part is not node}
        documented = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if id(node) in parts | documented:
                continue
            if isinstance(node, ast.JoinedStr):
                yield path.name, "".join(_piece(part) for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path.name, node.value


def _piece(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else "{}"


def test_every_sentence_that_advises_is_one_that_is_followed_here() -> None:
    spoken = [(name, words) for name, words in sentences() if words.count(" ") > 1]
    found = [(name, words) for name, words in spoken if VERBS.search(words)]
    strange = [
        (name, words)
        for name, words in found
        if not any(known in words for known in (*KNOWN, *FOLLOWED))
    ]

    assert len(found) > 15
    assert strange == []
