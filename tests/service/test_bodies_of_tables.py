"""What a table's body may be: arrays of records, packed with zstd, named in many ways."""

import gzip
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from starlette.testclient import TestClient

from descend.encoding import CategoricalInput, NumericInput
from descend.limits import Limits
from service.app import create_app
from service.settings import ServiceSettings
from storage.database import Database
from tests.service.catalogue import model_of_inputs
from tests.service.conftest import LOCAL, store_model

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

RECORDS = [
    {"hours": 1, "price": 2.5, "town": "Ulm"},
    {"price": None, "hours": 2, "town": "Bonn"},
    {"hours": 3, "price": 6.5},
]
ROWS = [[1.0, 2.5, "Ulm"], [2.0, None, "Bonn"], [3.0, 6.5, None]]
CSV = b"hours,price,town\n1,2.5,Ulm\n2,,Bonn\n3,6.5,\n"
TSV = CSV.replace(b",", b"\t")


def post(client: TestClient, content: bytes, kind: str, *, coding: str = "", **query: str) -> Any:
    headers = {"content-type": kind} | ({"content-encoding": coding} if coding else {})
    return client.post("/v1/datasets", content=content, headers=headers, params=query)


def preview(client: TestClient, created: Any) -> Any:
    assert created.status_code == 201, created.text
    return client.get(created.json()["urls"]["preview"]).json()["rows"]


# -- records ------------------------------------------------------------------------------------


def test_an_array_of_records_is_a_table_uploaded_appended_and_inline(client: TestClient) -> None:
    created = client.post("/v1/datasets", json=RECORDS)

    assert preview(client, created) == ROWS
    assert [one["dtype"] for one in created.json()["columns"]] == ["float64", "float64", "string"]
    appended = client.post(created.json()["urls"]["rows"], json=RECORDS[:2])
    assert preview(client, appended) == ROWS + ROWS[:2]
    job = {"dataset": RECORDS, "target": "hours", "features": ["town"], "missing": "drop"}
    inline = client.post("/v1/jobs", json=job)
    assert inline.status_code == 202, inline.text
    stored = client.get(f"/v1/datasets/{inline.json()['spec']['dataset']}").json()
    assert [one["missing"] for one in stored["columns"]] == [0, 1, 1]


@pytest.mark.parametrize(
    ("records", "param"),
    [
        ([{"a": 1}, {"a": [1]}], "a"),
        ([{"a": 1}, {"a": {"b": 1}}], "a"),
        ([{"a": 1}, {"a": "x"}], "a"),
        ([{"a": 1}, 7], "1"),
        ([], ""),
        ([{}], ""),
    ],
)
def test_records_that_are_no_table_are_refused_by_their_place(
    client: TestClient, records: list[Any], param: str
) -> None:
    uploaded = client.post("/v1/datasets", json=records)
    inline = client.post("/v1/jobs", json={"dataset": records, "target": "a"})

    assert (uploaded.status_code, inline.status_code) == (422, 422), uploaded.text
    assert (uploaded.json()["param"] or "") == param
    assert (inline.json()["param"] or "").removeprefix("dataset").lstrip(".") == param


@pytest.fixture
def model_url(client: TestClient, database: Database) -> str:
    inputs = [NumericInput(name="hours"), CategoricalInput(name="town", levels=["Bonn", "Ulm"])]
    return f"/v1/models/{store_model(database, model_of_inputs(inputs))}/predict"


def test_records_are_predicted_by_name_and_what_nobody_asks_for_is_left_alone(
    client: TestClient, model_url: str
) -> None:
    table = [{"id": "a7", "town": "Ulm", "hours": 2}, {"hours": 1, "town": "Bonn"}]
    rows = [{"town": "Ulm", "hours": 2}, {"hours": 1, "town": "Bonn"}]

    told = client.post(model_url, json=table)

    assert told.status_code == 200, told.text
    assert told.json()["y"] == client.post(model_url, json={"rows": rows}).json()["y"]
    odd = [{"hours": 1, "town": "Rome"}]
    assert client.post(model_url, json=odd, params={"unseen": "base"}).status_code == 200


@pytest.mark.parametrize(
    ("table", "param", "said"),
    [
        ([{"hours": 1}], "town", "no record has a column 'town'"),
        ([{"hours": 1, "town": "Ulm"}, {"town": "Ulm"}], "hours", "row 2: feature 'hours'"),
        ([{"hours": 1, "town": "Rome"}], "town", "row 1: .*not trained on"),
    ],
)
def test_records_that_a_model_cannot_take_are_refused_by_row(
    client: TestClient, model_url: str, table: Any, param: str, said: str
) -> None:
    refused = client.post(model_url, json=table)

    assert (refused.status_code, refused.json()["param"]) == (422, param)
    with pytest.raises(ValueError, match=said):
        raise ValueError(refused.json()["detail"])


# -- zstd ---------------------------------------------------------------------------------------


def test_zstd_bodies_are_read_in_one_frame_or_several(client: TestClient) -> None:
    frames = zstd.compress(CSV[:20]) + zstd.compress(CSV[20:])

    for content in (zstd.compress(CSV), frames):
        assert preview(client, post(client, content, "text/csv", coding="zstd")) == ROWS
    named = post(client, zstd.compress(CSV), "application/zstd", name="homes.csv.zst")
    assert preview(client, named) == ROWS


def test_a_file_packed_with_zstd_is_predicted(client: TestClient, model_url: str) -> None:
    rows = b"town,hours\nUlm,2\nBonn,1\n"
    headers = {"content-type": "text/csv"}

    packed = client.post(
        model_url, content=zstd.compress(rows), headers=headers | {"content-encoding": "zstd"}
    )

    assert packed.status_code == 200, packed.text
    assert packed.content == client.post(model_url, content=rows, headers=headers).content


