"""A fitted linear model and the only predict in the house (numpy)."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from descend.columns import Columns, cells_of, columns_of, is_table, stored
from descend.encoding import Encoding, Input, NumericInput, Record, Unseen
from descend.errors import InvalidInput

if TYPE_CHECKING:
    from rich.table import Table
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import Pipeline

__all__ = ["LinearModel", "Provenance", "Receipt", "product"]

# Of terms that are added up at a time: they stay in the cache.
PIECE_NUMBERS = 2**16
# Of more targets one product a row is quicker than a sum for each.
FEW_TARGETS = 16


class Provenance(BaseModel):
    """Where a model comes from: enough to train it again."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    dataset_id: str
    dataset_sha256: str
    code_version: str
    torch_version: str
    device: str
    dtype: str
    seed: int
    engine: str
    weight: str | None = Field(None, description="the column of sample weights")
    missing: Literal["error", "drop", "mean"] | None = Field(
        None, description="null where it was not recorded"
    )
    validation_fraction: float | None = Field(
        None, description="of the rows, held out; null where it was not recorded"
    )


class Receipt(BaseModel):
    """How far the numbers can be trusted, and what they were made of."""

    model_config = ConfigDict(frozen=True)

    rank: int | None = Field(None, description="independent columns of the design")
    n_columns: int = Field(description="columns of the design, the intercept's included")
    condition_number: float | None = Field(
        None, description="of the design with columns of equal length"
    )
    digits_lost: float | None = Field(
        None, description="decimal digits of the weights that rounding may have cost"
    )
    dtype: str
    device: str
    engine: str
    cpu: str | None = Field(None, description="processor; null where it was not recorded")
    kernel: str | None = Field(
        None,
        description="BLAS and vector kernels: another one may give other last bits;"
        " null where it was not recorded",
    )
    data_sha256: str
    spec_sha256: str = Field(
        description="of columns and hyperparameters: equal for equal training, whatever its name"
    )
    code_sha256: str = Field(description="of the engine's source")


