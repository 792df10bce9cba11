"""Parquet and Arrow over HTTP: columns that are not kept, rows below them, jobs on them."""

import io
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from starlette.testclient import TestClient

from descend.encoding import CategoricalInput, NumericInput
from storage.database import Database
from tests.service.catalogue import model_of_inputs
from tests.service.conftest import store_model

FILES = Path(__file__).parents[1] / "storage" / "arrow_files"
PARQUET = {"content-type": "application/vnd.apache.parquet"}
STREAM = {"content-type": "application/vnd.apache.arrow.stream"}


def parquet(frame: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.write_parquet(file)
    return file.getvalue()


@pytest.fixture
def uploaded(client: TestClient) -> Any:
    content = (FILES / "every_type.parquet").read_bytes()
    answer = client.post("/v1/datasets", content=content, headers=PARQUET)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_profile_tells_what_is_not_kept_wherever_it_is_read(
    client: TestClient, uploaded: Any
) -> None:
    assert {"name": "when", "type": "timestamp"} in uploaded["unreadable"]
    assert client.get(uploaded["urls"]["self"]).json() == uploaded
    assert client.get("/v1/datasets").json()["data"] == [uploaded]
    preview = client.get(uploaded["urls"]["preview"]).json()
    assert preview["columns"] == ["x", "zone", "flag", "unnamed_1", "y"]


def test_a_job_uses_neither_what_is_not_kept_nor_what_has_no_name(
    client: TestClient, uploaded: Any
) -> None:
    job = client.post("/v1/jobs", json={"dataset": uploaded["id"], "target": "y"})

    assert job.status_code == 202, job.text
    told = job.json()["warnings"]
    assert "column 'unnamed_1' is left out of the features: not named in the file" in told
    assert not any("'x'" in one or "'zone'" in one for one in told)
    named = {"dataset": uploaded["id"], "target": "y", "features": ["x", "unnamed_1"]}
    assert client.post("/v1/jobs", json=named).status_code == 202


@pytest.mark.parametrize(
    "field", [{"features": ["x", "when"]}, {"target": "when"}, {"weight": "when"}]
)
def test_a_job_that_names_what_is_not_kept_is_refused_with_its_type_and_the_cure(
    client: TestClient, uploaded: Any, field: dict[str, Any]
) -> None:
    answer = client.post("/v1/jobs", json={"dataset": uploaded["id"], "target": "y"} | field)

    assert answer.status_code == 422, answer.text
    assert answer.json()["param"] == next(iter(field))
    assert "'when' holds timestamp values" in answer.json()["detail"]
    assert "dates=days" in answer.json()["detail"]


def test_rows_come_below_a_table_with_what_is_not_kept_however_they_have_it(
    client: TestClient,
) -> None:
    table = pl.DataFrame({"x": [1.0], "day": [date(2026, 1, 1)], "y": [2.0]})
    parent = client.post("/v1/datasets", content=parquet(table), headers=PARQUET).json()
    for rows in (table, table.drop("day"), table.cast({"day": pl.String})):
        answer = client.post(parent["urls"]["rows"], content=parquet(rows), headers=PARQUET)

        assert answer.status_code == 201, answer.text
        assert answer.json()["unreadable"] == [{"name": "day", "type": "date"}]
        preview = client.get(answer.json()["urls"]["preview"]).json()
        assert preview == {
            "object": "preview",
            "columns": ["x", "y"],
            "rows": [[1.0, 2.0], [1.0, 2.0]],
        }


def test_rows_whose_column_cannot_be_read_where_the_tables_can_are_refused(
    client: TestClient,
) -> None:
    table = pl.DataFrame({"x": [1.0], "y": [2.0]})
    parent = client.post("/v1/datasets", content=parquet(table), headers=PARQUET).json()
    rows = pl.DataFrame({"x": [date(2026, 1, 1)], "y": [2.0]})

    answer = client.post(parent["urls"]["rows"], content=parquet(rows), headers=PARQUET)

    assert (answer.status_code, answer.json()["param"]) == (422, "x")
    assert "'x' holds date values" in answer.json()["detail"]


def test_replaced_dictionaries_are_read_on_upload_append_and_predict(
    client: TestClient, database: Database
) -> None:
    woods = ["ash", "oak", None, "elm", "fir", "ash", "fir", "fir", "elm"]
    stream = (FILES / "replaced.arrows").read_bytes()

    parent = client.post("/v1/datasets", content=stream, headers=STREAM).json()
    child = client.post(parent["urls"]["rows"], content=stream, headers=STREAM).json()

    rows = client.get(child["urls"]["preview"], params={"rows": 18}).json()["rows"]
    assert [row[0] for row in rows] == woods + woods
    levels = CategoricalInput(name="wood", levels=["ash", "elm", "fir", "oak"], fill="ash")
    url = f"/v1/models/{store_model(database, model_of_inputs([levels]))}/predict"
    told = client.post(url, content=stream, headers=STREAM)
    by_rows = client.post(url, json={"rows": [{"wood": wood} for wood in woods]})
    assert told.status_code == 200, told.text
    assert told.json()["y"] == by_rows.json()["y"]


def test_a_category_of_numbers_is_predicted_as_levels(
    client: TestClient, database: Database
) -> None:
    inputs = [CategoricalInput(name="zone", levels=["1", "2", "3"]), NumericInput(name="x")]
    url = f"/v1/models/{store_model(database, model_of_inputs(inputs))}/predict"
    content = (FILES / "every_type.parquet").read_bytes()

    told = client.post(url, content=content, headers=PARQUET)

    rows = [{"zone": zone, "x": x} for zone, x in (("1", 1), ("2", 2), ("1", 3), ("3", 4))]
    assert told.status_code == 200, told.text
    assert told.json()["y"] == client.post(url, json={"rows": rows}).json()["y"]