@pytest.mark.parametrize(
    "content", [b"", CSV, zstd.compress(CSV)[:-3], zstd.compress(CSV) + b"more"]
)
def test_what_is_no_whole_zstd_is_malformed(client: TestClient, content: bytes) -> None:
    answer = post(client, content, "text/csv", coding="zstd")

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")


def test_a_bomb_of_zstd_and_a_window_beyond_that_of_http_are_413(
    settings: ServiceSettings,
) -> None:
    limits = Limits(upload_bytes=2**20)
    small = settings.model_copy(update={"limits": limits})
    wide = {zstd.CompressionParameter.window_log: 25}
    with TestClient(create_app(small), base_url=LOCAL) as client:
        bomb = post(client, zstd.compress(bytes(10**8)), "text/csv", coding="zstd")
    with TestClient(create_app(settings), base_url=LOCAL) as client:
        ratio = post(client, zstd.compress(b"a\n" + b"1\n" * 2**25), "text/csv", coding="zstd")
        packed = zstd.compress(os.urandom(2**24), options=wide)
        window = post(client, packed, "text/csv", coding="zstd")

    assert (bomb.status_code, ratio.status_code, window.status_code) == (413, 413, 413)
    assert "8 MiB" in window.json()["detail"]


# -- media types --------------------------------------------------------------------------------


def parquet() -> bytes:
    file = io.BytesIO()
    pl.DataFrame(RECORDS, schema=["hours", "price", "town"], orient="row").write_parquet(file)
    return file.getvalue()


LINES = "".join(json.dumps(row) + "\n" for row in RECORDS).encode()


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("text/csv; charset=utf-8; header=present", CSV),
        ("text/csv;charset=US-ASCII", CSV),
        ("application/csv", CSV),
        ("text/tab-separated-values", TSV),
        ("application/parquet", parquet()),
        ("application/x-parquet", parquet()),
        ("application/vnd.apache.parquet", parquet()),
        ("application/x-jsonlines", LINES),
        ("application/jsonl; charset=utf-8", LINES),
        ("application/ndjson", LINES),
        ("application/json; charset=UTF-8", json.dumps(RECORDS).encode()),
    ],
)
def test_the_usual_media_types_are_taken(client: TestClient, kind: str, content: bytes) -> None:
    assert preview(client, post(client, content, kind)) == ROWS


def test_tab_separated_values_are_so_whatever_else_is_in_their_header(client: TestClient) -> None:
    content = b"a; or b\tc\n1;2\t3\n"

    created = post(client, content, "text/tab-separated-values")
    by_rows = post(client, content, "text/csv")

    assert [one["name"] for one in created.json()["columns"]] == ["a; or b", "c"]
    assert [one["name"] for one in by_rows.json()["columns"]] == ["a", " or b\tc"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("homes.csv", CSV),
        ("homes.CSV", CSV),
        ("homes.tsv", TSV),
        ("homes.csv.gz", gzip.compress(CSV, mtime=0)),  # a test is named alike in every process
        ("homes.csv.zst", zstd.compress(CSV)),
        ("a.b.parquet", parquet()),
        ("homes.jsonl", LINES),
        ("homes.json", json.dumps(RECORDS).encode()),
    ],
)
def test_bytes_are_what_their_name_says(client: TestClient, name: str, content: bytes) -> None:
    created = post(client, content, "application/octet-stream", name=name)

    assert preview(client, created) == ROWS
    assert created.json()["name"] == name


@pytest.mark.parametrize("name", ["", "homes", "homes.xlsx", "homes.gz", ".csv.gz.gz"])
@pytest.mark.parametrize("kind", ["application/octet-stream", "application/gzip"])
def test_bytes_of_a_name_that_says_nothing_are_415_with_what_to_do(
    client: TestClient, kind: str, name: str
) -> None:
    answer = post(client, CSV, kind, name=name)

    assert answer.status_code == 415
    assert "name= that ends in .csv, .tsv" in answer.json()["detail"]


def test_a_charset_is_how_the_text_is_written_or_refused(client: TestClient) -> None:
    text = "town,price\nZürich,2\n"

    for charset in ("latin-1", "ISO-8859-1", '"iso8859-1"'):
        created = post(client, text.encode("latin-1"), f"text/csv; charset={charset}")
        assert preview(client, created) == [["Zürich", 2]]
    euros = "town,price €\nZürich,2\n"
    for charset in ("windows-1252", "cp1252", "utf-16", "UTF-8"):
        created = post(client, euros.encode(charset), f"text/csv; charset={charset}")
        assert preview(client, created) == [["Zürich", 2]]
        assert [one["name"] for one in created.json()["columns"]] == ["town", "price €"]
    for kind in ("text/csv; charset=klingon", "application/x-ndjson; charset=latin-1"):
        refused = post(client, b"{}", kind)
        assert refused.status_code == 415
        assert "UTF-8" in refused.json()["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_any_page_may_have_a_browser_send_is_415(client: TestClient, kind: str) -> None:
    assert post(client, CSV, kind, name="homes.csv").status_code == 415


def test_a_file_named_as_it_lies_there_is_read(tmp_path: Path, client: TestClient) -> None:
    path = tmp_path / "homes.ndjson.zst"
    path.write_bytes(zstd.compress(LINES))

    created = post(client, path.read_bytes(), "application/octet-stream", name=path.name)

    assert preview(client, created) == ROWS