def product(
    X: NDArray[np.float64], coef: NDArray[np.float64], intercept: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute X coef' + intercept, the one formula of the house.

    Args:
        X: shape (n_samples, n_features), any memory order; no rows are no predictions.
        coef: shape (n_targets, n_features).
        intercept: shape (n_targets,).

    Returns:
        Shape (n_samples, n_targets).

    Notes:
        A row's prediction has the same bits alone and among others: each is a pairwise sum along
        its own row, or of many targets a product with that row alone. The bits of a product with
        a matrix depend on how many rows it has.
        Cost: two passes over X for each target, a piece of at most 2^16 numbers at a time.
    """
    y = np.empty((len(X), len(coef)))
    if len(coef) > FEW_TARGETS:
        for place, row in enumerate(np.ascontiguousarray(X)):
            y[place] = coef @ row + intercept
        return y
    piece = max(1, PIECE_NUMBERS // max(1, X.shape[1]))
    for begin in range(0, len(X), piece):
        rows = X[begin : begin + piece]
        for target, weights in enumerate(coef):
            # In C order whatever that of X is, so that every sum runs along memory.
            terms = np.multiply(rows, weights, order="C")
            y[begin : begin + piece, target] = terms.sum(axis=1) + intercept[target]
    return y


class LinearModel(BaseModel):
    """y = X coef' + intercept, in original units.

    Example:
        >>> model = LinearModel(features=["x0"], targets=["y"], coef=[[2.0]], intercept=[0.5])
        >>> model.predict([[4.0]])
        array([[8.5]])
    """

    model_config = ConfigDict(frozen=True)

    id: str | None = None
    object: Literal["model"] = "model"
    features: list[str] = Field(description="names of the columns of X, in order")
    targets: list[str]
    coef: list[list[float]] = Field(description="n_targets rows of n_features, original units")
    intercept: list[float] = Field(description="n_targets numbers; zeros when none was fitted")
    encoding: Encoding | None = Field(
        None, description="from raw records to features; null: the columns as they are"
    )
    metrics: dict[str, float | int | bool | None] = {}
    provenance: Provenance | None = None
    receipt: Receipt | None = None
    created_at: datetime | None = None
    urls: dict[str, str] = {}

    @property
    def inputs(self) -> list[Input]:
        """The raw columns that the features are made of; without an encoding, the features."""
        if self.encoding is not None:
            return self.encoding.inputs
        return [NumericInput(name=name) for name in self.features]

    def predict(self, X: Any, *, unseen: Unseen = "error") -> NDArray[np.float64]:
        """Compute Y_hat = X coef' + intercept.

        Args:
            X: design matrix, shape (n_samples, n_features), columns in the order of `features`; or
                a table with names (a pandas or polars frame, a dictionary of columns, records), of
                which the model's columns are taken by name and encoded, the others left alone.
            unseen: of a table, what becomes of a level that was not in the training data: an
                error, or the base level.

        Returns:
            Predictions, shape (n_samples, n_targets), float64, in the targets' units.

        Raises:
            InvalidInput: when X is not numeric, not two-dimensional or not n_features wide; when a
                table has not the model's columns, or a cell that does not fit: it names them.
        """
        if is_table(X):
            X = self._design(columns_of(X), unseen)
        try:
            rows = np.asarray(X, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidInput("X is not a table of numbers", param="X") from error
        if rows.shape == (0,):  # no rows: nothing says how wide they would be
            rows = rows.reshape(0, len(self.features))
        if rows.ndim != 2 or rows.shape[1] != len(self.features):
            raise InvalidInput(
                f"X has shape {rows.shape}; this model needs (n_samples, {len(self.features)})"
                f" with the columns {self._named_features()}",
                param="X",
            )
        coef = np.asarray(self.coef, dtype=np.float64)
        return product(rows, coef, np.asarray(self.intercept, dtype=np.float64))

    def _design(self, columns: Columns, unseen: Unseen) -> NDArray[np.float64]:
        """Find the columns by name: those trained on, or the features that were made of them."""
        names = [one.name for one in self.inputs]
        missing = [name for name in names if name not in columns]
        if missing and all(name in columns for name in self.features):
            numbers = [NumericInput(name=name) for name in self.features]
            return _encoded(numbers, columns, unseen)
        if missing:
            raise InvalidInput(
                f"the table has no column {', '.join(map(repr, missing[:10]))}", param=missing[0]
            )
        return _encoded(self.inputs, columns, unseen)

    def encode(
        self, records: Sequence[Record], *, unseen: Unseen = "error", first_row: int = 0
    ) -> NDArray[np.float64]:
        """Compute the design matrix of raw records (see Encoding.encode)."""
        encoding = Encoding.model_construct(inputs=self.inputs)
        return encoding.encode(records, unseen=unseen, first_row=first_row)

    def __rich__(self) -> "Table":
        from descend.views import model_page

        return model_page(self)

    def _repr_html_(self) -> str:
        from descend.views import model_html

        return model_html(self)

    def to_sklearn(self, *, unseen: Unseen = "error") -> "LinearRegression | Pipeline":
        """Rebuild the model as a fitted scikit-learn object (see descend.regressors)."""
        from descend.regressors import regressor_of

        return regressor_of(self, unseen=unseen)

    def _named_features(self) -> str:
        shown = ", ".join(self.features[:10])
        return shown if len(self.features) <= 10 else f"{shown}, …"


def _encoded(inputs: Sequence[Input], columns: Columns, unseen: Unseen) -> NDArray[np.float64]:
    taken = {one.name: _taken(one, columns[one.name]) for one in inputs}
    lengths = {name: len(cells) for name, cells in taken.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInput(f"columns must be equally long, not {lengths}", param="X")
    return Encoding.model_construct(inputs=list(inputs)).encode_columns(taken, unseen=unseen)


def _taken(one: Input, values: Any) -> NDArray[Any]:
    """Give numbers as float64, NaN where missing; anything else as cells, as a record has them."""
    array = stored(values)
    if isinstance(one, NumericInput) and array is not None and array.dtype.kind != "b":
        return array.astype(np.float64)
    cells = cells_of(one.name, values)
    taken = np.empty(len(cells), dtype=object)
    taken[:] = cells
    return taken
