import base64
import gzip
import hashlib
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from descend.limits import Limits
from service.app import create_app
from service.settings import ServiceSettings
from storage.database import Database
from storage.ingest import read_columns
from tests.service.conftest import LOCAL, NOTEBOOK

CSV = {"content-type": "text/csv"}
TABLE = "hours,price\n1,2.5\n2,4.0\n3,6.5\n"


def test_a_csv_becomes_a_profiled_dataset(client: TestClient) -> None:
    response = client.post("/v1/datasets", params={"name": "prices"}, content=TABLE, headers=CSV)

    assert response.status_code == 201, response.text
    dataset = response.json()
    assert response.headers["location"] == f"/v1/datasets/{dataset['id']}"
    assert dataset["name"] == "prices"
    assert dataset["format"] == "csv"
    assert dataset["n_rows"] == 3
    assert [column["name"] for column in dataset["columns"]] == ["hours", "price"]
    assert dataset["columns"][1]["max"] == 6.5
    assert client.get(response.headers["location"]).json() == dataset


def test_a_csv_may_be_written_otherwise(client: TestClient) -> None:
    text = "größe;preis\n1,5;NA\n2,5;4,0\n".encode("latin-1")
    options = {"delimiter": ";", "decimal": ",", "encoding": "latin-1", "null_values": "NA,-"}

    response = client.post("/v1/datasets", params=options, content=text, headers=CSV)

    assert response.status_code == 201, response.text
    size, price = response.json()["columns"]
    assert size["name"] == "größe"
    assert size["mean"] == 2.0
    assert price["missing"] == 1


def test_json_rows_and_columns_become_datasets(client: TestClient) -> None:
    rows = client.post("/v1/datasets", json=NOTEBOOK)
    columns = client.post("/v1/datasets", json={"columns": {"a": [1, None], "b": ["x", "y"]}})

    assert rows.json()["default_target"] == ["y"]
    assert [column["name"] for column in rows.json()["columns"]] == ["x0", "y"]
    assert [column["dtype"] for column in columns.json()["columns"]] == ["float64", "string"]
    assert columns.json()["columns"][0]["missing"] == 1


def test_a_large_upload_is_an_artefact_and_leaves_no_temporary_file(
    client: TestClient, settings: ServiceSettings, database: Database
) -> None:
    lines = ["a,b", *(f"{i},{i * 0.5}" for i in range(40_000))]

    response = client.post("/v1/datasets", content="\n".join(lines), headers=CSV)

    assert response.status_code == 201, response.text
    with database.read() as tx:
        stored = tx.datasets.stored(response.json()["id"])
    assert stored.artefact is not None
    path = settings.artefacts / stored.artefact
    assert read_columns(path, ["b"])["b"][39_999] == 19_999.5
    assert list((settings.data / "uploads").iterdir()) == []


def test_deleting_a_dataset_deletes_its_bytes(
    client: TestClient, settings: ServiceSettings
) -> None:
    lines = ["a,b", *(f"{i},{i * 0.5}" for i in range(40_000))]
    created = client.post("/v1/datasets", content="\n".join(lines), headers=CSV).json()

    response = client.delete(f"/v1/datasets/{created['id']}")

    assert response.status_code == 204
    assert client.get(f"/v1/datasets/{created['id']}").status_code == 404
    assert [path for path in settings.artefacts.rglob("*") if path.is_file()] == []


def test_a_dataset_in_use_is_not_deleted(client: TestClient) -> None:
    dataset_id = client.post("/v1/datasets", json=NOTEBOOK).json()["id"]
    client.post("/v1/jobs", json={"dataset": dataset_id})

    response = client.delete(f"/v1/datasets/{dataset_id}")

    assert response.status_code == 409
    assert response.json()["code"] == "dataset_in_use"


def test_the_list_is_walked_by_its_cursor(client: TestClient) -> None:
    made = [
        client.post("/v1/datasets", json=NOTEBOOK, params={"name": f"set {i}"}).json()["id"]
        for i in range(5)
    ]

    first = client.get("/v1/datasets", params={"limit": 3}).json()
    second = client.get("/v1/datasets", params={"limit": 3, "after": first["last_id"]}).json()

    assert [item["id"] for item in first["data"] + second["data"]] == made[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)
    named = client.get("/v1/datasets", params={"q": "SET 3"}).json()["data"]
    assert [item["id"] for item in named] == [made[3]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"a,b\n",
        b"a,a\n1,2\n",
        b"a,b\n1\n",
        b"a,b\n1,2,3\n",
        b"a,b\n1,\xff\n",
        b"a,b\n1,\x00\n",
        b'a,b\n"1,2\n',
        b"a,b\n" + b"1," * 100_000,
        b"\xff\xfea\x00",
        (",".join(f"c{i}" for i in range(10_001)) + "\n").encode(),
        (f"{'c' * 201}\n1\n").encode(),
    ],
    ids=range(13),
)
def test_what_is_no_table_is_refused(client: TestClient, content: bytes) -> None:
    response = client.post("/v1/datasets", content=content, headers=CSV)

    assert response.status_code == 422, response.text
    assert response.json()["code"] == "invalid_dataset"


