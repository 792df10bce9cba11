"""The Open Inference Protocol's edges: what is refused, in which words, and what is kept."""

import gzip
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from descend.encoding import CategoricalInput, Encoding, NumericInput
from descend.limits import MAX_PREDICTIONS
from descend.models import LinearModel
from service import inference
from service.compression import accepted
from service.loaded import LoadedModels
from storage.database import Database
from tests.service.catalogue import FILLED, NUMBERS, model_of_inputs
from tests.service.conftest import store_model

Json = dict[str, Any]
MIXED = model_of_inputs(FILLED)


@pytest.fixture
def numbers(client: TestClient, database: Database) -> str:
    """Where to infer with y = 2 a + 3 b + 0.5."""
    model = LinearModel(features=["a", "b"], targets=["y"], coef=[[2.0, 3.0]], intercept=[0.5])
    return f"/v2/models/{store_model(database, model)}/infer"


@pytest.fixture
def mixed(client: TestClient, database: Database) -> str:
    return f"/v2/models/{store_model(database, MIXED)}/infer"


def x(data: Any = None, *, shape: Any = None, datatype: Any = "FP64", **more: Any) -> Json:
    tensor = {"name": "X", "shape": shape or [1, 2], "datatype": datatype, **more}
    return tensor if data is None else {**tensor, "data": data}


def column(name: str, data: list[Any], datatype: str = "FP64", **more: Any) -> Json:
    return {"name": name, "shape": [len(data), 1], "datatype": datatype, "data": data, **more}


def whole(**changes: Json | None) -> list[Json]:
    """A tensor for each column of the mixed model, some of them changed or left out."""
    given = {
        "town": column("town", ["Oslo"], "BYTES"),
        "age": column("age", [1.0]),
        "weight": column("weight", [2.0]),
    }
    return [one for one in (given | changes).values() if one is not None]


@pytest.mark.parametrize(
    "tensors",
    [
        [x([1, 10])],
        [x([[1, 10]])],
        [x([1, 10], datatype="INT8")],
        [column("b", [10]), column("a", [1], "UINT64")],
        [{"name": "a", "shape": [1], "datatype": "FP32", "data": [1]}, column("b", [10])],
    ],
)
def test_data_is_flat_or_nested_together_or_column_by_column(
    client: TestClient, numbers: str, tensors: list[Json]
) -> None:
    answer = client.post(numbers, json={"id": "7", "inputs": tensors})

    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "model_name": numbers.split("/")[3],
        "model_version": "1",
        "id": "7",
        "outputs": [{"name": "y", "datatype": "FP64", "shape": [1, 1], "data": [32.5]}],
    }


def test_a_column_of_booleans_takes_booleans(client: TestClient, database: Database) -> None:
    model = model_of_inputs([NumericInput(name="on", boolean=True)])
    where = f"/v2/models/{store_model(database, model)}/infer"

    answer = client.post(where, json={"inputs": [column("on", [True, False], "BOOL")]})

    expected = model.predict([[1.0], [0.0]]).ravel().tolist()
    assert answer.json()["outputs"][0]["data"] == expected


