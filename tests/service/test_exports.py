"""Files of a model, read by the tools they are for, against LinearModel.predict."""

import io
import json
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from starlette.testclient import TestClient

from descend.encoding import CategoricalInput, Encoding
from descend.ids import new_id
from descend.models import LinearModel
from service.exports import ExportFormat, export
from storage.database import Database
from tests.service.catalogue import CATALOGUE, FILLED, NO_FILL, model_of_inputs, records_of
from tests.service.conftest import store_model


def fed(model: LinearModel, records: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """Records as the graph takes them: NaN and the empty text are missing cells."""
    columns = {
        one.name: np.array(
            [
                [("" if isinstance(one, CategoricalInput) else np.nan) if cell is None else cell]
                for cell in (record[one.name] for record in records)
            ],
            dtype=object if isinstance(one, CategoricalInput) else np.float64,
        )
        for one in model.inputs
    }
    if any(isinstance(one, CategoricalInput) for one in model.inputs):
        return columns
    return {"X": np.hstack([*columns.values()])}


def run(content: bytes, feed: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, feed)
    return np.asarray(answer)


@pytest.mark.parametrize("inputs", CATALOGUE.values(), ids=CATALOGUE.keys())
def test_onnxruntime_predicts_what_the_model_predicts(inputs: list[Any]) -> None:
    model, records = model_of_inputs(inputs), records_of(inputs)
    content = export(model, ExportFormat.ONNX).content

    predicted = run(content, fed(model, records))

    onnx.checker.check_model(content, full_check=True)
    np.testing.assert_allclose(predicted, model.predict(model.encode(records)), rtol=1e-12)


def test_a_graph_says_what_it_was_made_of() -> None:
    model = model_of_inputs(FILLED)

    graph = onnx.load_from_string(export(model, ExportFormat.ONNX).content)

    told = {one.key: one.value for one in graph.metadata_props}
    assert (graph.ir_version, graph.opset_import[0].version) == (10, 17)
    assert json.loads(told["targets"]) == model.targets
    assert Encoding.model_validate_json(told["encoding"]) == model.encoding
    assert [one.name for one in graph.graph.input] == ["town", "age", "weight"]
    assert [one.name for one in graph.graph.output] == ["y"]


def test_what_a_graph_cannot_refuse_it_answers_with_nan() -> None:
    model = model_of_inputs(NO_FILL)
    whole = {"age": 3.0, "town": "Oslo", "y": True, "effects of town": "a"}
    wrong: list[dict[str, Any]] = [{"town": "Paris"}, {"town": ""}, {"town": None}, {"age": None}]
    feed = fed(model, [whole | more for more in wrong])

    refused = run(export(model, ExportFormat.ONNX).content, feed)
    base = run(export(model, ExportFormat.ONNX, unseen="base").content, feed)

    assert np.isnan(refused).all()
    as_base = model.predict(model.encode([whole | {"town": "Paris"}], unseen="base"))
    np.testing.assert_allclose(base[:1], as_base, rtol=1e-12)
    assert np.isnan(base[1:]).all(), "a missing cell is no level, unseen or not"


def test_a_graph_may_be_float32() -> None:
    model, records = model_of_inputs(FILLED), records_of(FILLED)
    feed = {
        name: values if values.dtype == object else values.astype(np.float32)
        for name, values in fed(model, records).items()
    }

    predicted = run(export(model, ExportFormat.ONNX, dtype="float32").content, feed)

    assert predicted.dtype == np.float32
    exact = model.predict(model.encode(records))
    assert np.abs(predicted - exact).max() < 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_safetensors_load_into_a_linear_layer(dtype: Any) -> None:
    model, records = model_of_inputs(FILLED), records_of(FILLED)
    n_targets, n_features = np.shape(model.coef)
    layer = torch.nn.Linear(n_features, n_targets, dtype=getattr(torch, dtype))

    layer.load_state_dict(load(export(model, ExportFormat.SAFETENSORS, dtype=dtype).content))

    X = model.encode(records)
    with torch.no_grad():
        predicted = layer(torch.from_numpy(X.astype(dtype))).numpy()
    ours = model.predict(X)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    assert np.abs(predicted - ours).max() <= tolerance * np.abs(ours).max()


def test_safetensors_say_what_the_rows_and_columns_are(tmp_path: Any) -> None:
    model = model_of_inputs(FILLED)
    file = tmp_path / "model.safetensors"
    file.write_bytes(export(model, ExportFormat.SAFETENSORS).content)

    with safetensors.safe_open(file, "np") as opened:
        told = opened.metadata()

    assert json.loads(told["features"]) == model.features
    assert json.loads(told["targets"]) == model.targets
    assert Encoding.model_validate_json(told["encoding"]) == model.encoding


def test_npz_and_json_rebuild_the_model_to_the_bit() -> None:
    model = model_of_inputs(NO_FILL)

    npz = np.load(io.BytesIO(export(model, ExportFormat.NPZ).content), allow_pickle=False)
    from_npz = LinearModel(
        features=npz["features"].tolist(),
        targets=npz["targets"].tolist(),
        coef=npz["coef"].tolist(),
        intercept=npz["intercept"].tolist(),
        encoding=Encoding.model_validate_json(str(npz["encoding"])),
    )

    assert from_npz == model
    assert LinearModel.model_validate_json(export(model, ExportFormat.JSON).content) == model


@pytest.fixture
def path(client: TestClient, database: Database) -> str:
    """Where to export a model of text and numbers that is stored."""
    return f"/v1/models/{store_model(database, model_of_inputs(FILLED))}/export"


@pytest.mark.parametrize("format_", [*ExportFormat])
def test_the_route_gives_the_file_with_a_name(
    client: TestClient, path: str, format_: ExportFormat
) -> None:
    answer = client.get(path, params={"format": format_.value})

    model_id = path.split("/")[3]
    named = f'attachment; filename="{model_id}.{format_.value}"'
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == named
    if format_ is ExportFormat.JSON:
        assert answer.json() == client.get(f"/v1/models/{model_id}").json()


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "format"),
        ("?format=pickle", "format"),
        ("?format=onnx&dtype=float16", "dtype"),
        ("?format=json&dtype=float32", "dtype"),
        ("?format=npz&unseen=base", "unseen"),
        ("?format=onnx&unseen=nearest", "unseen"),
        ("?format=onnx&opset=9", "opset"),
    ],
)
def test_a_file_that_cannot_be_is_refused_by_its_parameter(
    client: TestClient, path: str, query: str, param: str
) -> None:
    refused = client.get(path + query)

    assert refused.status_code == 422
    assert refused.json()["param"] == param


def test_a_weight_that_float32_cannot_hold_is_refused(
    client: TestClient, database: Database
) -> None:
    model = LinearModel(features=["x"], targets=["y"], coef=[[1e300]], intercept=[0.0])
    where = f"/v1/models/{store_model(database, model)}/export"

    refused = client.get(where, params={"format": "safetensors", "dtype": "float32"})

    assert (refused.status_code, refused.json()["param"]) == (422, "dtype")
    assert client.get(where, params={"format": "safetensors"}).status_code == 200


def test_no_model_is_404(client: TestClient) -> None:
    refused = client.get(f"/v1/models/{new_id('mdl')}/export?format=onnx")

    assert (refused.status_code, refused.json()["code"]) == (404, "model_not_found")
