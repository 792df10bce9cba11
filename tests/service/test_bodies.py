"""The input corpus: whatever is sent is refused by name, quickly, and never by a 5xx."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import ServiceSettings
from tests.service.conftest import LOCAL, NOTEBOOK


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[TestClient]:
    """One application for the whole corpus: what is refused leaves nothing behind."""
    folder = tmp_path_factory.mktemp("corpus")
    shutil.copy(empty_database, folder / "descend.db")
    with TestClient(create_app(ServiceSettings(data=folder)), base_url=LOCAL) as connected:
        yield connected


JSON = {"content-type": "application/json"}
XY = '{"X": [[1], [2]], "y": [1, 2]}'

# What no number may be, as JSON text.
NOT_NUMBERS = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "1e999": "1e999",
    "4000 digits": "9" * 4000,
    "5000 digits": "9" * 5000,
    "false": "false",
    "a string": '"1"',
    "a list": "[[1]]",
    "an object": '{"a": 1}',
}
# Every numeric field, as the path to it in a job.
NUMERIC_FIELDS = [
    "dataset.X.0.0",
    "dataset.y.0",
    "dataset.sample_weight.0",
    "hyperparameters.learning_rate",
    "hyperparameters.momentum",
    "hyperparameters.betas.0",
    "hyperparameters.eps",
    "hyperparameters.weight_decay",
    "hyperparameters.max_epochs",
    "hyperparameters.l1",
    "hyperparameters.l2",
    "hyperparameters.init.coef.0.0",
    "hyperparameters.init.intercept.0",
    "hyperparameters.validation_fraction",
    "hyperparameters.tol",
    "hyperparameters.patience",
    "hyperparameters.seed",
    "priority",
    "timeout_seconds",
]
TEMPLATE = {
    "dataset": {"X": [[1.0], [2.0]], "y": [1.0, 2.0], "sample_weight": [1.0, 1.0]},
    "hyperparameters": {"betas": [0.9, 0.9], "init": {"coef": [[1.0]], "intercept": [0.0]}},
}
MARK = "@@"


def job_with(path: str, text: str) -> str:
    """The job's JSON with this text at that place."""
    job: Any = json.loads(json.dumps(TEMPLATE))
    here: Any = job
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in way:
        here = here[step]
    here[last] = MARK
    return json.dumps(job).replace(f'"{MARK}"', text)


def refused(client: TestClient, body: bytes | str, path: str = "/v1/jobs") -> dict[str, Any]:
    start = time.process_time()
    response = client.post(path, content=body, headers=JSON)
    seconds = time.process_time() - start

    assert 400 <= response.status_code < 500, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert seconds < 5
    problem: dict[str, Any] = response.json()
    assert problem["status"] == response.status_code
    return problem


@pytest.mark.parametrize("text", NOT_NUMBERS.values(), ids=NOT_NUMBERS.keys())
@pytest.mark.parametrize("path", NUMERIC_FIELDS)
def test_no_numeric_field_takes_what_is_no_finite_number(
    client: TestClient, path: str, text: str
) -> None:
    problem = refused(client, job_with(path, text))

    if problem["status"] == 422:
        named = {error["param"] for error in problem["errors"]}
        assert any(f"{path}.".startswith(f"{param}.") or param.startswith(path) for param in named)
    else:
        assert len(text) > 4300


@pytest.mark.parametrize("text", ["-0", "0.0", "1e-400", "-0.0"])
def test_tiny_numbers_are_numbers(client: TestClient, text: str) -> None:
    body = f'{{"dataset": {XY}, "hyperparameters": {{"l2": {text}}}}}'

    assert client.post("/v1/jobs", content=body, headers=JSON).status_code == 202


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("hyperparameters.learning_rate", "0"),
        ("hyperparameters.learning_rate", "-1"),
        ("hyperparameters.learning_rate", "1e301"),
        ("hyperparameters.max_epochs", "0"),
        ("hyperparameters.max_epochs", "10000001"),
        ("hyperparameters.max_epochs", "1.5"),
        ("hyperparameters.momentum", "1"),
        ("hyperparameters.l2", "-1e-9"),
        ("hyperparameters.validation_fraction", "0.91"),
        ("hyperparameters.tol", "1"),
        ("hyperparameters.patience", "0"),
        ("hyperparameters.seed", "9007199254740992"),
        ("hyperparameters.seed", "-1"),
        ("dataset.sample_weight.0", "-1"),
        ("priority", "10"),
        ("timeout_seconds", "0"),
    ],
)
def test_numbers_out_of_bounds_are_named(client: TestClient, path: str, text: str) -> None:
    problem = refused(client, job_with(path, text))

    assert problem["status"] == 422
    assert path in {error["param"] for error in problem["errors"]}