def test_null_is_a_missing_cell(client: TestClient, mixed: str) -> None:
    town, age = column("town", [None], "BYTES"), column("age", [None])

    answer = client.post(mixed, json={"inputs": whole(town=town, age=age)})

    expected = MIXED.predict(MIXED.encode([{"town": None, "age": None, "weight": 2.0}]))
    assert answer.json()["outputs"][0]["data"] == expected.ravel().tolist()


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (x([1, 2, 3], shape=[1, 3]), "has shape [1, 3]; this model needs [n_rows, 2]"),
        (x([1, 2], shape=[2]), "has shape [2]"),
        (x([1, 2], shape=[1, 2, 1]), "has shape [1, 2, 1]"),
        (x([], shape=[0, 2]), "has shape [0, 2]"),
        (x([1, 2], shape=[-1, 2]), "has shape [-1, 2]"),
        (x([1, 2], shape=[10**30, 2]), "has 2 values"),
        (x([1, 2], shape=[1] * 10_000), "has shape [1, 1,"),
        (x([1, 2, 3]), "has 3 values"),
        (x([1]), "has 1 values"),
        (x([[1, 2], [3]], shape=[2, 2]), "has 3 values"),
        (x(), "neither data nor a binary_data_size"),
        (x(["1", "2"]), "is not a number"),
        (x([True, False]), "is not a number"),
        (x([1, None]), "feature 'b' is missing (rows.0.b)"),
        (x([1, 1.5], datatype="INT32"), "no INT32"),
        (x([1, 300], datatype="INT8"), "outside of INT8"),
        (x([1, -1], datatype="UINT64"), "outside of UINT64"),
        (x([1, 1e39], datatype="FP32"), "is not finite"),
        (x([1, 2], datatype="BF16"), "has datatype 'BF16'"),
        (x(["a", "b"], datatype="BYTES"), "has datatype 'BYTES'"),
        (x([1.7e308, 1.7e308]), "row 0 predicts a number too large"),
        (x([1, 2], name="Z"), "tensor 'Z' is not an input of this model: it takes X"),
        (x([1], name="a", shape=[1, 1]), "tensor 'b' is missing"),
        (x(parameters={"shared_memory_region": "r"}), "shared memory"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_by_its_name(
    client: TestClient, numbers: str, tensor: Json, says: str
) -> None:
    refused = client.post(numbers, json={"inputs": [tensor]})

    assert refused.status_code == 400, refused.text
    assert [*refused.json()] == ["error"]
    assert says in refused.json()["error"]
    assert len(refused.text) < 700


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        (whole(town=column("town", ["Paris"], "BYTES")), "'town' has a level"),
        (whole(town=column("town", [1.0], "BYTES")), "tensor 'town' holds what is not text"),
        (whole(town=column("town", [1.0])), "tensor 'town' has datatype 'FP64'"),
        (whole(weight=column("weight", [None])), "'weight' is missing (rows.0.weight)"),
        (whole(weight=None), "tensor 'weight' is missing: it takes town, age, weight"),
        (whole(weight=column("weight", [1.0, 2.0])), "tensor 'weight' has 2 rows, 'town' has 1"),
        (whole(weight=column("weight", [1.0], shape=[1, 2])), "a column is [n_rows, 1]"),
        (whole(weight=column("weight", [1.0], shape=[])), "a column is [n_rows, 1]"),
        (whole(more=column("weight", [1.0])), "tensor 'weight' is given twice"),
        ([x([1, 2])], "tensor 'X' is not an input of this model"),
    ],
)
def test_columns_that_do_not_fit_are_refused_by_their_names(
    client: TestClient, mixed: str, tensors: list[Json], says: str
) -> None:
    refused = client.post(mixed, json={"inputs": tensors})

    assert refused.status_code == 400, refused.text
    assert says in refused.json()["error"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"outputs": [{"name": "z"}]}, "no output 'z'"),
        ({"outputs": [{"name": "y", "parameters": {"classification": 3}}]}, "not as classes"),
        ({"outputs": [{"name": "y", "parameters": {"binary_data": 1}}]}, "true or false"),
        ({"parameters": {"unseen": "nearest"}}, "'error' or 'base'"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [{"name": "X"}]}, "inputs.0.shape"),
        ({"inputs": [x([1, 2], datatype=64)]}, "inputs.0.datatype"),
        ({"inputs": "X"}, "inputs"),
    ],
)
def test_a_request_of_another_form_is_refused(
    client: TestClient, numbers: str, more: Json, says: str
) -> None:
    refused = client.post(numbers, json={"inputs": [x([1, 2])], **more})

    assert refused.status_code == 400, refused.text
    assert says in refused.json()["error"]


def binary(tensors: list[Json], *parts: bytes, length: Any = None) -> dict[str, Any]:
    header = json.dumps({"inputs": tensors}).encode()
    told = str(len(header) if length is None else length)
    return {
        "content": header + b"".join(parts),
        "headers": {"inference-header-content-length": told},
    }


def sized(n_bytes: Any, **more: Any) -> Json:
    return x(parameters={"binary_data_size": n_bytes}, **more)


