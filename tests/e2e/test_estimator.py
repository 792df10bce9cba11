"""DescendRegressor against a real stack: scikit-learn's own checks, and what they do not ask."""

import pickle  # noqa: TID251  of our own estimators
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from descend import Client, DescendRegressor, Hyperparameters, JobState
from descend.errors import InvalidInput, JobFailed, Unreachable
from tests.house.sources import ROOT
from tests.servers import until

rng = np.random.default_rng(4)
X = rng.normal(size=(60, 3))
Y = np.column_stack([X @ [1.0, -2.0, 0.5] + 3, X @ [0.0, 1.0, 1.0] - 1])
Y += 0.1 * rng.normal(size=Y.shape)
WEIGHTS = rng.uniform(size=60)


@pytest.fixture
def regressor(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DescendRegressor]:
    monkeypatch.setenv("DESCEND_URL", url)
    return DescendRegressor()


def test_scikit_learns_own_checks_pass(regressor: DescendRegressor) -> None:
    with pytest.warns(SkipTestWarning, match="SCIPY_ARRAY_API"):
        checks = check_estimator(regressor)

    assert len(checks) > 50
    assert {check["status"] for check in checks if "array_api" not in check["check_name"]} == {
        "passed"
    }


def test_the_default_equals_linear_regression(regressor: DescendRegressor) -> None:
    regressor.fit(X, Y, sample_weight=WEIGHTS)

    peer = LinearRegression().fit(X, Y, sample_weight=WEIGHTS)
    assert regressor.coef_ == pytest.approx(peer.coef_, rel=1e-10)
    assert regressor.intercept_ == pytest.approx(peer.intercept_, rel=1e-10)
    assert regressor.predict(X) == pytest.approx(peer.predict(X), rel=1e-10)


def test_shapes_are_those_of_scikit_learn(regressor: DescendRegressor) -> None:
    one = clone(regressor).fit(X, Y[:, 0])
    column = clone(regressor).fit(X, Y[:, :1])

    assert (one.coef_.shape, np.ndim(one.intercept_), one.predict(X).shape) == ((3,), 0, (60,))
    assert (column.coef_.shape, column.intercept_.shape) == ((1, 3), (1,))
    assert column.predict(X).shape == (60, 1)


def test_the_loss_curve_is_the_history(regressor: DescendRegressor, client: Client) -> None:
    regressor.set_params(optimizer="sgd", learning_rate=0.01, max_epochs=50, tol=0)

    regressor.fit(X, Y[:, 0])

    assert regressor.n_iter_ == len(regressor.loss_curve_) == 50
    assert regressor.loss_curve_ == client.history(regressor.job_id_).train_loss.tolist()
    assert regressor.loss_curve_[-1] < regressor.loss_curve_[0]


def test_columns_keep_their_names_on_the_server(regressor: DescendRegressor) -> None:
    regressor.fit(pd.DataFrame(X, columns=["a", "b", "c"]), Y[:, 0])

    assert regressor.model_.features == ["a", "b", "c"]
    assert list(regressor.feature_names_in_) == ["a", "b", "c"]


def test_names_that_the_server_needs_itself_are_no_obstacle(regressor: DescendRegressor) -> None:
    regressor.fit(pd.DataFrame(X, columns=["y", "sample_weight", "y0"]), Y, WEIGHTS)

    assert regressor.coef_.shape == (2, 3)


def test_every_hyperparameter_is_a_parameter_with_its_default() -> None:
    parameters = DescendRegressor().get_params()
    fields = {k: f.default for k, f in Hyperparameters.model_fields.items() if k != "deterministic"}

    assert {name: parameters[name] for name in fields} == {**fields, "optimizer": "exact"}
    assert set(parameters) - set(fields) == {"device", "url", "api_key", "timeout_seconds"}


