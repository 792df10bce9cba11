"""The client against a real stack: lost answers, tables of every kind, lists, refusals."""

import gzip
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
import pandas as pd
import polars as pl
import pytest

from descend import frames
from descend.client import Client
from descend.errors import (
    DatasetNotFound,
    DescendError,
    InvalidInput,
    JobNotFound,
    ModelNotFound,
    Unreachable,
)
from tests.wire import Wire, wire

X = [[1.0], [2.0], [3.0], [5.0]]
Y = [2.5, 4.5, 6.5, 10.5]
TABLE = {"area": [50.0, 70, 81, 95], "kind": ["a", "b", "a", "b"], "price": [110, 152, 171, 205]}
ABSENT = f"job_{0:032}"


@pytest.fixture
def line(url: str) -> Iterator[Wire]:
    with wire(url) as between:
        yield between


def test_a_submission_whose_answer_was_lost_makes_one_job(line: Wire, client: Client) -> None:
    with Client(line.url) as far:
        far.limits()
        line.lose_answers = 2
        run = far.train(X, Y, name="lost twice", optimizer="exact")

    assert line.lose_answers == 0
    assert [job.id for job in client.jobs(q="lost twice")] == [run.id]


def test_an_upload_whose_answer_was_lost_is_not_sent_again(line: Wire, client: Client) -> None:
    with Client(line.url) as far:
        far.limits()
        line.lose_answers = 1
        with pytest.raises(Unreachable, match=line.url):
            far.upload(TABLE, name="sent once")

    assert len(list(client.datasets(q="sent once"))) == 1


def test_a_delete_whose_answer_was_lost_is_done(line: Wire, client: Client) -> None:
    dataset = client.upload(TABLE)
    with Client(line.url) as far:
        far.limits()
        line.lose_answers = 1
        far.delete_dataset(dataset.id)

    assert line.lose_answers == 0
    with pytest.raises(DatasetNotFound):
        client.dataset(dataset.id)


def test_where_nobody_listens_the_error_says_where() -> None:
    with (
        Client("http://127.0.0.1:9", retries=0) as nobody,
        pytest.raises(Unreachable, match=r"no Descend server answers at http://127.0.0.1:9"),
    ):
        nobody.limits()


def test_url_and_key_come_from_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESCEND_URL", url)
    monkeypatch.setenv("DESCEND_API_KEY", "dsc_a_secret")

    with Client() as client:
        client.limits()

        assert client.url == url
        assert "secret" not in repr(client)


@pytest.mark.parametrize("copies", [1, 7_000])
@pytest.mark.parametrize("hold", [dict, pd.DataFrame, pl.DataFrame, pl.LazyFrame])
def test_a_table_is_trained_on_however_it_is_held(
    hold: Callable[[Mapping[str, Any]], Any], copies: int, client: Client
) -> None:
    table = hold({name: cells * copies for name, cells in TABLE.items()})

    model = client.train(table, target="price", optimizer="exact").wait().model

    frame = pd.DataFrame(TABLE)
    design = np.column_stack([frame.area, frame.kind == "b", np.ones(4)])
    wanted = np.linalg.lstsq(design, frame.price, rcond=None)[0]
    assert model.features == ["area", "kind=b"]
    assert [*model.coef[0], *model.intercept] == pytest.approx(wanted)


@pytest.mark.parametrize("copies", [1, 7_000])
def test_features_and_targets_keep_their_names(client: Client, copies: int) -> None:
    four = pd.DataFrame({"b": [1.0, 2, 3, 5], "a": [1.0, 0, 1, 0], "y": Y}, index=[7, 3, 9, 1])
    frame, weights = pd.concat([four] * copies), [1.0, 2, 1, 1] * copies

    run = client.train(frame[["b", "a"]], frame["y"], sample_weight=weights, optimizer="exact")

    model = run.wait().model
    assert (model.features, model.targets) == (["b", "a"], ["y"])
    assert model.coef[0] == pytest.approx([2, 0], abs=1e-12)


@pytest.mark.parametrize("copies", [1, 7_000])
def test_arrays_give_the_same_weights_inline_and_as_npz(client: Client, copies: int) -> None:
    design, two = np.array(X * copies), np.column_stack([Y * copies, Y * copies])

    run = client.train(design, two, sample_weight=np.ones(4 * copies), optimizer="exact")

    model = run.wait().model
    assert np.ravel(model.coef) == pytest.approx([2, 2])
    assert model.targets == ["y0", "y1"]


def test_missing_cells_go_up_as_missing(client: Client) -> None:
    holed = np.array([[1.0], [np.nan], [3.0], [5.0]])

    model = client.train(holed, Y, missing="drop", optimizer="exact").wait().model

    assert model.coef[0] == pytest.approx([2])


