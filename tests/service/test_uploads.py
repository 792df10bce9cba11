"""Uploads over HTTP: every format, gzip and its bombs, previews, appended rows, the limits."""

import gzip
import io
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from descend.limits import Limits
from service.app import create_app
from service.settings import ServiceSettings
from tests.service.conftest import LOCAL, NOTEBOOK, LastingPool

CSV = {"content-type": "text/csv"}
TABLE = b"hours,price,town\n1,2.5,Ulm\n2,,Bonn\n3,6.5,\n"
FRAME = pl.DataFrame({"hours": [1, 2, 3], "price": [2.5, None, 6.5], "town": ["Ulm", "Bonn", None]})
ROWS = [[1, 2.5, "Ulm"], [2, None, "Bonn"], [3, 6.5, None]]


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([[1.0, 2.5], [2.0, np.nan]]))
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, X=np.array([[1.0], [2.0]]), y=np.array([2.0, 4.0]))
    return file.getvalue()


def body(format_: str) -> bytes:
    file = io.BytesIO()
    getattr(FRAME, f"write_{format_}")(file)
    return file.getvalue()


COLUMNS = json.dumps({"columns": FRAME.to_dict(as_series=False)})
FORMATS: dict[str, tuple[str, bytes, list[list[object]]]] = {
    "csv": ("text/csv", TABLE, ROWS),
    "parquet": ("application/vnd.apache.parquet", body("parquet"), ROWS),
    "arrow_file": ("application/vnd.apache.arrow.file", body("ipc"), ROWS),
    "arrow_stream": ("application/vnd.apache.arrow.stream", body("ipc_stream"), ROWS),
    "ndjson": ("application/x-ndjson", body("ndjson"), ROWS),
    "json": ("application/json", COLUMNS.encode(), ROWS),
    "npy": ("application/x-npy", npy(), [[1.0, 2.5], [2.0, None]]),
    "npz": ("application/x-npz", npz(), [[1.0, 2.0], [2.0, 4.0]]),
}  # fmt: skip


def create(client: TestClient, content: bytes, *, kind: str = "text/csv", **query: str) -> Any:
    response = client.post(
        "/v1/datasets", params=query, content=content, headers={"content-type": kind}
    )
    assert response.status_code == 201, response.text
    return response.json()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_is_read_and_shown(client: TestClient, format_: str, *, packed: bool) -> None:
    kind, content, rows = FORMATS[format_]
    headers = {"content-type": kind} | ({"content-encoding": "gzip"} if packed else {})

    created = client.post(
        "/v1/datasets", content=gzip.compress(content) if packed else content, headers=headers
    )

    assert created.status_code == 201, created.text
    assert created.json()["format"] == format_
    preview = client.get(created.json()["urls"]["preview"])
    assert preview.json()["rows"] == rows
    assert preview.json()["columns"] == [column["name"] for column in created.json()["columns"]]


RENTS = "day|rent|y\n2024-01-01|$1,950|1\n2024-01-02|$887|2\n2024-01-05|$12,000|3\n"


def test_a_refusal_of_columns_names_rows_and_the_options_that_read_them(
    client: TestClient,
) -> None:
    response = client.post("/v1/datasets", content=RENTS, headers=CSV)

    assert response.status_code == 422
    problem = response.json()
    found = [(one["column"], one["code"], one["rows"]) for one in problem["errors"]]
    assert found == [("day", "dates", [1, 2, 3]), ("rent", "written_numbers", [1, 2, 3])]
    assert [one["options"][0] for one in problem["errors"]] == [
        {"dates": ["day:days"]},
        {"thousands": ["rent:,"], "strip": ["rent:$"]},
    ]
    assert "1,950" not in response.text


def test_options_are_repeated_and_dates_count_on_in_rows_that_come_later(
    client: TestClient,
) -> None:
    query = {"dates": ["day:days", "day:year"], "thousands": "rent:,", "strip": ["$", "€"]}

    created = client.post("/v1/datasets", params=query, content=RENTS, headers=CSV).json()
    more = "rent|day|y\n€5|2024-02-01|4\n"
    path = f"/v1/datasets/{created['id']}/rows"
    both = client.post(path, params={"strip": "rent:€"}, content=more, headers=CSV).json()

    names = [column["name"] for column in created["columns"]]
    assert names == ["day [days since 2024-01-01]", "day [year]", "rent", "y"]
    assert [column["max"] for column in created["columns"]] == [4, 2024, 12000, 3]
    assert [column["max"] for column in both["columns"]] == [31, 2024, 12000, 4]


