"""Predictions from raw records, of a model that was trained on text and filled cells."""

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from descend.encoding import CategoricalInput, Encoding, NumericInput
from descend.models import LinearModel
from storage.database import Database
from tests.service.catalogue import model_of_inputs
from tests.service.conftest import claim_next, store_model
from tests.storage import acts

TABLE = {"columns": {"age": [1, 2, None], "town": ["Bonn", "Oslo", None], "y": [1, 2, 3]}}
ENCODING = Encoding(
    inputs=[
        NumericInput(name="age", fill=1.5),
        CategoricalInput(name="town", levels=["Bonn", "Oslo", "Rome"], fill="Rome"),
    ]
)


@pytest.fixture
def path(client: TestClient, database: Database) -> str:
    """Where to predict: y = 2 age + 10 (Oslo) + 20 (Rome) + 0.5."""
    job = {"dataset": TABLE, "target": "y", "missing": "mean"}
    submitted = client.post("/v1/jobs", json=job)
    assert submitted.status_code == 202, submitted.text
    model = LinearModel(
        features=ENCODING.features,
        targets=["y"],
        coef=[[2.0, 10.0, 20.0]],
        intercept=[0.5],
        encoding=ENCODING,
    )
    claim = claim_next(database)
    assert acts.finish(database, claim, model=model)
    model_id = client.get(f"/v1/jobs/{claim.job_id}").json()["model_id"]
    return f"/v1/models/{model_id}/predict"


@pytest.mark.parametrize(
    ("record", "y"),
    [
        ({"age": 3, "town": "Bonn"}, 6.5),
        ({"town": "Oslo", "age": 3}, 16.5),
        ({"age": None, "town": "Bonn"}, 3.5),
        ({"age": 3, "town": None}, 26.5),
        ({}, 23.5),
    ],
)
def test_a_raw_record_is_encoded_as_the_training_rows_were(
    client: TestClient, path: str, record: dict[str, Any], y: float
) -> None:
    answer = client.post(path, json={"rows": [record]})

    assert answer.status_code == 200, answer.text
    assert answer.json()["y"] == [[y]]


def test_an_unseen_level_counts_as_the_base_where_that_is_asked_for(
    client: TestClient, path: str
) -> None:
    rows = [{"age": 3, "town": "Paris"}, {"age": 3, "town": "Bonn"}]

    answer = client.post(path, json={"rows": rows, "unseen": "base"})

    assert answer.json()["y"] == [[6.5], [6.5]]


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"rows": [{}, {"town": "Paris"}]}, "rows.1.town", '"unseen": "base"'),
        ({"rows": [{"town": "Paris"}], "unseen": "error"}, "rows.0.town", "Bonn, Oslo, Rome"),
        ({"rows": [{"town": 1}]}, "rows.0.town", "'town'"),
        ({"rows": [{"age": "1"}]}, "rows.0.age", "'age' is a number"),
        ({"rows": [{"town=Oslo": 1}]}, "rows.0.town=Oslo", "no such feature"),
        ({"rows": [{}], "unseen": "nearest"}, "unseen", "'error' or 'base'"),
    ],
)
def test_what_cannot_be_encoded_is_refused_by_row_and_column(
    client: TestClient, path: str, body: dict[str, Any], param: str, says: str
) -> None:
    refused = client.post(path, json=body)

    problem = refused.json()
    assert refused.status_code == 422, refused.text
    assert problem["param"] == param
    assert says in problem["detail"]
    assert "Paris" not in refused.text


def test_the_design_matrix_itself_is_taken_too(client: TestClient, path: str) -> None:
    X = np.eye(3).tolist()

    answer = client.post(path, json={"X": X})

    assert answer.json()["y"] == [[2.5], [10.5], [20.5]]


@pytest.mark.parametrize("body", [{"X": []}, {"rows": []}], ids=str)
@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
def test_no_rows_are_no_predictions(
    client: TestClient, path: str, body: dict[str, Any], accept: str
) -> None:
    answer = client.post(path, json=body, headers={"accept": accept})

    assert answer.status_code == 200, answer.text
    assert answer.json()["y"] == [] if accept == "application/json" else answer.text == "y\n"


def test_a_row_predicts_the_same_bits_alone_and_among_others(
    client: TestClient, database: Database
) -> None:
    generator = np.random.default_rng(3)
    inputs = [NumericInput(name=f"x{i}") for i in range(37)]
    model = model_of_inputs(inputs, n_targets=2)
    coef = generator.normal(size=(2, 37)).tolist()
    where = store_model(database, model.model_copy(update={"coef": coef}))
    X = generator.normal(size=(50, 37)).tolist()

    together = client.post(f"/v1/models/{where}/predict", json={"X": X}).json()["y"]

    for place in (0, 7, 49):
        alone = client.post(f"/v1/models/{where}/predict", json={"X": [X[place]]}).json()["y"]
        assert alone == [together[place]]
        tensor = {"name": "X", "datatype": "FP64", "shape": [1, 37], "data": X[place]}
        inferred = client.post(f"/v2/models/{where}/infer", json={"inputs": [tensor]}).json()
        assert inferred["outputs"][0]["data"] == together[place]


@pytest.mark.parametrize(("n_inputs", "n_targets"), [(10_000, 1), (1, 2000)])
def test_rows_that_would_become_too_much_are_refused_before_they_are_encoded(
    client: TestClient, database: Database, n_inputs: int, n_targets: int
) -> None:
    inputs = [NumericInput(name=f"x{i}", fill=0.0) for i in range(n_inputs)]
    model = model_of_inputs(inputs, n_targets=n_targets)
    where = f"/v1/models/{store_model(database, model)}/predict"

    refused = client.post(where, json={"rows": [{}] * 2200})

    assert refused.status_code == 422
    assert refused.json()["param"] == "rows"
    assert "send fewer at a time" in refused.json()["detail"]
    assert client.post(where, json={"rows": [{}] * 3}).status_code == 200