@pytest.mark.parametrize("copies", [1, 7_000])
def test_a_cell_may_be_a_number_of_numpy(client: Client, copies: int) -> None:
    cells = [np.float32(1), np.float32("nan"), np.int64(3), np.float32(5)] * copies

    run = client.train({"a": cells, "y": Y * copies}, target="y", missing="drop", optimizer="exact")

    assert run.wait().model.coef[0] == pytest.approx([2])


@pytest.mark.parametrize("copies", [1, 10_000])
@pytest.mark.parametrize(
    ("hold", "unit"),
    [
        *itertools.product([dict, pd.DataFrame], ["D", "s", "ns"]),
        *itertools.product([pl.DataFrame], ["D", "ns"]),  # polars has no seconds
    ],
)
def test_where_dates_alone_are_left_the_refusal_names_them(
    hold: Callable[[Mapping[str, Any]], Any], unit: str, copies: int, client: Client
) -> None:
    dates = np.array(
        ["2026-01-01", "2026-01-02", "2026-01-04"] * copies, dtype=f"datetime64[{unit}]"
    )

    with pytest.raises(InvalidInput, match=r"column 'when' holds (date|timestamp)") as refusal:
        client.train(hold({"when": dates, "y": Y[:3] * copies}), target="y")

    assert refusal.value.param == "features"


def test_a_cell_that_is_no_number_is_named_without_the_kinds_there_are(client: Client) -> None:
    with pytest.raises(InvalidInput, match="finite number") as refusal:
        client.train({"the area": [1.0, np.inf], "y": Y[:2]}, target="y")

    assert refusal.value.param == "dataset.columns.the area.1"


def written(folder: Path, suffix: str) -> Path:
    path = folder / f"homes{suffix}"
    frame = pl.DataFrame(TABLE)
    if suffix == ".csv":
        frame.write_csv(path)
    elif suffix == ".tsv":
        frame.write_csv(path, separator="\t")
    elif suffix == ".csv.gz":
        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    elif suffix == ".parquet":
        frame.write_parquet(path)
    elif suffix == ".arrow":
        frame.write_ipc(path)
    elif suffix in {".arrows", ".feather"}:  # a feather that is a stream is known by its bytes
        frame.write_ipc_stream(path)
    elif suffix == ".ndjson":
        frame.write_ndjson(path)
    else:
        path.write_text(json.dumps({"columns": TABLE}))
    return path


@pytest.mark.parametrize(
    "suffix",
    [
        ".csv",
        ".tsv",
        ".csv.gz",
        ".parquet",
        ".arrow",
        ".arrows",
        ".feather",
        ".ndjson",
        ".json",
    ],
)
def test_a_file_is_read_by_its_suffix(suffix: str, client: Client, tmp_path: Path) -> None:
    path = written(tmp_path, suffix)

    dataset = client.upload(path)

    assert dataset.name == path.name
    assert client.preview(dataset.id).rows[1] == [70.0, "b", 152]


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_in_files_go_up_as_they_are(suffix: str, client: Client, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, np.array(X))
    else:
        np.savez(path, X=np.array(X), y=np.array(Y))

    dataset = client.upload(str(path))

    assert dataset.n_rows == 4
    assert dataset.default_target == (["y"] if suffix == ".npz" else None)


def test_a_frame_without_polars_goes_up_as_ndjson_bit_by_bit(client: Client) -> None:
    awkward = pd.DataFrame(
        {"x": [0.1 + 0.2, None, 1e-308], "n": [2**53 + 1, 1, 2], "t": ["NA", None, 'a"\n']}
    )
    columns = frames.columns_of(awkward)
    body = frames.Body("application/x-ndjson", frames.ndjson(columns))

    dataset = client._upload(body)

    assert client.preview(dataset.id).rows == [
        [0.1 + 0.2, 2**53 + 1, "NA"],
        [None, 1, None],
        [1e-308, 2, 'a"\n'],
    ]


def test_lists_go_on_beyond_one_page(client: Client) -> None:
    runs = {client.train(X, Y, name="listed", optimizer="exact").id for _ in range(101)}

    assert {job.id for job in client.jobs(q="listed")} == runs


@pytest.mark.parametrize(
    "wrong", [{"features": ["nowhere"]}, {"validation_dataset": f"ds_{0:032}"}, {"init": ABSENT}]
)
def test_a_refused_job_leaves_no_dataset_behind(client: Client, wrong: dict[str, Any]) -> None:
    before = {dataset.id for dataset in client.datasets()}
    large = np.random.default_rng(0).normal(size=(20_001, 1))

    with pytest.raises(DescendError, match=r"nowhere|_0000"):
        client.train(large, large[:, 0], **wrong)

    assert {dataset.id for dataset in client.datasets()} == before


