"""Predictions of a file's rows: the bits of JSON, the errors of uploads, nothing left behind."""

import csv
import gzip
import io
import json
import re
import socket
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

from descend.encoding import CategoricalInput, NumericInput
from descend.errors import InvalidInput
from descend.limits import Limits
from descend.models import LinearModel
from service.app import create_app
from service.prediction_formats import prediction_response
from service.predictions import AskedInterval, Ends, Predicted
from service.settings import ServiceSettings
from storage.database import Database
from tests.service.catalogue import CATALOGUE, NO_FILL, model_of_inputs, records_of
from tests.service.conftest import LOCAL, serving, store_model, wait_until
from tests.service.test_summaries import a_model, statistics

CSV = "text/csv"
NDJSON = "application/x-ndjson"
PARQUET = "application/vnd.apache.parquet"
ARROW_FILE = "application/vnd.apache.arrow.file"
ARROW_STREAM = "application/vnd.apache.arrow.stream"
INPUTS = [
    NumericInput(name="age", fill=1.5),
    CategoricalInput(name="zip", levels=["0815", "4711", "Bonn"], fill="Bonn"),
    NumericInput(name="paid", boolean=True),
]

Frame = pl.DataFrame


def as_csv(frame: Frame) -> bytes:
    return frame.write_csv(float_precision=None).encode()


def written(how: str) -> Callable[[Frame], bytes]:
    def write(frame: Frame) -> bytes:
        file = io.BytesIO()
        getattr(frame, f"write_{how}")(file)
        return file.getvalue()

    return write


WRITERS = {
    CSV: as_csv,
    NDJSON: written("ndjson"),
    PARQUET: written("parquet"),
    ARROW_FILE: written("ipc"),
    ARROW_STREAM: written("ipc_stream"),
}


def frame_of(inputs: list[Any], records: list[dict[str, Any]]) -> Frame:
    """A table of the records, the columns backwards, and among them some that no model asks for."""
    kinds = {
        one.name: pl.String
        if isinstance(one, CategoricalInput)
        else (pl.Boolean if one.boolean else pl.Float64)
        for one in reversed(inputs)
    }
    places = range(len(records))
    dates = pl.Series("day", [date(2026, 1, 1 + place % 28) for place in places])
    targets = pl.Series("target 0", ["x" if place == 7 else "1.0" for place in places])
    return Frame([dates, *Frame(records, schema=kinds).get_columns(), targets])


def predict(
    client: TestClient,
    model_id: str,
    content: bytes,
    media_type: str = CSV,
    *,
    headers: dict[str, str] | None = None,
    **query: Any,
) -> Any:
    return client.post(
        f"/v1/models/{model_id}/predict",
        content=content,
        headers={"content-type": media_type} | (headers or {}),
        params=query,
    )


@pytest.fixture
def mixed(client: TestClient, database: Database) -> str:
    """A model of a filled number, of text that looks like numbers, of true and false."""
    assert client.get("/healthz").status_code == 200
    return store_model(database, model_of_inputs(INPUTS))


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("inputs", [pytest.param(v, id=k) for k, v in CATALOGUE.items()])
def test_a_file_predicts_the_very_bits_that_its_rows_in_JSON_do(
    client: TestClient, database: Database, kind: str, inputs: list[Any]
) -> None:
    # An empty cell of a CSV is missing: a level of no letters cannot be written there.
    inputs = [one for one in inputs if kind != CSV or one.name != "effects of town"]
    model_id = store_model(database, model_of_inputs(inputs))
    records = records_of(inputs)

    answer = predict(client, model_id, WRITERS[kind](frame_of(inputs, records)), kind)

    assert answer.status_code == 200, answer.text
    by_rows = client.post(f"/v1/models/{model_id}/predict", json={"rows": records})
    assert answer.content == by_rows.content