def test_columns_that_no_job_needs_are_no_reason_to_refuse_a_file(client: TestClient) -> None:
    content = "when,cost,a,y\n2024-01-01,$5,1,2\n2024-01-02,$6,2,3\n2024-01-03,$7,3,5\n"

    needed = client.post("/v1/datasets", params={"columns": "a,y"}, content=content, headers=CSV)
    spared = client.post("/v1/datasets", params={"exclude": ["when"]}, content=content, headers=CSV)
    both = client.post(
        "/v1/datasets", params={"exclude": ["when", '"cost"']}, content=content, headers=CSV
    )

    assert (needed.status_code, spared.status_code, both.status_code) == (201, 422, 201)
    assert [one["column"] for one in spared.json()["errors"]] == ["cost"]
    said = needed.json()["warnings"]
    assert [w for w in said if "'cost'" in w and "kept as text, since it is no feature" in w]


def test_what_a_job_leaves_out_is_said_in_its_warnings(client: TestClient) -> None:
    content = ",name,a,y\n" + "".join(f"{i},n{i},{i % 7},{i}.5\n" for i in range(30))
    dataset = client.post("/v1/datasets", content=content, headers=CSV).json()

    made = client.post("/v1/jobs", json={"dataset": dataset["id"], "target": "y"}).json()
    read = client.get(f"/v1/jobs/{made['id']}").json()

    assert made["warnings"] == [
        "column 'unnamed_1' is left out of the features: not named in the file",
        "column 'name' is left out of the features: text of too many levels",
    ]
    assert read["warnings"] == made["warnings"]


def test_a_nameless_column_is_no_feature_unless_asked_for(client: TestClient) -> None:
    content = '"height","mass"\n"1",150,50\n"2",153,53.5\n"3",156,57\n'
    dataset = client.post("/v1/datasets", content=content, headers=CSV).json()
    spec = {"dataset": dataset["id"], "target": "mass"}

    by_default = client.post("/v1/jobs", json=spec)
    asked_for = client.post("/v1/jobs", json={**spec, "features": ["unnamed_1"]})
    alone = client.post("/v1/jobs", json={**spec, "target": ["height", "mass"]})

    assert [column["unnamed"] for column in dataset["columns"]] == [True, False, False]
    assert (by_default.status_code, asked_for.status_code) == (202, 202)
    assert (alone.status_code, alone.json()["param"]) == (422, "features")


def test_the_first_lines_are_read_as_the_query_says(client: TestClient) -> None:
    query = {"skip_rows": "1", "comment": "#", "header": "absent", "encoding": "cp1252"}
    content = "Preise\n# in €\nÜlm;1\nBonn;2\n".encode("cp1252")

    created = client.post("/v1/datasets", params=query, content=content, headers=CSV).json()

    columns = [(column["name"], column["sample"]) for column in created["columns"]]
    assert columns == [("column_1", ["Ülm", "Bonn"]), ("column_2", [1, 2])]


def test_a_sign_cannot_be_decimal_and_group_digits(client: TestClient) -> None:
    query = {"decimal": ",", "thousands": ","}

    problem = client.post("/v1/datasets", params=query, content=RENTS, headers=CSV).json()

    assert (problem["status"], problem["param"]) == (422, "thousands")


def test_a_preview_has_as_many_rows_as_asked_for(client: TestClient) -> None:
    text = "a,b,c\n" + "".join(f"{2**53 + i},{i / 7},{i % 2 == 0}\n" for i in range(500))
    url = create(client, text.encode())["urls"]["preview"]

    assert len(client.get(url).json()["rows"]) == 10
    rows = client.get(url, params={"rows": 100}).json()["rows"]
    assert rows == [[2**53 + i, i / 7, i % 2 == 0] for i in range(100)]
    for wrong in ("0", "101", "x"):
        assert client.get(url, params={"rows": wrong}).status_code == 422
    nobody = client.get(f"/v1/datasets/ds_{'0' * 32}/preview")
    assert nobody.status_code == 404


@pytest.mark.parametrize(
    "format_", ["csv", "parquet", "arrow_file", "arrow_stream", "ndjson", "json"]
)
def test_rows_are_appended_below_in_any_format(client: TestClient, format_: str) -> None:
    kind, content, _ = FORMATS[format_]
    parent = create(client, TABLE, name="homes")

    response = client.post(parent["urls"]["rows"], content=content, headers={"content-type": kind})

    assert response.status_code == 201, response.text
    child = response.json()
    assert (child["parent_id"], child["parent_rows"]) == (parent["id"], 3)
    assert (child["n_rows"], child["format"], child["name"]) == (6, format_, "homes")
    assert [c["dtype"] for c in child["columns"]] == [c["dtype"] for c in parent["columns"]]
    assert client.get(child["urls"]["preview"]).json()["rows"] == ROWS + ROWS
    assert client.get(response.headers["location"]).json() == child
    assert client.get(parent["urls"]["self"]).json() == parent