ROW = np.array([1.0, 10.0]).tobytes()
BYTES = {"name": "town", "shape": [1, 1], "datatype": "BYTES"}


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (binary([sized(16)], ROW[:8]), "binary_data_size that the body does not hold"),
        (binary([sized(8)], ROW), "8 bytes behind the last tensor"),
        (binary([sized(8)], ROW[:8]), "has 8 bytes; its shape [1, 2] of FP64 takes 16"),
        (binary([sized(16, shape=[10**18, 2])], ROW), "has 16 bytes; its shape"),
        (binary([sized(-16)], ROW), "binary_data_size"),
        (binary([sized("16")], ROW), "binary_data_size"),
        (binary([sized(True)], ROW), "binary_data_size"),
        (binary([sized(15.5)], ROW), "has 15 bytes left"),
        (binary([sized(16), sized(16, name="b")], ROW), "tensor 'b' has 0 bytes left"),
        (binary([sized(16)], np.array([1.0, np.inf]).tobytes()), "is not finite"),
        (binary([sized(16)], np.array([1.0, np.nan]).tobytes()), "'b' is missing (rows.0.b)"),
        (binary([sized(2, datatype="BOOL")], b"\x01\x02"), "neither 0 nor 1"),
        (binary([sized(16)], ROW, length=0), "Inference-Header-Content-Length"),
        (binary([sized(16)], ROW, length=10**6), "Inference-Header-Content-Length"),
        (binary([sized(16)], ROW, length="-1"), "Inference-Header-Content-Length"),
        (binary([sized(16)], ROW, length="x"), "Inference-Header-Content-Length"),
        (binary([sized(16)], ROW, length=5), "not JSON"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(
    client: TestClient, numbers: str, request_: dict[str, Any], says: str
) -> None:
    refused = client.post(numbers, **request_)

    assert refused.status_code == 400, refused.text
    assert says.lower() in refused.json()["error"].lower()


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (b"\x04\x00", "tensor 'town' ends in the middle of a text"),
        (struct.pack("<I", 2**32 - 1) + b"Oslo", "ends in the middle"),
        (struct.pack("<I", 4) + b"Os\xff\xfe", "not UTF-8, at 0"),
        (2 * (struct.pack("<I", 4) + b"Oslo"), "has 2 values"),
        (b"", "has 0 values"),
    ],
)
def test_texts_that_do_not_fit_are_refused(
    client: TestClient, mixed: str, part: bytes, says: str
) -> None:
    town = {**BYTES, "parameters": {"binary_data_size": len(part)}}

    refused = client.post(mixed, **binary(whole(town=town), part))

    assert refused.status_code == 400, refused.text
    assert says in refused.json()["error"]


@pytest.mark.parametrize(
    ("encoding", "content", "status"),
    [
        ("gzip", gzip.compress(b'{"inputs": []}', mtime=0)[:-4], 400),
        ("gzip", b"{}", 400),
        ("deflate", b"{}", 400),
        ("br", b"{}", 415),
        ("gzip", gzip.compress(bytes(2**25), mtime=0), 413),
        ("deflate", zlib.compress(bytes(2**25)), 413),
        ("identity", bytes(2**24 + 1), 413),
    ],
)
def test_bodies_that_are_too_large_or_not_what_they_say(
    client: TestClient, numbers: str, encoding: str, content: bytes, status: int
) -> None:
    refused = client.post(numbers, content=content, headers={"content-encoding": encoding})

    assert refused.status_code == status
    assert refused.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/linear", 404),
        ("GET", f"/v2/models/mdl_{32 * '0'}", 404),
        ("GET", "/v2/repository/index", 404),
        ("POST", "/v2", 405),
        ("GET", "/v2?verbose=1", 400),
    ],
)
def test_every_refusal_is_in_the_protocol_s_form(
    client: TestClient, method: str, path: str, status: int
) -> None:
    refused = client.request(method, path)

    assert refused.status_code == status
    assert [*refused.json()] == ["error"]
    assert refused.headers["x-request-id"]


