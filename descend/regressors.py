"""A model as scikit-learn's own objects, rebuilt from its numbers: no server, no training.

Beside descend.estimator the only module that knows scikit-learn; both are imported when first used.
"""

from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from descend.encoding import CategoricalInput, Input, NumericInput, Unseen

if TYPE_CHECKING:
    from descend.models import LinearModel

__all__ = ["regressor_of"]


def regressor_of(model: "LinearModel", *, unseen: Unseen = "error") -> LinearRegression | Pipeline:
    """Rebuild a model as a fitted LinearRegression, or as a pipeline that encodes first.

    Args:
        model: with an encoding where its columns are not plain numbers.
        unseen: what becomes of a level that was not in the training data: an error, or the
            base level.

    Returns:
        A LinearRegression that takes the columns of `features`; where there is text or a fill, a
        Pipeline of a ColumnTransformer and one, which takes a pandas DataFrame of raw columns.
        Its predictions equal the model's up to rounding; they have shape (n_samples,) for one
        target, as scikit-learn has it.
    """
    if model.encoding is None or model.encoding.is_plain:
        return _regression(model, named=True)
    encoder = _encoder(model.inputs, unseen=unseen)
    encoder.fit(_row(model.inputs))
    return make_pipeline(encoder, _regression(model, named=False))


def _regression(model: "LinearModel", *, named: bool) -> LinearRegression:
    regression = LinearRegression(fit_intercept=any(model.intercept))
    coef, intercept = np.array(model.coef), np.array(model.intercept)
    one = len(model.targets) == 1
    regression.coef_ = coef[0] if one else coef
    regression.intercept_ = float(intercept[0]) if one else intercept
    regression.n_features_in_ = len(model.features)
    if named:  # in a pipeline its rows come as an array
        regression.feature_names_in_ = np.array(model.features, dtype=object)
    return regression


def _encoder(inputs: list[Input], *, unseen: Unseen) -> ColumnTransformer:
    """One transformer for each run of columns of a kind, so that the features keep their order."""
    steps = [
        (f"{_kind(run[0])} from {run[0].name}", _step(run, unseen=unseen), [c.name for c in run])
        for run in (list(columns) for _, columns in groupby(inputs, _kind))
    ]
    return ColumnTransformer(steps, sparse_threshold=0, verbose_feature_names_out=False)


def _kind(column: Input) -> str:
    filled = "whole" if column.fill is None else "filled"
    return f"{column.kind}, {filled}"


def _step(run: list[Input], *, unseen: Unseen) -> Any:
    texts = [one for one in run if isinstance(one, CategoricalInput)]
    if not texts:
        return "passthrough" if run[0].fill is None else SimpleImputer(strategy="mean")
    levels = OneHotEncoder(
        categories=[np.array(one.levels, dtype=object) for one in texts],
        drop="first",
        handle_unknown="error" if unseen == "error" else "ignore",
        sparse_output=False,
        feature_name_combiner=_feature,
    )
    if run[0].fill is None:
        return levels
    return make_pipeline(SimpleImputer(strategy="most_frequent"), levels)


def _feature(column: str, level: Any) -> str:
    return f"{column}={level}"


def _row(inputs: list[Input]) -> Any:
    """A row to fit the encoder on: its mean, and most frequent text, is what fills a column."""
    from pandas import DataFrame

    def cell(column: Input) -> float | str:
        if column.fill is not None:
            return column.fill
        return 0.0 if isinstance(column, NumericInput) else column.base

    return DataFrame({column.name: [cell(column)] for column in inputs})
