"""Triton's own client against a real server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from descend.encoding import CategoricalInput
from descend.ids import new_id
from service.settings import ServiceSettings
from storage.database import Database
from storage.migrate import migrate
from tests.service.catalogue import FILLED, NUMBERS, model_of_inputs, records_of
from tests.service.conftest import serving, store_model

NUMERIC = model_of_inputs(NUMBERS)
MIXED = model_of_inputs(FILLED)
X = np.random.default_rng(3).normal(scale=50, size=(300, len(NUMBERS)))
Stored = dict[str, str]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ServiceSettings:
    settings = ServiceSettings(data=tmp_path_factory.mktemp("triton"))
    migrate(settings.url)
    return settings


@pytest.fixture(scope="module")
def stored(settings: ServiceSettings) -> Stored:
    database = Database(settings.url)
    ids = {
        "numeric": store_model(database, NUMERIC),
        "mixed": store_model(database, MIXED),
        "deleted": store_model(database, NUMERIC),
    }
    database.close()
    return ids


@pytest.fixture(scope="module")
def address(settings: ServiceSettings) -> Iterator[str]:
    with serving(settings) as client:
        yield client.base_url.netloc.decode()


@pytest.fixture
def triton(address: str) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(address, concurrency=4) as client:
        yield client


def tensor(name: str, values: np.ndarray[Any, Any], *, binary: bool = True) -> InferInput:
    made = InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    return made.set_data_from_numpy(values, binary_data=binary)


def columns_of(records: list[dict[str, Any]], *, binary: bool = True) -> list[InferInput]:
    """A tensor a column: missing numbers are NaN, missing texts empty."""

    def column(one: Any) -> np.ndarray[Any, Any]:
        cells = [[record[one.name]] for record in records]
        if not isinstance(one, CategoricalInput):
            return np.array(cells, dtype=np.float64)
        return np.array([[(cell or "").encode()] for (cell,) in cells], dtype=np.object_)

    return [tensor(one.name, column(one), binary=binary) for one in FILLED]


def test_the_server_is_live_and_ready_and_says_what_it_is(triton: InferenceServerClient) -> None:
    told = triton.get_server_metadata()

    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert told["name"] == "descend"
    assert "binary_tensor_data" in told["extensions"]


def test_a_model_is_ready_and_says_what_it_takes(
    triton: InferenceServerClient, stored: Stored
) -> None:
    numeric = triton.get_model_metadata(stored["numeric"])
    mixed = triton.get_model_metadata(stored["mixed"], "1")

    assert triton.is_model_ready(stored["numeric"])
    assert triton.is_model_ready(stored["numeric"], "1")
    assert numeric["inputs"] == [{"name": "X", "datatype": "FP64", "shape": [-1, 7]}]
    assert numeric["outputs"] == [{"name": "y", "datatype": "FP64", "shape": [-1, 2]}]
    assert [(one["name"], one["datatype"]) for one in mixed["inputs"]] == [
        ("town", "BYTES"),
        ("age", "FP64"),
        ("weight", "FP64"),
    ]


def test_an_unknown_model_or_version_is_neither_ready_nor_asked(
    triton: InferenceServerClient, stored: Stored
) -> None:
    assert not triton.is_model_ready(new_id("mdl"))
    assert not triton.is_model_ready("linear")
    assert not triton.is_model_ready(stored["numeric"], "2")
    with pytest.raises(InferenceServerException, match="there is no model") as refused:
        triton.infer(new_id("mdl"), [tensor("X", X)])
    assert refused.value.status() == "404"


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int32, np.float16])
@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_numbers_of_any_type_predict_what_the_model_predicts(
    triton: InferenceServerClient,
    stored: Stored,
    *,
    dtype: Any,
    binary_in: bool,
    binary_out: bool,
) -> None:
    values = X.astype(dtype)
    outputs = [InferRequestedOutput("y", binary_data=binary_out)]

    answer = triton.infer(
        stored["numeric"], [tensor("X", values, binary=binary_in)], outputs=outputs
    )

    y = answer.as_numpy("y")
    assert (y.dtype, y.shape) == (np.float64, (300, 2))
    np.testing.assert_allclose(y, NUMERIC.predict(values.astype(np.float64)), rtol=1e-12)
    assert ("data" in answer.get_output("y")) is not binary_out


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_both_ways(
    triton: InferenceServerClient, stored: Stored, algorithm: str
) -> None:
    answer = triton.infer(
        stored["numeric"],
        [tensor("X", X)],
        model_version="1",
        request_id="42",
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )

    np.testing.assert_allclose(answer.as_numpy("y"), NUMERIC.predict(X), rtol=1e-12)
    assert answer.get_response()["id"] == "42"


@pytest.mark.parametrize("binary", [True, False])
def test_text_and_missing_cells_are_encoded_as_in_training(
    triton: InferenceServerClient, stored: Stored, *, binary: bool
) -> None:
    records = records_of(FILLED)
    if not binary:  # JSON has no NaN, and the client writes no null
        records = [{"age": 31.25, **{k: v for k, v in r.items() if v is not None}} for r in records]
        records = [{"town": "Rome", **r} for r in records]

    answer = triton.infer(stored["mixed"], columns_of(records, binary=binary))

    ours = MIXED.predict(MIXED.encode(records))
    np.testing.assert_allclose(answer.as_numpy("y"), ours, rtol=1e-12)


def test_an_unseen_level_is_refused_or_the_base_as_asked(
    triton: InferenceServerClient, stored: Stored
) -> None:
    records = [*records_of(FILLED, 3), {"town": "Paris", "age": 1.0, "weight": 2.0}]
    inputs = columns_of(records)

    with pytest.raises(InferenceServerException, match=r"'town'.*rows\.3\.town") as refused:
        triton.infer(stored["mixed"], inputs)
    answer = triton.infer(stored["mixed"], inputs, parameters={"unseen": "base"})

    assert refused.value.status() == "400"
    ours = MIXED.predict(MIXED.encode(records, unseen="base"))
    np.testing.assert_allclose(answer.as_numpy("y"), ours, rtol=1e-12)


def test_a_wrong_width_is_refused_with_the_tensor_s_name(
    triton: InferenceServerClient, stored: Stored
) -> None:
    with pytest.raises(InferenceServerException, match=r"tensor 'X' has shape \[300, 6\]") as no:
        triton.infer(stored["numeric"], [tensor("X", X[:, :6])])

    assert no.value.status() == "400"


def test_many_requests_at_once(triton: InferenceServerClient, stored: Stored) -> None:
    started = [
        triton.async_infer(stored["numeric"], [tensor("X", X[i : i + 10])]) for i in range(20)
    ]

    answers = [one.get_result(timeout=20).as_numpy("y") for one in started]

    for i, y in enumerate(answers):
        np.testing.assert_allclose(y, NUMERIC.predict(X[i : i + 10]), rtol=1e-12)


def test_a_model_that_another_process_deletes_is_gone(
    triton: InferenceServerClient, stored: Stored, settings: ServiceSettings
) -> None:
    triton.infer(stored["deleted"], [tensor("X", X)])

    database = Database(settings.url)
    with database.begin() as tx:
        tx.models.delete(stored["deleted"])
    database.close()

    with pytest.raises(InferenceServerException, match="there is no model"):
        triton.infer(stored["deleted"], [tensor("X", X)])


def test_without_the_key_nothing_is_answered(
    settings: ServiceSettings, stored: Stored, tmp_path: Path
) -> None:
    key = "dsc_test_" + "k" * 32
    (tmp_path / "key").write_text(key)
    secret = {"DESCEND_API_KEY_FILE": str(tmp_path / "key")}
    with (
        serving(settings, **secret) as server,
        InferenceServerClient(server.base_url.netloc.decode()) as client,
    ):
        with pytest.raises(InferenceServerException, match="API key") as refused:
            client.infer(stored["numeric"], [tensor("X", X)])
        headers = {"Authorization": f"Bearer {key}"}
        answer = client.infer(stored["numeric"], [tensor("X", X)], headers=headers)

    assert refused.value.status() == "401"
    assert answer.as_numpy("y").shape == (300, 2)