def test_a_version_that_is_not_there_is_404(client: TestClient, numbers: str) -> None:
    where = numbers.replace("/infer", "/versions/{}/infer")
    body = {"inputs": [x([1, 2])]}

    assert client.post(where.format(1), json=body).status_code == 200
    assert client.post(where.format(2), json=body).status_code == 404


def test_an_answer_that_would_be_too_large_is_refused_before_it_is_computed(
    client: TestClient, database: Database
) -> None:
    n_targets = 5000
    model = LinearModel(
        features=["a"],
        targets=[f"y{i}" for i in range(n_targets)],
        coef=[[1.0]] * n_targets,
        intercept=[0.0] * n_targets,
    )
    where = f"/v2/models/{store_model(database, model)}/infer"
    n_rows = MAX_PREDICTIONS // n_targets + 1
    part = np.zeros(n_rows).tobytes()

    refused = client.post(where, **binary([sized(len(part), shape=[n_rows, 1])], part))

    assert refused.status_code == 400
    assert "send fewer" in refused.json()["error"]


def test_many_rows_are_encoded_a_block_at_a_time_and_refused_by_their_own_number(
    client: TestClient, database: Database
) -> None:
    levels = [f"level {i:04}" for i in range(1000)]
    model = model_of_inputs([CategoricalInput(name="c", levels=levels)], n_targets=1)
    where = f"/v2/models/{store_model(database, model)}/infer"
    n_rows = inference.MOST_DESIGN_CELLS // 999 + 7
    texts = [levels[i % 1000] for i in range(n_rows)]

    def ask(texts: list[str]) -> Any:
        part = b"".join(struct.pack("<I", len(one)) + one.encode() for one in texts)
        parameters = {"binary_data_size": len(part)}
        tensor = {"name": "c", "shape": [n_rows], "datatype": "BYTES", "parameters": parameters}
        return client.post(where, **binary([tensor], part))

    answer, refused = ask(texts), ask([*texts[:-1], "level x"])

    effects = [model.intercept[0], *(np.array(model.coef[0]) + model.intercept[0])]
    expected = [effects[i % 1000] for i in range(n_rows)]
    assert answer.json()["outputs"][0]["data"] == pytest.approx(expected, rel=1e-12)
    assert f"rows.{n_rows - 1}.c" in refused.json()["error"]


def test_a_large_answer_is_compressed_where_that_is_accepted(
    client: TestClient, numbers: str
) -> None:
    body = {"inputs": [x([1.0] * 2000, shape=[1000, 2])]}

    plain = client.post(numbers, json=body, headers={"accept-encoding": "identity"})
    packed = client.post(numbers, json=body, headers={"accept-encoding": "gzip"})

    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 10
    assert packed.json() == plain.json()


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", None),
        ("identity", None),
        ("gzip, deflate, br", "gzip"),
        ("deflate", "deflate"),
        ("GZIP;q=0.5, deflate;q=0.9", "deflate"),
        ("gzip;q=0", None),
        ("gzip;q=high", None),
    ],
)
def test_which_compression_is_accepted(header: str, chosen: str | None) -> None:
    assert accepted(header) == chosen


def test_only_so_many_bytes_of_weights_are_kept_and_the_latest_of_them(
    database: Database, app: FastAPI
) -> None:
    ids = [store_model(database, model_of_inputs(NUMBERS, seed=i)) for i in range(3)]
    loaded = LoadedModels(database, most_bytes=2 * 7 * 2 * 8)

    first, second = loaded.get(ids[0]), loaded.get(ids[1])
    assert loaded.get(ids[0]) is first
    loaded.get(ids[2])

    assert loaded.get(ids[0]) is first, "asked for later than the second"
    assert loaded.get(ids[1]) is not second


def test_a_model_without_an_encoding_is_its_features() -> None:
    model = LinearModel(features=["a", "b"], targets=["y"], coef=[[2.0, 3.0]], intercept=[0.5])

    columns = {"a": np.array([1.0]), "b": np.array([10.0])}

    encoding = Encoding.model_construct(inputs=model.inputs)
    assert model.predict(encoding.encode_columns(columns)).tolist() == [[32.5]]