def test_a_fitted_estimator_is_pickled_and_predicts_without_a_server(
    regressor: DescendRegressor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESCEND_API_KEY", "dsc_a_secret")
    regressor.fit(X, Y)
    stored = pickle.dumps(regressor)
    monkeypatch.setenv("DESCEND_URL", "http://127.0.0.1:9")

    again = pickle.loads(stored)  # noqa: S301  our own bytes

    assert np.array_equal(again.predict(X), regressor.predict(X))
    assert b"dsc_a_secret" not in stored


def test_a_key_that_is_a_parameter_goes_along_and_is_shown_nowhere() -> None:
    keyed = DescendRegressor(api_key="dsc_a_secret")
    pipeline = make_pipeline(StandardScaler(), keyed)

    shown = [repr(keyed), str(keyed), keyed._repr_html_(), repr(pipeline), pipeline._repr_html_()]
    assert [text for text in shown if "dsc_a_secret" in text] == []
    assert clone(keyed).get_params()["api_key"] == "dsc_a_secret"
    assert pickle.loads(pickle.dumps(keyed)).api_key == "dsc_a_secret"  # noqa: S301


def test_a_grid_search_over_a_pipeline_finds_what_ridge_finds(regressor: DescendRegressor) -> None:
    grid = [0.001, 0.01, 0.1, 1.0]
    ours = make_pipeline(PolynomialFeatures(2, include_bias=False), StandardScaler(), regressor)
    peer = make_pipeline(PolynomialFeatures(2, include_bias=False), StandardScaler(), Ridge())

    found = GridSearchCV(ours, {"descendregressor__l2": grid}, cv=3).fit(X, Y[:, 0])

    alphas = {"ridge__alpha": [40 * l2 for l2 in grid]}  # 40 rows in each of the three folds
    same = GridSearchCV(peer, alphas, cv=3).fit(X, Y[:, 0])
    scores = found.cv_results_["mean_test_score"], same.cv_results_["mean_test_score"]
    assert scores[0] == pytest.approx(scores[1], rel=1e-8)


def test_a_parameter_of_numpy_is_a_number_like_any_other(regressor: DescendRegressor) -> None:
    regressor.set_params(l2=np.float64(0.5), max_epochs=np.int64(10), optimizer="sgd").fit(X, Y)

    assert regressor.n_iter_ <= 10


@pytest.mark.parametrize(
    ("wrong", "words"), [({"momentum": 0.5}, "momentum"), ({"optimizer": "newton"}, "optimizer")]
)
def test_a_wrong_parameter_is_a_value_error(
    regressor: DescendRegressor, wrong: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        regressor.set_params(**wrong).fit(X, Y)


def test_a_training_that_diverges_fails_with_what_to_do(regressor: DescendRegressor) -> None:
    with pytest.raises(JobFailed, match="rate"):
        regressor.set_params(optimizer="sgd", learning_rate=100.0).fit(X, Y)


def test_a_fit_that_gives_up_cancels_its_job(regressor: DescendRegressor, client: Client) -> None:
    regressor.set_params(optimizer="sgd", learning_rate=1e-9, max_epochs=10_000_000, tol=0)

    with pytest.raises(TimeoutError, match="still"):
        regressor.set_params(timeout_seconds=0.2).fit(X, Y)

    newest = next(client.jobs())
    assert client.job(newest.id, wait_seconds=10).state is JobState.CANCELLED


def test_the_timeout_is_that_of_the_whole_fit(regressor: DescendRegressor) -> None:
    regressor.set_params(optimizer="sgd", learning_rate=1e-9, max_epochs=10_000_000, tol=0)
    began = time.monotonic()

    with pytest.raises(TimeoutError, match="still"):
        regressor.set_params(timeout_seconds=2.0).fit(X, Y)

    assert 2.0 <= time.monotonic() - began < 3.5


def test_an_interrupted_fit_cancels_its_job(url: str, client: Client) -> None:
    before = {job.id for job in client.jobs()}
    endless = "optimizer='sgd', learning_rate=1e-9, max_epochs=10_000_000, tol=0"
    code = (
        f"import descend; descend.DescendRegressor({endless}, url={url!r})"
        ".fit([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0])"
    )
    told = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    running = until(
        lambda: [job for job in client.jobs(state=JobState.RUNNING) if job.id not in before],
        seconds=60,
    )[0]

    told.send_signal(signal.SIGINT)

    assert "KeyboardInterrupt" in told.communicate(timeout=20)[1]
    assert client.job(running.id, wait_seconds=10).state is JobState.CANCELLED


def test_without_a_server_the_error_says_so() -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        DescendRegressor(url="http://127.0.0.1:9").fit(X, Y)


def test_the_example_of_the_pipeline_runs(url: str) -> None:
    answer = subprocess.run(
        [sys.executable, ROOT / "examples" / "sklearn_pipeline.py", url],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "best l2" in answer.stdout
    assert "R² of rows it has not seen" in answer.stdout


def test_the_example_is_at_most_thirty_lines_long() -> None:
    lines = (ROOT / "examples" / "sklearn_pipeline.py").read_text().splitlines()

    assert len(lines) <= 30
