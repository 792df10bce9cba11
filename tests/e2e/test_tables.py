"""Tables as people have them: text, missing cells, booleans, semicolons; held to statsmodels."""

from io import StringIO
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from descend.client import Client, Run
from descend.datasets import Dataset
from descend.errors import InvalidInput
from descend.jobs import JobSpec, JobState
from tests.servers import until

WAGES = """\
age;town;trade;union;children;share;pay;rent
56.4;Oslo;clerk;false;2;1.21;73.26;594.1
22.0;Bonn;smith;false;0;3.0;37.87;439.1
63.8;Rome;smith;false;3;2.61;73.96;614.2
;Bonn;baker;true;2;1.18;41.1;458.5
59.2;Bonn;baker;false;0;2.74;63.38;551.8
20.1;Oslo;baker;false;2;1.59;39.03;452.2
34.2;Rome;clerk;false;0;2.25;48.53;531.3
34.4;;nurse;false;3;1.77;55.56;502.4
62.0;Oslo;nurse;true;0;2.61;79.34;606.4
62.1;Oslo;smith;false;2;1.1;79.11;622.9
40.9;Oslo;baker;true;0;2.1;60.07;536.3
36.9;Oslo;baker;;3;0.99;54.37;519.9
52.1;Oslo;smith;false;2;2.85;67.48;557.1
26.9;Bonn;clerk;false;2;2.62;43.94;465.2
63.1;Bonn;smith;true;1;1.51;75.47;597.4
62.1;Bonn;baker;true;;1.32;71.84;585.3
27.1;Oslo;clerk;true;1;0.68;50.96;498.6
43.7;Bonn;nurse;true;1;1.73;60.44;526.0
32.5;Oslo;clerk;false;1;0.64;52.02;501.9
61.8;Bonn;;false;3;1.7;72.11;592.6
35.2;Bonn;clerk;false;3;1.5;50.1;490.1
51.1;Bonn;baker;true;2;0.51;64.6;561.4
29.1;Rome;nurse;false;0;1.04;;506.9
36.5;Oslo;smith;true;1;2.2;59.83;554.8
51.8;Rome;smith;false;1;2.56;61.38;589.3
;Rome;baker;true;2;1.29;66.67;588.8
43.8;Rome;nurse;false;1;2.58;56.26;565.8
46.9;Bonn;smith;false;2;1.81;58.81;528.9
31.2;Bonn;baker;false;2;2.18;44.87;
63.0;Bonn;baker;false;1;1.61;68.28;570.8
"""
NUMBERS, TEXTS, TARGETS = ["age", "union", "children"], ["town", "trade"], ["pay", "rent"]
FEATURES = ["age", "town", "trade", "union", "children"]
SOLVE = {"optimizer": "exact"}
BONN = {"age": 40, "town": "Bonn", "trade": "clerk", "union": True, "children": 2}


