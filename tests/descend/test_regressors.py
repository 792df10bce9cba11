"""Models rebuilt as scikit-learn's own objects, against LinearModel.predict."""

import pickle  # noqa: TID251  what users of scikit-learn do with its objects
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline

from descend.encoding import CategoricalInput
from descend.models import LinearModel
from tests.service.catalogue import CATALOGUE, FILLED, NO_FILL, model_of_inputs, records_of


def frame_of(records: list[dict[str, Any]], model: LinearModel) -> pd.DataFrame:
    """Columns in another order than the model's: they are found by name."""
    names = [one.name for one in reversed(model.inputs)]
    return pd.DataFrame(records)[names]


@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("inputs", CATALOGUE.values(), ids=CATALOGUE.keys())
def test_the_rebuilt_object_predicts_what_the_model_predicts(
    inputs: list[Any], n_targets: int
) -> None:
    model, records = model_of_inputs(inputs, n_targets=n_targets), records_of(inputs)

    rebuilt = model.to_sklearn()
    predicted = rebuilt.predict(frame_of(records, model))

    ours = model.predict(model.encode(records))
    np.testing.assert_allclose(predicted, ours[:, 0] if n_targets == 1 else ours, rtol=1e-12)
    assert isinstance(rebuilt, Pipeline)


@pytest.mark.parametrize("inputs", [FILLED, NO_FILL])
def test_the_features_of_the_pipeline_are_the_model_s(inputs: list[Any]) -> None:
    model = model_of_inputs(inputs)

    rebuilt = model.to_sklearn()

    assert rebuilt[:-1].get_feature_names_out().tolist() == model.features
    assert list(rebuilt.feature_names_in_) == [one.name for one in inputs]
    np.testing.assert_array_equal(rebuilt[-1].coef_, model.coef)


def test_numbers_alone_become_a_linear_regression() -> None:
    model = LinearModel(features=["a", "b"], targets=["y"], coef=[[2.0, 3.0]], intercept=[0.5])

    rebuilt = model.to_sklearn()

    assert isinstance(rebuilt, LinearRegression)
    assert (rebuilt.coef_.tolist(), rebuilt.intercept_) == ([2.0, 3.0], 0.5)
    assert rebuilt.feature_names_in_.tolist() == ["a", "b"]
    assert rebuilt.predict(pd.DataFrame({"a": [1.0], "b": [10.0]})).tolist() == [32.5]
    assert rebuilt.score(pd.DataFrame({"a": [1.0, 2], "b": [1.0, 1]}), [5.5, 7.5]) == 1.0


def test_an_unseen_level_is_an_error_or_the_base() -> None:
    model = model_of_inputs(FILLED)
    record = {"town": "Paris", "age": 1.0, "weight": 2.0}
    frame = frame_of([record], model)

    with pytest.raises(ValueError, match="unknown categories"):
        model.to_sklearn().predict(frame)
    with pytest.warns(UserWarning, match="unknown categories"):
        base = model.to_sklearn(unseen="base").predict(frame)

    np.testing.assert_allclose(base, model.predict(model.encode([record], unseen="base")))


def test_a_column_that_is_missing_or_a_cell_without_a_fill_is_an_error() -> None:
    model = model_of_inputs(FILLED)
    whole = frame_of([{"town": "Oslo", "age": 1.0, "weight": 2.0}], model)

    with pytest.raises(ValueError, match="weight"):
        model.to_sklearn().predict(whole.drop(columns="weight"))
    with pytest.raises(ValueError, match="NaN"):
        model.to_sklearn().predict(whole.assign(weight=np.nan))


def test_it_is_pickled_as_any_other() -> None:
    model, records = model_of_inputs(FILLED), records_of(FILLED, 20)
    frame = frame_of(records, model)

    again = pickle.loads(pickle.dumps(model.to_sklearn()))  # noqa: S301  our own

    np.testing.assert_array_equal(again.predict(frame), model.to_sklearn().predict(frame))
    assert any(isinstance(one, CategoricalInput) for one in model.inputs)