@pytest.mark.parametrize("text", ["0", '"fast"', "1e301"])
def test_a_field_of_several_kinds_is_refused_in_one_sentence(client: TestClient, text: str) -> None:
    problem = refused(client, job_with("hyperparameters.learning_rate", text))

    assert problem["errors"][0]["message"] == (
        "learning_rate is a number above 0 (at most 1e300), or auto"
    )


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ('{"dataset": {"X": [[1], [2, 3]], "y": [1, 2]}}', 422, "dataset.X"),
        ('{"dataset": {"X": [[1], [2]], "y": [[1], [1, 2]]}}', 422, "dataset.y"),
        ('{"dataset": {"X": [[1], [2]], "y": [1]}}', 422, "dataset.y"),
        ('{"dataset": {"X": [[1]], "y": [1], "sample_weight": []}}', 422, "dataset.sample_weight"),
        ('{"dataset": {"X": [], "y": []}}', 422, "dataset.X"),
        ('{"dataset": {"X": [[]], "y": [1]}}', 422, "dataset.X"),
        ('{"dataset": {"columns": {"a": [1], "b": []}}}', 422, "dataset.columns"),
        ('{"dataset": {"columns": {"a": []}}}', 422, "dataset.columns"),
        ('{"dataset": {"columns": {}}}', 422, "dataset.columns"),
        ('{"dataset": {"columns": {"a": [1, [2]]}}}', 422, "a"),
        ('{"dataset": {"columns": {"": [1]}}}', 422, "dataset.columns."),
        (f'{{"dataset": {{"columns": {{"{"c" * 201}": [1]}}}}}}', 422, None),
        ('{"dataset": {"X": [[1]], "y": [1], "z": 1}}', 422, "dataset.z"),
        ('{"dataset": "ds_1"}', 422, "dataset"),
        ('{"dataset": "ds_\\ud800"}', 400, None),
        ('{"dataset": null}', 422, "dataset"),
        ("{}", 422, "dataset"),
        ("[]", 422, None),
        ("null", 422, None),
        ('"job"', 422, None),
        (f'{{"dataset": {XY}, "dataset": {XY}}}', 400, None),
        (f'{{"dataset": {XY}, "hyperparameters": {{"tol": 0, "tol": 1}}}}', 400, None),
        (f'{{"dataset": {XY}, "name": "a\\u0000b"}}', 422, None),
        (f'{{"dataset": {XY}, "metadata": {{"a\\u0000b": "c"}}}}', 422, None),
        (f'{{"dataset": {XY}, "metadata": {{"a": 1}}}}', 422, "metadata.a"),
        (f'{{"dataset": {XY}, "search": {{"grid": {{}}}}}}', 422, "search"),
        (f'{{"dataset": {XY}, "webhook": {{}}}}', 422, "webhook"),
        (f'{{"dataset": {XY}, "missing": "median"}}', 422, "missing"),
        (
            f'{{"dataset": {XY}, "hyperparameters": {{"schedule": {{"type": "ramp"}}}}}}',
            422,
            "hyperparameters.schedule",
        ),
        (
            f'{{"dataset": {XY}, "hyperparameters": {{"optimizer": "newton"}}}}',
            422,
            "hyperparameters.optimizer",
        ),
        (
            f'{{"dataset": {XY}, "hyperparameters": {{"optimizer": "adam", "momentum": 0.5}}}}',
            422,
            "hyperparameters.momentum",
        ),
        (
            f'{{"dataset": {XY}, "hyperparameters": {{"batch_size": 0}}}}',
            422,
            "hyperparameters.batch_size",
        ),
        ("", 400, None),
        ("{", 400, None),
        ("{'a': 1}", 400, None),
        (b"\xff\xfe{}", 400, None),
        (b'{"dataset": "\xed\xa0\x80"}', 400, None),
        (b"\xef\xbb\xbf{}", 400, None),
        ("{}".encode("utf-16"), 400, None),
        ("[" * 100_000, 400, None),
        ('{"a":' * 100_000, 400, None),
        ("1" * 5000, 400, None),
    ],
)
def test_a_body_of_the_wrong_form_is_refused_with_its_field(
    client: TestClient, body: bytes | str, status: int, param: str | None
) -> None:
    problem = refused(client, body)

    assert problem["status"] == status
    if param is not None:
        assert param in {problem["param"], *(error["param"] for error in problem["errors"])}


# Beginning, what comes so often, how often, and end.
BIG = {
    "numbers that are none": (b'{"dataset":{"X":[[', b"false,", 2_600_000, b'1]],"y":[1]}}'),
    "rows that are none": (b'{"dataset":{"X":[', b"[],", 5_000_000, b'[1]],"y":[1]}}'),
    "unknown fields": (b"{", b'"%d":1,', 1_400_000, b'"a":1}'),
    "columns without cells": (b'{"dataset":{"columns":{', b'"%d":1,', 1_400_000, b'"a":1}}}'),
    "targets that are no names": (
        b'{"dataset":{"X":[[1]],"y":[1]},"target":[', b"1,", 8_000_000, b"1]}",
    ),
    "spaces": (b"", b" ", 16 * 2**20, b""),
}  # fmt: skip


@pytest.mark.parametrize("parts", BIG.values(), ids=BIG.keys())
def test_sixteen_megabytes_of_errors_are_refused_quickly(
    client: TestClient, parts: tuple[bytes, bytes, int, bytes]
) -> None:
    begin, often, times, end = parts
    numbered = b"%d" in often
    middle = b"".join(often % i for i in range(times)) if numbered else often * times
    body = begin + middle + end
    assert len(body) <= 16 * 2**20 + 100

    refused(client, body[: 16 * 2**20 + 1])


def test_what_was_sent_is_not_echoed(client: TestClient) -> None:
    secret = "hunter2-canary"

    problem = refused(client, json.dumps({"dataset": {"X": [[1]], "y": [secret]}, "name": secret}))

    assert secret not in json.dumps(problem)


def test_a_body_beyond_the_limit_is_413(client: TestClient) -> None:
    problem = refused(client, b"[" + b" " * (16 * 2**20) + b"]")

    assert problem["status"] == 413
    assert problem["code"] == "body_too_large"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_another_media_type_is_415(client: TestClient, headers: dict[str, str]) -> None:
    response = client.post("/v1/jobs", content=json.dumps({"dataset": NOTEBOOK}), headers=headers)

    assert response.status_code == 415
    assert response.json()["code"] == "unsupported_media_type"


def test_charset_utf_8_is_let_in(client: TestClient) -> None:
    headers = {"content-type": 'application/json; charset="UTF-8"'}

    response = client.post("/v1/jobs", content=json.dumps({"dataset": NOTEBOOK}), headers=headers)

    assert response.status_code == 202
