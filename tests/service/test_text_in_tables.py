"""Text in tables that are no CSV, over HTTP: one rule, the same options, in bodies and in jobs."""

import io
import json
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from descend.encoding import CategoricalInput, NumericInput
from storage.database import Database
from tests.service.catalogue import model_of_inputs
from tests.service.conftest import store_model

RENTS = {"rent": ["$1,250", "$900", "$875"], "town": ["Ulm", "Bonn", "Ulm"], "y": [3, 1, 2]}
RECORDS = [dict(zip(RENTS, row, strict=True)) for row in zip(*RENTS.values(), strict=True)]
OPTIONS = {"thousands": "rent:,", "strip": "rent:$"}
JSON = "application/json"
BODIES = {
    "columns": (JSON, json.dumps({"columns": RENTS})),
    "records": (JSON, json.dumps(RECORDS)),
    "ndjson": ("application/x-ndjson", "".join(f"{json.dumps(row)}\n" for row in RECORDS)),
}
every_body = pytest.mark.parametrize(("kind", "content"), BODIES.values(), ids=BODIES)


@every_body
def test_text_of_numbers_is_refused_and_read_by_the_options_that_are_named(
    client: TestClient, kind: str, content: str
) -> None:
    headers = {"content-type": kind}

    refused = client.post("/v1/datasets", content=content, headers=headers)
    stored = client.post("/v1/datasets", content=content, headers=headers, params=OPTIONS)
    more = client.post(
        stored.json()["urls"]["rows"], content=content, headers=headers, params=OPTIONS
    )

    (error,) = refused.json()["errors"]
    assert refused.status_code == 422, refused.text
    assert error["options"][0] == {"thousands": ["rent:,"], "strip": ["rent:$"]}
    assert stored.status_code == 201, stored.text
    assert stored.json()["format"] == ("json" if kind == JSON else "ndjson")
    columns = {one["name"]: one for one in stored.json()["columns"]}
    assert (columns["rent"]["dtype"], columns["rent"]["max"]) == ("int64", 1250)
    assert columns["town"]["dtype"] == "string"
    assert more.status_code == 201, more.text
    rows = client.get(more.json()["urls"]["preview"]).json()["rows"]
    assert [row[0] for row in rows] == [1250, 900, 875, 1250, 900, 875]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/plans", "/v1/gradients"])
@pytest.mark.parametrize("data", [{"columns": RENTS}, RECORDS], ids=["columns", "records"])
def test_data_inside_a_job_is_judged_as_an_upload_is(
    client: TestClient, path: str, data: Any
) -> None:
    refused = client.post(path, json={"dataset": data, "target": "y"})

    problem = refused.json()
    assert (refused.status_code, problem["param"]) == (422, "rent"), refused.text
    assert problem["errors"][0]["code"] == "written_numbers"
    assert "as numbers of JSON" in problem["detail"]
    assert "POST /v1/datasets" in problem["detail"]


def test_a_job_takes_texts_that_are_named_levels_or_that_it_does_not_need(
    client: TestClient,
) -> None:
    zones = {"columns": {"zone": ["1", "2", "1", "2"], "x": [1, 2, 3, 5], "y": [1, 2, 3, 5]}}

    for more in (
        {"dataset": zones | {"text": ["zone"]}},
        {"dataset": zones, "features": ["x"]},
        {"dataset": zones, "exclude": ["zone"]},
    ):
        answer = client.post("/v1/jobs", json={"target": "y", **more})

        assert answer.status_code == 202, answer.text
        dataset = client.get(f"/v1/datasets/{answer.json()['spec']['dataset']}").json()
        assert [one["dtype"] for one in dataset["columns"]] == ["string", "float64", "float64"]
    unknown = client.post("/v1/jobs", json={"dataset": zones | {"text": ["area"]}, "target": "y"})
    assert unknown.status_code == 422
    assert "'area'" in unknown.text


def test_arrays_take_no_option_about_text_and_nothing_but_a_csv_takes_its_own(
    client: TestClient,
) -> None:
    file = io.BytesIO()
    np.save(file, np.ones((3, 2)))
    kind, content = BODIES["ndjson"]
    for option in ("decimal", "thousands", "strip", "dates", "text", "columns", "exclude"):
        answer = client.post(
            "/v1/datasets",
            content=file.getvalue(),
            headers={"content-type": "application/x-npy"},
            params={option: "a"},
        )
        assert (answer.status_code, answer.json()["param"]) == (422, option)
    for option, value in (("delimiter", ";"), ("header", "absent"), ("skip_rows", "1")):
        answer = client.post(
            "/v1/datasets", content=content, headers={"content-type": kind}, params={option: value}
        )
        assert (answer.status_code, answer.json()["param"]) == (422, option)


# -- lists and objects inside of records --------------------------------------------------------

NESTED = [
    {"x": 1, "tags": ["a"], "place": None, "y": 2},
    {"x": 2, "tags": [], "place": {"lat": 1.5}, "y": 4},
    {"x": 4, "y": 7},
]
UNREADABLE = [{"name": "tags", "type": "list"}, {"name": "place", "type": "struct"}]


def nested_columns() -> dict[str, Any]:
    return {"columns": {name: [row.get(name) for row in NESTED] for name in NESTED[0]}}


@pytest.mark.parametrize("data", [NESTED, nested_columns()], ids=["records", "columns"])
def test_lists_and_objects_are_no_reason_to_refuse_what_does_not_name_them(
    client: TestClient, data: Any
) -> None:
    stored = client.post("/v1/datasets", json=data)
    job = client.post("/v1/jobs", json={"dataset": data, "target": "y"})
    named = client.post("/v1/jobs", json={"dataset": data, "target": "y", "features": ["tags"]})
    below = client.post(stored.json()["urls"]["rows"], json=data)

    assert stored.status_code == 201, stored.text
    assert stored.json()["unreadable"] == UNREADABLE
    assert job.status_code == 202, job.text
    dataset = client.get(f"/v1/datasets/{job.json()['spec']['dataset']}").json()
    assert dataset["unreadable"] == UNREADABLE
    assert sum("not kept: column" in told for told in dataset["warnings"]) == 2
    assert (named.status_code, named.json()["param"]) == (422, "features")
    assert "'tags' holds list values" in named.json()["detail"]
    assert below.status_code == 201, below.text
    assert below.json()["n_rows"] == 6


def test_records_are_predicted_whatever_else_is_in_them(
    client: TestClient, database: Database
) -> None:
    inputs = [NumericInput(name="x"), CategoricalInput(name="town", levels=["Bonn", "Ulm"])]
    url = f"/v1/models/{store_model(database, model_of_inputs(inputs))}/predict"
    rows = [{"x": 1, "town": "Ulm"}, {"x": 2, "town": "Bonn"}]

    told = client.post(url, json=[row | {"tags": [1], "place": {"a": 1}} for row in rows])

    assert told.status_code == 200, told.text
    assert told.json()["y"] == client.post(url, json={"rows": rows}).json()["y"]
    for name, cell in (("x", [1]), ("town", ["Ulm"]), ("town", {})):
        answer = client.post(url, json=[rows[0] | {name: cell}])
        assert (answer.status_code, answer.json()["param"]) == (422, name), answer.text