def test_a_plan_that_nobody_waits_for_is_cancelled_and_leaves_no_dataset(client: Client) -> None:
    before = {dataset.id for dataset in client.datasets()}
    large = np.random.default_rng(0).normal(size=(20_001, 1))

    with pytest.raises(TimeoutError, match="after 0 s"):
        client.plan(large, large[:, 0], name="in a hurry", wait_seconds=0)

    asked = list(client.jobs(kind="plan", q="in a hurry"))
    assert [job.state.is_terminal for job in asked] == [True]
    assert {dataset.id for dataset in client.datasets()} == before


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"learning_rte": 1}, "learning_rte"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"optimizer": "exact", "momentum": 0.5}, "momentum"),
        ({"missing": "median"}, "missing"),
        ({"features": ["x9"]}, "features"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], param: str, client: Client) -> None:
    with pytest.raises(InvalidInput) as refusal:
        client.train(X, Y, **options)

    assert str(refusal.value.param).startswith(param)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give X and y"),
        ((X,), "without y, X must be a table"),
        (([1.0, 2.0], [1.0, 2.0]), "rows and columns"),
        ((X, [1.0]), "y has 1 rows, X has 4"),
        (([["a"]], [1.0]), "X is no array of numbers"),
        (({"a": [1.0]}, {"a": [1.0]}), "a column of the same name: a"),
        (({"a": [1.0], "b": [1.0, 2.0]}, None), "equally long"),
        (("absent.csv",), "no file absent.csv"),
    ],
)
def test_what_is_no_data_is_refused_before_it_is_sent(
    arguments: tuple[object, ...], words: str
) -> None:
    with Client("http://127.0.0.1:9") as nobody, pytest.raises(InvalidInput, match=words):
        nobody.train(*arguments)


def test_a_file_of_unknown_suffix_is_refused_with_those_that_are_known(
    client: Client, tmp_path: Path
) -> None:
    (tmp_path / "cars.xlsx").write_bytes(b"PK")

    with pytest.raises(InvalidInput, match=r"\.parquet.*\.npz"):
        client.upload(tmp_path / "cars.xlsx")


def test_what_is_not_there_is_an_error_of_its_own(client: Client) -> None:
    with pytest.raises(JobNotFound):
        client.job(f"job_{0:032}")


def test_an_answer_that_is_no_contract_is_an_error_of_descend(client: Client) -> None:
    with pytest.raises(DescendError, match="different versions"):
        client._get("/v1/limits", type(client.upload(TABLE)))


def test_a_job_is_tried_again_with_changes(client: Client) -> None:
    first = client.train(X, Y, max_epochs=3, tol=0, name="first").wait()

    same, longer = first.retry().wait(), first.retry(max_epochs=7, name="longer").wait()

    assert same.history.train_loss.tolist() == first.history.train_loss.tolist()
    assert (longer.job.name, len(longer.history)) == ("longer", 7)
    assert longer.job.parent_id == first.id


def test_a_model_is_exported_and_predicts_with_an_interval(client: Client, tmp_path: Path) -> None:
    noisy = [2.4, 4.6, 6.4, 10.6]
    run = client.train(X, noisy, optimizer="exact").wait()
    model_id = str(run.job.model_id)

    with np.load(client.export(model_id, tmp_path / "model.npz")) as arrays:
        assert arrays["coef"] == pytest.approx(np.array(run.model.coef))
    said = client.predict(model_id, [[4.0]], interval=0.9)
    by_name = client.predict(model_id, pd.DataFrame({"x0": [4.0]}))

    assert said.y == by_name.y
    assert said.y[0] == pytest.approx(run.model.predict([[4.0]])[0])
    assert said.interval is not None
    assert said.interval.low[0][0] < said.y[0][0] < said.interval.high[0][0]


@pytest.mark.parametrize(("unseen", "said"), [("error", np.nan), ("base", 110.0)])
def test_an_exported_graph_does_with_an_unseen_level_as_asked(
    unseen: Literal["error", "base"], said: float, client: Client, tmp_path: Path
) -> None:
    table = {"kind": ["a", "a", "b", "b"], "price": [100.0, 120.0, 140.0, 160.0]}
    model = client.train(table, target="price", optimizer="exact").wait().model

    file = client.export(str(model.id), tmp_path / "model.onnx", unseen=unseen)

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (y,) = session.run(["y"], {"kind": np.array([["b"], ["z"]], dtype=object)})
    np.testing.assert_allclose(y, [[150.0], [said]])


def test_an_option_that_does_not_fit_the_file_is_refused_and_none_is_written(
    client: Client, tmp_path: Path
) -> None:
    run = client.train(X, Y, optimizer="exact").wait()

    with pytest.raises(InvalidInput) as refusal:
        client.export(str(run.job.model_id), tmp_path / "model.npz", unseen="base")

    assert refusal.value.param == "unseen"
    assert not (tmp_path / "model.npz").exists()


def test_what_is_deleted_is_gone(client: Client) -> None:
    run = client.train(X, Y, optimizer="exact").wait()

    run.delete()
    client.delete_model(str(run.job.model_id))

    with pytest.raises(JobNotFound):
        client.job(run.id)
    with pytest.raises(ModelNotFound):
        client.model(str(run.job.model_id))