def test_text_is_text_even_where_it_looks_like_numbers_and_true_is_one(
    client: TestClient, mixed: str
) -> None:
    rows = [
        {"age": None, "zip": "0815", "paid": True},
        {"age": 3, "zip": None, "paid": False},
    ]

    of_bools = predict(client, mixed, b"zip,paid,age\n0815,true,\n,False,3\n")
    of_numbers = predict(client, mixed, b"zip,paid,age\n0815,1,NA\nNULL,0,3.0\n")

    by_rows = client.post(f"/v1/models/{mixed}/predict", json={"rows": rows})
    assert by_rows.status_code == 200, by_rows.text
    assert of_bools.json() == by_rows.json()
    assert of_numbers.json() == by_rows.json()


def test_a_csv_is_read_as_its_options_say(client: TestClient, mixed: str) -> None:
    plain = predict(client, mixed, b"age,zip,paid\n1.5,4711,1\n,Bonn,0\n").json()
    text = "age;paid;zip;straße\n1,5;1;4711;ß\n?;0;Bonn;ü\n".encode("latin-1")
    options = {"delimiter": ";", "decimal": ",", "encoding": "latin-1", "null_values": "?"}

    answer = predict(client, mixed, text, **options)

    assert answer.json() == plain
    assert predict(client, mixed, gzip.compress(text), headers={"content-encoding": "gzip"},
                   **options).json() == plain  # fmt: skip
    for option, value in (("delimiter", ";"), ("encoding", "latin-1")):
        refused = predict(client, mixed, b"{}", NDJSON, **{option: value})
        assert (refused.status_code, refused.json()["param"]) == (422, option)


