import csv
import io

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

from descend.history import COLUMNS, History
from tests.service.conftest import Finish


def test_the_history_is_lists_of_equal_length(
    client: TestClient, job_id: str, finish: Finish
) -> None:
    finish(5)

    response = client.get(f"/v1/jobs/{job_id}/history")

    assert response.status_code == 200
    history = response.json()
    assert history["epoch"] == [0, 1, 2, 3, 4]
    assert history["train_loss"] == [1.0, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert history["eval_loss"] == [None] * 5
    assert history["total"] == 5


def test_a_queued_job_has_an_empty_history(client: TestClient, job_id: str) -> None:
    assert client.get(f"/v1/jobs/{job_id}/history").json()["epoch"] == []


@pytest.mark.parametrize(
    ("query", "epochs"),
    [
        ({"start": 3}, [3, 4]),
        ({"stop": 2}, [0, 1]),
        ({"start": 1, "stop": 3}, [1, 2]),
        ({"start": 4, "stop": 2}, []),
        ({"start": 100}, []),
        ({"stop": 10**9}, [0, 1, 2, 3, 4]),
        ({"stop": 0}, []),
        ({"max_points": 2}, [0, 4]),
        ({"start": 1, "max_points": 2}, [1, 4]),
    ],
)
def test_a_part_is_chosen_by_place(
    client: TestClient,
    job_id: str,
    finish: Finish,
    *,
    query: dict[str, int],
    epochs: list[int],
) -> None:
    finish(5)

    as_json = client.get(f"/v1/jobs/{job_id}/history", params=query)
    as_csv = client.get(f"/v1/jobs/{job_id}/history", params={**query, "format": "csv"})

    assert as_json.json()["epoch"] == epochs
    rows = list(csv.DictReader(io.StringIO(as_csv.text)))
    assert [int(row["epoch"]) for row in rows] == epochs


def test_csv_has_every_digit_and_no_word_for_what_is_absent(
    client: TestClient, job_id: str, finish: Finish
) -> None:
    losses = np.array([1 / 3, 1e-300, np.inf])
    finish(3, loss=losses)

    response = client.get(f"/v1/jobs/{job_id}/history", headers={"accept": "text/csv"})

    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [float(row["train_loss"]) for row in rows[:2]] == losses[:2].tolist()
    assert rows[2]["train_loss"] == rows[0]["eval_loss"] == ""


def test_the_accept_header_takes_the_first_that_is_known(client: TestClient, job_id: str) -> None:
    def kind(accept: str) -> str:
        response = client.get(f"/v1/jobs/{job_id}/history", headers={"accept": accept})
        return response.headers["content-type"].split(";")[0]

    assert kind("*/*") == kind("text/html, application/json, text/csv") == "application/json"
    assert kind("text/csv;q=0.9, */*") == "text/csv"


def test_a_long_history_is_refused_in_json_and_streams_as_csv(
    client: TestClient, job_id: str, finish: Finish
) -> None:
    finish(100_001)

    whole = client.get(f"/v1/jobs/{job_id}/history")
    few = client.get(f"/v1/jobs/{job_id}/history", params={"max_points": 500})
    as_csv = client.get(f"/v1/jobs/{job_id}/history", params={"format": "csv"})

    assert whole.status_code == 422
    assert whole.json()["param"] == "max_points"
    assert "CSV" in whole.json()["detail"]
    history = History.from_json(few.json())
    assert len(history) == 500
    assert history.total == 100_001
    assert (history.train_loss == 1.0 / (history.epoch + 1)).all()
    assert as_csv.text.count("\n") == 100_002


@pytest.mark.parametrize(
    "query", [{"max_points": 1}, {"max_points": 100_001}, {"start": -1}, {"format": "xml"}]
)
def test_a_selection_out_of_bounds_is_refused(
    client: TestClient, job_id: str, query: dict[str, int]
) -> None:
    response = client.get(f"/v1/jobs/{job_id}/history", params=query)

    assert response.status_code == 422
    assert response.json()["param"] == next(iter(query))


def test_a_history_of_several_pieces_is_thinned_as_one(
    client: TestClient, job_id: str, finish: Finish
) -> None:
    losses = np.exp(-np.arange(450_000) / 1e5)
    losses[333_333] = 7.0
    finish(450_000, loss=losses)

    response = client.get(f"/v1/jobs/{job_id}/history", params={"max_points": 100})

    history = History.from_json(response.json())
    assert len(history) == 100
    assert history.total == 450_000
    assert {0, 333_333, 449_999} <= set(history.epoch.tolist())
    assert (history.train_loss == losses[history.epoch]).all()


def test_an_arrow_stream_holds_every_epoch_to_the_last_bit(
    client: TestClient, job_id: str, finish: Finish
) -> None:
    losses = np.exp(-np.arange(250_000) / 9000.0)
    losses[-2:] = [np.inf, np.nan]
    finish(loss=losses)

    response = client.get(f"/v1/jobs/{job_id}/history", params={"format": "arrow"})

    assert response.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert response.headers["x-total"] == "250000"
    table = pl.read_ipc_stream(io.BytesIO(response.content))
    assert table.columns == list(COLUMNS)
    assert table["epoch"].dtype == pl.Int64
    assert np.array_equal(table["epoch"].to_numpy(), np.arange(250_000))
    got = table["train_loss"].fill_null(np.nan).to_numpy()
    assert np.array_equal(got, losses, equal_nan=True)
    assert table["eval_loss"].null_count() == 250_000


def test_arrow_and_csv_may_be_chosen_from_by_points(
    client: TestClient, job_id: str, finish: Finish
) -> None:
    finish(5000)
    asked = {"max_points": 50, "fields": "epoch,train_loss,epoch"}
    url = f"/v1/jobs/{job_id}/history"

    few = client.get(url, params=asked).json()
    arrow = client.get(url, params=asked, headers={"accept": "application/vnd.apache.arrow.stream"})
    lines = client.get(url, params={**asked, "format": "csv"}).text.splitlines()

    assert set(few) == {"object", "total", "epoch", "train_loss"}
    assert pl.read_ipc_stream(io.BytesIO(arrow.content)).to_dict(as_series=False) == {
        name: few[name] for name in ("epoch", "train_loss")
    }
    assert lines[0] == "epoch,train_loss"
    assert [int(line.split(",")[0]) for line in lines[1:]] == few["epoch"]


@pytest.mark.parametrize("fields", ["", "loss", "epoch,", "epoch;gap"])
def test_columns_that_there_are_not_are_refused(
    client: TestClient, job_id: str, fields: str
) -> None:
    response = client.get(f"/v1/jobs/{job_id}/history", params={"fields": fields})

    assert (response.status_code, response.json()["param"]) == (422, "fields")