def test_appended_columns_are_matched_by_name_and_read_as_the_parents(client: TestClient) -> None:
    parent = create(client, b"zip,x\n0815,1.5\n4711,2\n", text="zip")

    child = client.post(
        parent["urls"]["rows"], content=b"x,zip\n7,0042\n,\n", headers=CSV, params={"name": "more"}
    ).json()

    assert client.get(child["urls"]["preview"]).json()["rows"] == [
        ["0815", 1.5], ["4711", 2.0], ["0042", 7.0], [None, None],
    ]  # fmt: skip
    assert child["name"] == "more"


def test_what_was_given_as_X_and_y_is_appended_to_as_such(client: TestClient) -> None:
    parent = client.post("/v1/datasets", json=NOTEBOOK).json()

    child = client.post(parent["urls"]["rows"], json={"X": [[4.0]], "y": [8.0]}).json()
    again = client.post(child["urls"]["rows"], content=b"x0,y\n5,10\n", headers=CSV).json()

    assert again["default_target"] == ["y"]
    assert again["n_rows"] == 5
    assert (again["parent_id"], again["parent_rows"]) == (child["id"], 4)


@pytest.mark.parametrize(
    ("rows", "param", "said"),
    [
        ("hours,price\n1,2\n", "town", "'town'"),
        ("hours,price,town,x\n1,2,a,3\n", "x", "no column 'x'"),
        ("hours,price,town\n1.5,2,a\n7351731.5,2,a\n", "hours", "must be int64.*rows 1, 2"),
        ("hours,price,town\n1,7351731x,a\n", "price", "must be float64.*row 1"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_column(
    client: TestClient, rows: str, param: str, said: str
) -> None:
    parent = create(client, TABLE)

    response = client.post(parent["urls"]["rows"], content=rows, headers=CSV)

    problem = response.json()
    assert (response.status_code, problem["param"]) == (422, param)
    assert re.search(said, problem["detail"]), problem
    assert "7351731" not in response.text


def test_typed_rows_of_another_type_are_refused_by_column(client: TestClient) -> None:
    parent = create(client, TABLE)
    kind = {"content-type": "application/x-ndjson"}

    for cell, status in (('"1"', 422), ("1.5", 422), ("4.0", 201), ("null", 201)):
        row = f'{{"hours": {cell}, "price": 1, "town": null}}'
        response = client.post(parent["urls"]["rows"], content=row, headers=kind)
        assert response.status_code == status, response.text
        assert status == 201 or response.json()["param"] == "hours"


def test_rows_are_appended_to_nothing_that_is_not_there(client: TestClient) -> None:
    response = client.post(f"/v1/datasets/ds_{'0' * 32}/rows", content=TABLE, headers=CSV)

    assert response.status_code == 404


GZIP = {**CSV, "content-encoding": "gzip"}


def test_members_of_gzip_behind_one_another_are_one_body(client: TestClient) -> None:
    halves = gzip.compress(TABLE[:20]) + gzip.compress(b"") + gzip.compress(TABLE[20:])

    response = client.post("/v1/datasets", content=halves, headers=GZIP)

    assert response.json()["n_rows"] == 3


PACKED = gzip.compress(TABLE, mtime=0)  # a test is named alike in every process


@pytest.mark.parametrize(
    "content",
    [b"", TABLE, PACKED[:-1], PACKED + b"x", PACKED[:12]],
    ids=["nothing", "not packed", "cut off", "more behind", "cut in the middle"],
)
def test_what_is_no_whole_gzip_is_malformed(client: TestClient, content: bytes) -> None:
    response = client.post("/v1/datasets", content=content, headers=GZIP)

    assert response.status_code == 400
    assert response.json()["code"] == "malformed_body"


def test_a_gzip_bomb_is_413_within_a_second(client: TestClient, settings: ServiceSettings) -> None:
    bomb = gzip.compress(b"a\n" + bytes(10**7), 9) * 1000
    start = time.monotonic()

    response = client.post("/v1/datasets", content=bomb, headers=GZIP)

    assert response.status_code == 413
    assert time.monotonic() - start < 1
    assert list((settings.data / "uploads").iterdir()) == []


def test_what_inflates_beyond_the_limit_is_413(settings: ServiceSettings) -> None:
    limits = Limits(upload_bytes=10_000, inline_json_bytes=10_000)
    small = settings.model_copy(update={"limits": limits})
    with TestClient(create_app(small), base_url=LOCAL) as client:
        for kind in ("text/csv", "application/json"):
            packed = gzip.compress(b"a\n" + b"1\n" * 10_000)
            headers = {"content-type": kind, "content-encoding": "gzip"}
            assert client.post("/v1/datasets", content=packed, headers=headers).status_code == 413


def test_another_encoding_is_415(client: TestClient) -> None:
    response = client.post("/v1/datasets", content=TABLE, headers={**CSV, "content-encoding": "br"})

    assert response.status_code == 415


@pytest.fixture
def alone(settings: ServiceSettings) -> FastAPI:
    """An app whose children are its own, and the only ones."""
    LastingPool.end()
    return create_app(settings)


@pytest.fixture
def limited(settings: ServiceSettings) -> FastAPI:
    LastingPool.end()
    return create_app(
        settings.model_copy(
            update={"ingest_processes": 1, "ingest_memory_bytes": 2**29, "ingest_seconds": 1.0}
        )
    )


def children() -> set[int]:
    """The readers that this process started itself; a stack of other tests has its own."""
    return {
        child.pid
        for child in psutil.Process().children()
        if "storage.ingest_child" in child.cmdline()
    }


def test_a_file_that_takes_too_long_is_refused_and_the_next_is_read(
    limited: FastAPI, settings: ServiceSettings
) -> None:
    with TestClient(limited, base_url=LOCAL) as client:
        create(client, TABLE)
        before = children()
        slow = b'{"a": 1.5}\n' * 3_000_000

        late = client.post(
            "/v1/datasets", content=slow, headers={"content-type": "application/x-ndjson"}
        )

        assert late.status_code == 422, late.text
        assert late.json()["detail"] == "reading the file took longer than 1 s"
        assert children() & before == set()
        create(client, TABLE)
    assert children() == set()
    assert list((settings.data / "uploads").iterdir()) == []


def test_a_file_that_needs_too_much_memory_is_refused_and_the_next_is_read(
    limited: FastAPI, settings: ServiceSettings
) -> None:
    file = io.BytesIO()
    pl.DataFrame({"a": pl.repeat(1.0, 60_000_000, eager=True)}).write_parquet(
        file, row_group_size=60_000_000
    )
    with TestClient(limited, base_url=LOCAL) as client:
        response = client.post(
            "/v1/datasets",
            content=file.getvalue(),
            headers={"content-type": "application/vnd.apache.parquet"},
        )

        assert response.status_code == 422, response.text
        assert "512 MiB of memory" in response.json()["detail"]
        create(client, TABLE)
    assert list((settings.data / "uploads").iterdir()) == []


def test_a_child_that_was_killed_is_replaced(alone: FastAPI) -> None:
    with TestClient(alone, base_url=LOCAL) as client:
        create(client, TABLE)
        (child,) = children()
        os.kill(child, signal.SIGKILL)

        create(client, TABLE)

        assert children().isdisjoint({child})
    assert children() == set()


def test_a_child_has_no_socket_no_database_and_no_secret(alone: FastAPI) -> None:
    with TestClient(alone, base_url=LOCAL) as client:
        create(client, TABLE)
        (child,) = children()

        kinds = [str(path.readlink()) for path in Path(f"/proc/{child}/fd").iterdir()]
        environment = Path(f"/proc/{child}/environ").read_text()

    assert [kind for kind in kinds if "socket" in kind or kind.endswith(".db")] == []
    assert "DESCEND" not in environment


def test_a_child_computes_with_the_kernels_of_its_parent_and_with_one_thread_of_blas(
    alone: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    with TestClient(alone, base_url=LOCAL) as client:
        create(client, TABLE)
        (child,) = children()

        environment = Path(f"/proc/{child}/environ").read_text().split("\0")

    assert {"OPENBLAS_CORETYPE=Haswell", "OPENBLAS_NUM_THREADS=1"} <= set(environment)


def test_samples_are_the_cells_themselves(client: TestClient) -> None:
    big = [2**53 + 1, 2**53, -(2**63), 2**63 - 1]
    table = "id,sold\n" + "".join(f"{cell},true\n" for cell in big) + ",\n"

    columns = client.post("/v1/datasets", content=table, headers=CSV).json()["columns"]

    assert columns[0]["sample"] == big
    assert (columns[1]["sample"], columns[1]["missing"]) == ([True], 1)