@pytest.mark.parametrize(
    "body",
    [
        {"columns": {"a": [1, "x"]}},
        {"columns": {"a": [None, None]}},
        {"columns": {"a": [1, 1]}},
        {"columns": {"a": [True, False]}},
        {"X": [[1.0]], "y": [[1.0, 2.0]]},
        {"X": [[1e308]], "y": [-1e308]},
        {"X": [[0.0] * 10_000], "y": [1.0]},
    ],
)
def test_odd_tables_are_taken_or_refused_but_never_break(
    client: TestClient, body: dict[str, object]
) -> None:
    assert client.post("/v1/datasets", json=body).status_code in {201, 422}


def test_csv_options_are_refused_for_json(client: TestClient) -> None:
    response = client.post("/v1/datasets", params={"delimiter": ";"}, json=NOTEBOOK)

    assert response.status_code == 422
    assert response.json()["param"] == "delimiter"


def test_an_upload_beyond_the_limit_is_413_and_leaves_nothing(
    settings: ServiceSettings, tmp_path: Path
) -> None:
    small = settings.model_copy(update={"limits": Limits(upload_bytes=1000)})
    with TestClient(create_app(small), base_url=LOCAL) as client:
        response = client.post("/v1/datasets", content=b"a\n" + b"1\n" * 1000, headers=CSV)

    assert response.status_code == 413
    assert list((tmp_path / "uploads").iterdir()) == []


def digest_of(name: str, content: str = TABLE) -> str:
    digest = hashlib.new(name.replace("-", ""), content.encode()).digest()
    return f"{name}=:{base64.b64encode(digest).decode()}:"


RIGHT = (digest_of("sha-256"), digest_of("sha-512"))
WRONG = (digest_of("sha-256", "other"), digest_of("sha-512", "other"))


@pytest.mark.parametrize(
    ("claimed", "status"),
    [
        (RIGHT[0], 201),
        (RIGHT[1], 201),
        (f"{RIGHT[0]}, {RIGHT[1]}", 201),
        (f"{RIGHT[0]};a=1 ,\t{RIGHT[1]}", 201),
        (f"{WRONG[0]}, {RIGHT[0]}", 201),  # of equal names the last counts
        ("md5=:AAAA:", 201),
        (f"md5=:AAAA:, {RIGHT[1]}", 201),
        (WRONG[0], 400),
        (WRONG[1], 400),
        (f"{RIGHT[0]}, {WRONG[1]}", 400),
        (f"{WRONG[0]}, {RIGHT[1]}", 400),
        (f"md5=:AAAA:, {WRONG[1]}", 400),
        ("sha-256=:AAAA:", 400),
        ("sha-256=:A:", 400),
        ("sha-256=abcd", 400),
        (f"{RIGHT[0]},", 400),
    ],
)
def test_an_upload_that_is_not_what_was_sent_is_refused(
    client: TestClient, tmp_path: Path, claimed: str, status: int
) -> None:
    headers = {**CSV, "content-digest": claimed}

    response = client.post("/v1/datasets", content=TABLE, headers=headers)

    assert response.status_code == status, response.text
    if status == 400:
        assert response.json()["code"] == "malformed_body"
        assert client.get("/v1/datasets").json()["data"] == []
        assert list((tmp_path / "uploads").glob("*")) == []


def test_digests_may_come_in_several_fields_and_are_of_what_was_sent(client: TestClient) -> None:
    packed = gzip.compress(TABLE.encode())
    right = f"sha-512=:{base64.b64encode(hashlib.sha512(packed).digest()).decode()}:"
    head = [("content-type", "text/csv"), ("content-encoding", "gzip"), ("content-digest", right)]

    whole = client.post("/v1/datasets", content=packed, headers=head)
    torn = client.post(
        "/v1/datasets", content=packed, headers=[*head, ("content-digest", WRONG[0])]
    )

    assert (whole.status_code, torn.status_code) == (201, 400)