@pytest.fixture(scope="module")
def wages(url: str, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return uploaded(url, tmp_path_factory.mktemp("tables") / "wages.csv", WAGES)


def uploaded(url: str, path: Path, text: str) -> Dataset:
    path.write_text(text)
    with Client(url) as client:
        return client.upload(path, delimiter=";")


def submit(client: Client, dataset: Dataset, **spec: Any) -> Run:
    asked = {"hyperparameters": SOLVE, "missing": "drop", "target": "pay", **spec}
    return client.submit(JobSpec.model_validate({"dataset": dataset.id, **asked}))


def trained(client: Client, dataset: Dataset, **spec: Any) -> Run:
    return submit(client, dataset, **spec).wait(timeout_seconds=60)


def read(text: str = WAGES) -> pd.DataFrame:
    frame = pd.read_csv(StringIO(text), sep=";")
    frame["union"] = frame["union"].map({True: 1.0, False: 0.0})
    return frame


def design(frame: pd.DataFrame, features: list[str]) -> pd.DataFrame:
    """Text as 0 and 1 for each level but the first; a column of ones at the end."""
    parts: list[Any] = []
    for name in features:
        if name not in TEXTS:
            parts.append(frame[name].astype(float))
            continue
        for level in sorted(frame[name].unique())[1:]:
            parts.append((frame[name] == level).astype(float).rename(f"{name}={level}"))
    return pd.concat(parts, axis=1).assign(intercept=1.0)


def by_statsmodels(
    frame: pd.DataFrame, features: list[str], target: str, weight: str | None = None
):
    weights = 1.0 if weight is None else frame[weight]
    return sm.WLS(frame[target], design(frame, features), weights=weights).fit().params


def assert_equal(run: Run, frame: pd.DataFrame, features: list[str], weight: str | None = None):
    model = run.model
    for target, coef, intercept in zip(model.targets, model.coef, model.intercept, strict=True):
        expected = by_statsmodels(frame, features, target, weight)
        assert [*model.features, "intercept"] == list(expected.index)
        np.testing.assert_allclose([*coef, intercept], expected, rtol=1e-9)


def filled(frame: pd.DataFrame) -> pd.DataFrame:
    """Without rows that lack a target; then means, and the most frequent level."""
    frame = frame.dropna(subset=TARGETS).copy()
    for name in NUMBERS:
        frame[name] = frame[name].fillna(frame[name].mean())
    for name in TEXTS:
        frame[name] = frame[name].fillna(frame[name].mode()[0])
    return frame


def predict(url: str, run: Run, *rows: dict[str, Any], **more: Any) -> httpx2.Response:
    return httpx2.post(
        f"{url}/v1/models/{run.job.model_id}/predict", json={"rows": list(rows), **more}
    )


def test_the_upload_is_profiled_as_it_was_meant(wages: Dataset) -> None:
    kinds = {column.name: (column.dtype, column.missing) for column in wages.columns}

    assert wages.n_rows == 30
    assert kinds["town"] == ("string", 1)
    assert kinds["union"] == ("bool", 1)
    assert kinds["children"] == ("int64", 1)
    assert kinds["age"] == ("float64", 2)


def test_rows_with_missing_cells_are_left_out(client: Client, wages: Dataset) -> None:
    run = trained(client, wages, target=TARGETS, features=FEATURES)

    assert_equal(run, read().dropna(), FEATURES)
    assert run.job.metrics.n_samples == 22
    assert run.job.warnings == ["8 of 30 rows have missing cells and are left out"]


def test_only_the_columns_of_the_job_make_a_row_miss_a_cell(client: Client, wages: Dataset) -> None:
    run = trained(client, wages, features=["town", "age"])

    frame = read().dropna(subset=["town", "age", "pay"])
    assert_equal(run, frame, ["town", "age"])
    assert run.job.metrics.n_samples == len(frame) == 26


def test_missing_cells_are_filled_in(client: Client, wages: Dataset) -> None:
    run = trained(client, wages, target=TARGETS, features=FEATURES, missing="mean")

    frame = filled(read())
    assert_equal(run, frame, FEATURES)
    assert run.job.metrics.n_samples == len(frame) == 28
    fills = {one.name: one.fill for one in run.model.encoding.inputs}
    assert fills["town"] == frame["town"].mode()[0]
    assert fills["age"] == pytest.approx(read().dropna(subset=TARGETS)["age"].mean(), rel=1e-15)


@pytest.mark.parametrize("missing", ["drop", "mean"])
def test_rows_count_by_their_weight(client: Client, wages: Dataset, missing: str) -> None:
    run = trained(client, wages, target=TARGETS, features=FEATURES, weight="share", missing=missing)

    frame = read().dropna() if missing == "drop" else filled(read())
    assert_equal(run, frame, FEATURES, "share")


def test_epochs_on_the_encoded_table_end_where_the_solution_is(
    client: Client, wages: Dataset
) -> None:
    descent = {"max_epochs": 200_000, "tol": 0, "target_gap": 1e-24, "momentum": 0.9}

    run = trained(client, wages, features=FEATURES, hyperparameters=descent)

    solved = trained(client, wages, features=FEATURES)
    np.testing.assert_allclose(run.model.coef, solved.model.coef, rtol=1e-8)


def test_raw_records_are_predicted_as_their_rows(client: Client, url: str, wages: Dataset) -> None:
    run = trained(client, wages, features=FEATURES)
    frame = read().dropna(subset=[*FEATURES, "pay"])
    records = frame[FEATURES].assign(union=frame["union"] == 1).to_dict("records")

    answer = predict(url, run, *records)

    fitted = design(frame, FEATURES) @ by_statsmodels(frame, FEATURES, "pay")
    np.testing.assert_allclose(np.ravel(answer.json()["y"]), fitted, rtol=1e-10)


def test_an_unseen_level_is_refused_or_counts_as_the_base(
    client: Client, url: str, wages: Dataset
) -> None:
    run = trained(client, wages, features=FEATURES)

    refused = predict(url, run, BONN, {**BONN, "town": "Paris"}).json()
    counted = predict(url, run, BONN, {**BONN, "town": "Paris"}, unseen="base").json()

    assert (refused["code"], refused["param"]) == ("invalid_input", "rows.1.town")
    for words in ("'town'", "Bonn, Oslo, Rome", '"unseen": "base"'):
        assert words in refused["detail"]
    assert "Paris" not in refused["detail"]
    assert counted["y"][0] == counted["y"][1]


def test_a_missing_cell_is_filled_as_in_training_or_refused(
    client: Client, url: str, wages: Dataset
) -> None:
    without = {"age": None, "trade": "clerk", "union": None, "children": 2}
    filling = trained(client, wages, features=FEATURES, missing="mean")
    dropping = trained(client, wages, features=FEATURES)

    answer = predict(url, filling, without).json()
    refused = predict(url, dropping, without).json()

    frame = read().dropna(subset=["pay"])
    town = frame["town"].mode()[0]
    by_name = dict(zip(filling.model.features, filling.model.coef[0], strict=True))
    expected = (
        filling.model.intercept[0]
        + by_name["age"] * frame["age"].mean()
        + by_name["union"] * frame["union"].mean()
        + by_name.get(f"town={town}", 0)
        + by_name["trade=clerk"]
        + by_name["children"] * 2
    )
    assert answer["y"][0][0] == pytest.approx(expected, rel=1e-12)
    assert refused["param"] == "rows.0.age"
    assert "'age' is missing" in refused["detail"]


@pytest.mark.parametrize(
    ("record", "param", "says"),
    [
        ({**BONN, "colour": 1}, "rows.0.colour", "no such feature"),
        ({**BONN, "town": 3}, "rows.0.town", "a level that the model was not trained on"),
        ({**BONN, "age": "old"}, "rows.0.age", "'age' is a number"),
        ({**BONN, "age": True}, "rows.0.age", "'age' is a number"),
        ({"age": 3}, "rows.0.town", "'town' is missing"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_by_name(
    client: Client, url: str, wages: Dataset, record: dict[str, Any], param: str, says: str
) -> None:
    run = trained(client, wages, features=FEATURES)

    refused = predict(url, run, record)

    assert refused.status_code == 422
    assert refused.json()["param"] == param
    assert says in refused.json()["detail"]


@pytest.mark.parametrize(
    ("asked", "param", "column", "remedy"),
    [
        ({"missing": "error"}, "target", "'pay'", '"drop"'),
        ({"missing": "error", "target": "share"}, "features", "'age'", '"mean"'),
        ({"target": "town"}, "target", "'town'", "a column of numbers"),
        ({"weight": "trade"}, "weight", "'trade'", "a column of numbers"),
        ({"categorical": "error"}, "features", "'town'", '"one_hot"'),
        ({"features": ["wage"]}, "features", "'wage'", "the dataset has age, town"),
        ({"features": ["age", "pay"]}, "features", "'pay'", "leave it out"),
        ({"features": ["age"], "weight": "age"}, "weight", "'age'", "leave it out"),
        ({"target": None}, "target", "column to predict", "the dataset has age, town"),
    ],
)
def test_a_job_that_cannot_train_is_refused_with_the_column_and_the_remedy(
    url: str, wages: Dataset, asked: dict[str, Any], param: str, column: str, remedy: str
) -> None:
    body = {"dataset": wages.id, "target": "pay", "missing": "drop", **asked}

    refused = httpx2.post(f"{url}/v1/jobs", json=body)

    problem = refused.json()
    assert (refused.status_code, problem["param"]) == (422, param), problem
    assert column in problem["detail"]
    assert remedy in problem["detail"]


def test_a_job_starts_from_another_s_weights_by_name(client: Client, wages: Dataset) -> None:
    earlier = trained(
        client,
        wages,
        features=["age", "town", "children"],
        hyperparameters={"max_epochs": 7, "tol": 0},
    )

    later = trained(
        client,
        wages,
        features=["children", "town", "age"],
        hyperparameters={"max_epochs": 3, "tol": 0, "init": earlier.id},
    )

    assert later.model.features == ["children", "town=Oslo", "town=Rome", "age"]
    reached = earlier.job.metrics.train_loss
    assert later.history.train_loss[0] == pytest.approx(reached, rel=1e-12)
    assert reached < earlier.history.train_loss[0] / 2
    assert later.job.spec.hyperparameters.init == earlier.id


def test_weights_of_an_unknown_feature_name_the_field(client: Client, wages: Dataset) -> None:
    init = {"coef": [[1.0]], "features": ["height"]}
    run = submit(client, wages, features=["age"], hyperparameters={"init": init})

    error = run.wait(check=False).job.error

    assert error is not None
    assert (error.code, error.param) == ("invalid_input", "hyperparameters.init")


def test_weights_of_other_targets_are_refused(client: Client, wages: Dataset) -> None:
    earlier = trained(client, wages, features=["age"])

    with pytest.raises(InvalidInput, match="was trained on other targets") as refused:
        submit(
            client,
            wages,
            features=["age"],
            target="rent",
            hyperparameters={"init": earlier.id},
        )

    assert refused.value.param == "hyperparameters.init"


@pytest.mark.parametrize(
    ("features", "says"),
    [
        (["age", "town", "trade"], "no weight of feature 'trade=clerk'"),
        (["age"], "a weight of 'town=Oslo', no feature here"),
    ],
)
def test_weights_of_other_features_are_refused_by_name(
    client: Client, wages: Dataset, features: list[str], says: str
) -> None:
    earlier = trained(client, wages, features=["age", "town"])

    run = submit(client, wages, features=features, hyperparameters={"init": earlier.id})

    error = run.wait(timeout_seconds=60, check=False).job.error
    assert error.code == "invalid_input"
    assert says in error.message


LATER = """\
trade;pay;town;age;rent
clerk;55.5;Rome;44.0;520.5
nurse;61.0;Bonn;50.5;540.0
baker;47.5;Oslo;31.0;500.0
baker;;Oslo;31.0;500.0
"""


def test_eval_loss_is_the_model_s_on_the_validation_dataset(
    client: Client, url: str, wages: Dataset, tmp_path: Path
) -> None:
    later = uploaded(url, tmp_path / "later.csv", LATER)
    columns = ["age", "town", "trade"]
    descent = {"max_epochs": 50, "tol": 0, "validation_dataset": later.id}

    run = trained(client, wages, target=TARGETS, features=columns, hyperparameters=descent)

    frame = pd.read_csv(StringIO(LATER), sep=";").dropna()
    records = frame[columns].to_dict("records")
    predicted = np.array(predict(url, run, *records).json()["y"])
    loss = np.mean((predicted - frame[TARGETS].to_numpy()) ** 2)
    assert run.job.metrics.eval_loss == pytest.approx(loss, rel=1e-10)
    assert run.job.metrics.n_eval_samples == 3
    assert run.job.metrics.n_samples == 24
    history = run.history.eval_loss
    assert np.isfinite(history).all()
    assert history[0] == pytest.approx(np.mean(frame[TARGETS].to_numpy() ** 2), rel=1e-12)


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("age;town;rent\n44.0;Rome;520.5\n", "'pay'", "no column"),
        ("age;town;pay\n44.0;Rome;much\n", "'pay'", "holds text"),
        ("age;town;pay\n44.0;7;50\n", "'town'", "holds numbers"),
        ("age;town;pay\nold;Rome;50\n", "'age'", "holds text"),
    ],
)
def test_a_validation_dataset_of_other_columns_is_refused_by_name(
    url: str, wages: Dataset, tmp_path: Path, text: str, column: str, says: str
) -> None:
    other = uploaded(url, tmp_path / "other.csv", text)
    body = {
        "dataset": wages.id,
        "target": "pay",
        "features": ["age", "town"],
        "missing": "drop",
        "hyperparameters": {"validation_dataset": other.id},
    }

    refused = httpx2.post(f"{url}/v1/jobs", json=body)

    problem = refused.json()
    assert refused.status_code == 422, problem
    assert problem["param"] == "hyperparameters.validation_dataset"
    assert column in problem["detail"]
    assert says in problem["detail"]


def test_a_level_that_only_the_validation_rows_have_is_named_by_its_column(
    client: Client, url: str, wages: Dataset, tmp_path: Path
) -> None:
    later = uploaded(url, tmp_path / "later.csv", "age;town;pay\n44.0;Paris;50\n")

    run = submit(
        client,
        wages,
        features=["age", "town"],
        hyperparameters={"validation_dataset": later.id},
    ).wait(timeout_seconds=60, check=False)

    assert run.state is JobState.FAILED
    assert run.job.error.param == "town"
    assert "leave those rows out" in run.job.error.message


def test_a_dataset_is_not_deleted_while_a_job_validates_on_it(
    client: Client, url: str, wages: Dataset, tmp_path: Path
) -> None:
    later = uploaded(url, tmp_path / "later.csv", LATER)
    endless = {"max_epochs": 10_000_000, "tol": 0, "learning_rate": 1e-6}
    run = submit(
        client,
        wages,
        features=["age", "town"],
        hyperparameters={**endless, "validation_dataset": later.id},
    )
    until(lambda: run.refresh().progress.epoch > 0, seconds=30)

    while_it_runs = httpx2.delete(f"{url}/v1/datasets/{later.id}")
    run.cancel()
    run.wait(timeout_seconds=20, check=False)
    afterwards = httpx2.delete(f"{url}/v1/datasets/{later.id}")

    assert (while_it_runs.status_code, while_it_runs.json()["code"]) == (409, "dataset_in_use")
    assert run.state is JobState.CANCELLED
    assert afterwards.status_code == 204