@pytest.mark.parametrize(
    ("kind", "content", "param", "says"),
    [
        (CSV, b"age,zip,paid\n1,Bonn,1\n7351731x,Bonn,1\n", "age", "must be float64.*: row 2"),
        (CSV, b"age,zip,paid\n1,Bonn,1\ntrue,Bonn,1\n", "age", "must be float64.*: row 2"),
        (CSV, b"age,zip,paid\n1,Bonn,1\ninf,Bonn,1\n", "age", "must be float64.*: row 2"),
        (CSV, b"age,zip,paid\n1,Bonn,true\n1,Bonn,7351731x\n", "paid", "must be bool.*: row 2"),
        (CSV, b"age,zip,paid\n1,Bonn,0\n1,Bonn,1\n1,Bonn,7351731x\n", "paid", "float64.*: row 3"),
        (CSV, b"age,zip,paid\n1,Bonn,1\n1,Bonn,\n", "paid", "row 2: feature 'paid' is missing"),
        (CSV, b"age,zip,paid\n1,Bonn,1\n1,7351731,1\n", "zip", "row 2: .*not trained on"),
        (CSV, b"age,zip,paid\n1,Bonn,1\n1,Bonn\n", None, "row 2 has 2 cells"),
        (CSV, b"age,zip\n1,Bonn\n", "paid", "there is no column 'paid'"),
        (CSV, b"age,zip,paid\n", None, "no rows"),
        (NDJSON, b'{"age": 1, "zip": "Bonn"}\n', "paid", "there is no column 'paid'"),
        (NDJSON, b'{"age": "7351731", "zip": "Bonn", "paid": 1}\n', "age", "decimal=age:."),
        (NDJSON, b'{"age": true, "zip": "Bonn", "paid": 1}\n', "age", "row 1: .*is a number"),
        (NDJSON, b'{"age": 1, "zip": 4711, "paid": 1}\n', "zip", "row 1: .*not trained on"),
        (NDJSON, b'{"age": 1, "zip": "Bonner", "paid": 1}\n', "zip", "row 1: .*not trained on"),
        (PARQUET, as_csv(Frame({"age": [1]})), None, "Parquet"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_column_and_row(
    client: TestClient, settings: ServiceSettings, mixed: str, *,
    kind: str, content: bytes, param: str | None, says: str,
) -> None:  # fmt: skip
    refused = predict(client, mixed, content, kind)

    problem = refused.json()
    assert (refused.status_code, problem.get("param")) == (422, param), refused.text
    assert re.search(says, problem["detail"]), problem
    assert "7351731" not in refused.text
    assert list((settings.data / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (CSV, b"id,age,zip,paid\n1,2,Bonn,1\n2,2,Bonn,1\n3,2,Bonn,1\n4x,2,Bonn,1\n"),
        (NDJSON, b'{"id": [1], "age": 2, "zip": "Bonn", "paid": true}\n' * 4),
        (
            PARQUET,
            WRITERS[PARQUET](Frame({"id": [[1]] * 4, "age": 2, "zip": "Bonn", "paid": True})),
        ),
    ],
)
def test_columns_that_the_model_does_not_ask_for_are_not_looked_at(
    client: TestClient, mixed: str, kind: str, content: bytes
) -> None:
    told = predict(client, mixed, content, kind)

    by_rows = {"rows": [{"age": 2, "zip": "Bonn", "paid": 1}] * 4}
    assert told.status_code == 200, told.text
    assert told.json() == client.post(f"/v1/models/{mixed}/predict", json=by_rows).json()


@pytest.mark.parametrize("kind", [PARQUET, ARROW_FILE, ARROW_STREAM])
def test_typed_columns_are_taken_and_refused_as_in_JSON(
    client: TestClient, mixed: str, kind: str
) -> None:
    fits = {"age": [1, None], "zip": [None, "0815"], "paid": [True, False]}
    flat = Frame(fits).with_columns(pl.col("zip").cast(pl.Categorical), pl.lit(1.0).alias("more"))

    for frame, param in (
        (flat, ""),
        (flat.drop("zip"), "zip"),
        (flat.with_columns(age=pl.Series(["1", None])), "age"),
        (flat.with_columns(age=pl.Series([None, True])), "age"),
        (flat.with_columns(zip=pl.Series([4711, None])), "zip"),
        (flat.with_columns(age=pl.Series([None, None], dtype=pl.String)), ""),
    ):
        answer = predict(client, mixed, WRITERS[kind](frame), kind)
        rows = frame.drop("more").to_dicts()
        asked = client.post(f"/v1/models/{mixed}/predict", json={"rows": rows})
        if param:
            assert (answer.status_code, answer.json()["param"]) == (422, param)
            assert param == "zip" or asked.status_code == 422
        else:
            assert answer.json()["y"] == asked.json()["y"]


def test_rows_behind_the_first_batch_have_their_numbers_too(
    client: TestClient, database: Database
) -> None:
    model_id = store_model(database, model_of_inputs(INPUTS, n_targets=1))
    n = 2**17 + 100
    frame = Frame({"age": np.arange(n), "zip": ["0815"] * n, "paid": np.arange(n) % 2 == 0})
    rows = frame.to_dicts()

    answer = predict(client, model_id, WRITERS[PARQUET](frame), PARQUET)
    frame[n - 2, "zip"] = "Ulm"
    refused = predict(client, model_id, WRITERS[CSV](frame))
    taken = predict(client, model_id, WRITERS[CSV](frame), unseen="base")

    by_rows = client.post(f"/v1/models/{model_id}/predict", json={"rows": rows})
    assert answer.content == by_rows.content
    assert refused.json()["detail"].startswith(f"row {n - 1}: feature 'zip'")
    assert taken.content == by_rows.content


@pytest.mark.parametrize("kind", ["prediction", "mean"])
def test_intervals_are_asked_for_in_the_query(
    client: TestClient, database: Database, kind: str
) -> None:
    model_id = a_model(client, database, statistics())
    path = f"/v1/models/{model_id}/predict"
    interval = {"level": 0.9, "kind": kind}

    told = predict(client, model_id, b"x0\n4\n20\n", **interval)

    told_in_json = client.post(path, json={"X": [[4], [20]], "interval": interval})
    assert told.json()["interval"]["kind"] == kind
    assert told.content == told_in_json.content
    by_default = predict(client, model_id, b"x0\n4\n", kind=kind).json()["interval"]
    assert (by_default["level"], by_default["kind"]) == (0.95, kind)
    assert "interval" not in predict(client, model_id, b"x0\n4\n").json()
    for name, value in (("level", "0.9"), ("kind", kind), ("unseen", "base")):
        refused = client.post(path, json={"X": [[4]]}, params={name: value})
        assert (refused.status_code, refused.json()["param"]) == (422, name)


def test_an_interval_that_does_not_exist_is_a_conflict(client: TestClient, mixed: str) -> None:
    refused = predict(client, mixed, b"age,zip,paid\n1,Bonn,1\n", level=0.5)

    assert refused.status_code == 409
    assert "no interval" in refused.json()["detail"]


def test_the_answer_may_be_CSV_or_an_Arrow_stream_of_the_same_bits(
    client: TestClient, database: Database
) -> None:
    model = model_of_inputs(NO_FILL).model_copy(update={"targets": ['price, "net"', "price"]})
    model_id = store_model(database, model)
    body = {"rows": records_of(NO_FILL, 25_000)}
    y = client.post(f"/v1/models/{model_id}/predict", json=body).json()["y"]

    told = {
        accept: client.post(f"/v1/models/{model_id}/predict", json=body, headers={"accept": accept})
        for accept in (CSV, ARROW_STREAM)
    }

    assert {kind: one.headers["content-type"].split(";")[0] for kind, one in told.items()} == {
        kind: kind for kind in told
    }
    header, *lines = csv.reader(told[CSV].text.splitlines())
    assert header == model.targets
    assert [[float(cell) for cell in line] for line in lines] == y
    frame = pl.read_ipc_stream(told[ARROW_STREAM].content)
    assert frame.columns == model.targets
    assert frame.to_numpy().tolist() == y


def test_the_ends_of_intervals_are_columns_behind_the_targets(
    client: TestClient, database: Database
) -> None:
    model_id = a_model(client, database, statistics())
    file = b"x0\n4\n20\n"
    told = predict(client, model_id, file, level=0.9).json()

    lines = predict(client, model_id, file, level=0.9, headers={"accept": CSV}).text.splitlines()
    arrow = predict(client, model_id, file, level=0.9, headers={"accept": ARROW_STREAM})

    expected = np.hstack([told["y"], told["interval"]["low"], told["interval"]["high"]]).tolist()
    assert lines[0] == "y,y_low,y_high"
    assert [[float(cell) for cell in line.split(",")] for line in lines[1:]] == expected
    frame = pl.read_ipc_stream(arrow.content)
    assert frame.columns == ["y", "y_low", "y_high"]
    assert frame.to_numpy().tolist() == expected


@pytest.mark.parametrize("kind", ["application/x-npy", "application/octet-stream", ""])
def test_what_is_no_table_with_names_is_415(client: TestClient, mixed: str, kind: str) -> None:
    refused = predict(client, mixed, b"age,zip,paid\n1,Bonn,1\n", kind)

    assert refused.status_code == 415
    assert "text/csv" in refused.json()["detail"]
    assert "application/json" in refused.json()["detail"]


def test_a_file_over_the_limit_is_413_as_sent_and_as_unpacked(
    settings: ServiceSettings, database: Database
) -> None:
    small = settings.model_copy(update={"limits": Limits(upload_bytes=10_000)})
    model_id = store_model(database, model_of_inputs(INPUTS))
    content = b"age,zip,paid\n" + b"1,Bonn,1\n" * 2000
    with TestClient(create_app(small), base_url=LOCAL) as client:
        packed = predict(
            client, model_id, gzip.compress(content), headers={"content-encoding": "gzip"}
        )
        assert predict(client, model_id, content).status_code == 413
        assert packed.status_code == 413
    assert list((settings.data / "uploads").iterdir()) == []


def test_a_body_that_is_not_what_its_digest_says_is_malformed(
    client: TestClient, mixed: str
) -> None:
    digest = {"content-digest": "sha-256=:AAAA:"}

    refused = predict(client, mixed, b"age,zip,paid\n1,Bonn,1\n", headers=digest)

    assert (refused.status_code, refused.json()["code"]) == (400, "malformed_body")


@pytest.mark.parametrize(("n_inputs", "n_targets"), [(10_000, 1), (1, 2000)])
def test_a_file_of_too_many_rows_is_refused_as_in_JSON(
    client: TestClient, database: Database, n_inputs: int, n_targets: int
) -> None:
    model = model_of_inputs(
        [NumericInput(name=f"x{i}") for i in range(n_inputs)], n_targets=n_targets
    )
    model_id = store_model(database, model)
    frame = Frame({f"x{i}": np.zeros(2200) for i in range(n_inputs)})

    refused = predict(client, model_id, WRITERS[ARROW_FILE](frame), ARROW_FILE)

    assert refused.status_code == 422
    assert "send fewer at a time" in refused.json()["detail"]
    taken = predict(client, model_id, WRITERS[ARROW_FILE](frame[:3]), ARROW_FILE)
    assert len(taken.json()["y"]) == 3


def test_a_number_too_large_to_write_is_named_by_its_row(client: TestClient, mixed: str) -> None:
    refused = predict(client, mixed, b"age,zip,paid\n1,Bonn,1\n1.7e308,Bonn,1\n")

    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("row 2 predicts")


def test_a_target_that_has_the_name_of_an_end_is_told_in_JSON_only() -> None:
    model = LinearModel(
        id="mdl_1", features=["x"], targets=["y", "y_low"], coef=[[1.0], [1.0]], intercept=[0, 0]
    )
    y = np.ones((1, 2))
    predicted = Predicted(model, y, Ends(AskedInterval(), y - 1, y + 1))

    assert prediction_response(predicted, "application/json").status_code == 200
    with pytest.raises(InvalidInput, match="as JSON"):
        prediction_response(predicted, CSV)


def waiting(settings: ServiceSettings) -> list[Path]:
    return list((settings.data / "uploads").glob("*/upload"))


def test_nothing_is_left_of_a_file_whose_sender_hangs_up(
    settings: ServiceSettings, database: Database
) -> None:
    model_id = store_model(database, model_of_inputs(INPUTS))
    with serving(settings) as client:
        host, port = client.base_url.host, client.base_url.port
        with socket.create_connection((host, port)) as link:
            link.sendall(head(model_id, 10**9) + b"age,zip,paid\n" + b"1,Bonn,1\n" * 200_000)
            wait_until(lambda: [path.stat().st_size > 0 for path in waiting(settings)] == [True])
        wait_until(lambda: list((settings.data / "uploads").iterdir()) == [])
        assert predict(client, model_id, b"age,zip,paid\n1,Bonn,1\n").status_code == 200


def test_nothing_is_left_while_an_answer_waits_to_be_taken_nor_when_nobody_takes_it(
    settings: ServiceSettings, database: Database
) -> None:
    model_id = store_model(database, model_of_inputs(INPUTS))
    content = b"age,zip,paid\n" + b"1.25,Bonn,1\n" * 1_000_000
    with serving(settings) as client:
        host, port = client.base_url.host, client.base_url.port
        with socket.create_connection((host, port)) as link:
            link.sendall(head(model_id, len(content), accept=CSV) + content)
            assert link.recv(12) == b"HTTP/1.1 200"
            wait_until(lambda: list((settings.data / "uploads").iterdir()) == [])
        with socket.create_connection((host, port)) as link:
            link.sendall(head(model_id, len(content), accept=CSV) + content)
            wait_until(lambda: len(waiting(settings)) == 1)
        wait_until(lambda: list((settings.data / "uploads").iterdir()) == [])
        assert json.loads(client.get("/readyz").content)


def head(model_id: str, length: int, *, accept: str = "*/*") -> bytes:
    lines = (
        f"POST /v1/models/{model_id}/predict HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: text/csv",
        f"Accept: {accept}",
        f"Content-Length: {length}",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()
