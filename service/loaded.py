"""Models ready to predict, the latest kept: their weights are arrays already.

A model never changes, but any process may delete it: each use asks the database whether it is
there, which costs a fifth of reading it.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from descend.encoding import CategoricalInput, Encoding
from descend.errors import ModelNotFound
from descend.models import LinearModel, product
from storage.database import Database

__all__ = ["LoadedModel", "LoadedModels"]

MOST_BYTES = 64 * 2**20
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model's weights as arrays, and what its columns are."""

    id: str
    encoding: Encoding
    features: list[str]
    targets: list[str]
    coef: Floats
    intercept: Floats

    @classmethod
    def of(cls, model: LinearModel) -> "LoadedModel":
        return cls(
            id=model.id or "",
            encoding=Encoding.model_construct(inputs=model.inputs),
            features=model.features,
            targets=model.targets,
            coef=np.asarray(model.coef, dtype=np.float64),
            intercept=np.asarray(model.intercept, dtype=np.float64),
        )

    @property
    def is_numeric(self) -> bool:
        """Whether no column is text, so that the columns can stand side by side in one table."""
        return not any(isinstance(one, CategoricalInput) for one in self.encoding.inputs)

    def predict(self, X: Floats) -> Floats:
        """Compute X coef' + intercept, shape (n_rows, n_targets)."""
        return product(X, self.coef, self.intercept)


class LoadedModels:
    """The models used last, up to so many bytes of weights."""

    def __init__(self, database: Database, *, most_bytes: int = MOST_BYTES) -> None:
        self._database = database
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, LoadedModel] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, model_id: str) -> LoadedModel:
        """Give a model that is there now; ModelNotFound where it is not, or no longer."""
        with self._lock:
            found = self._kept.get(model_id)
            if found is not None:
                self._kept.move_to_end(model_id)
        with self._database.read() as tx:
            if found is None:
                return self._keep(LoadedModel.of(tx.models.get(model_id)))
            try:
                tx.models.require(model_id)
            except ModelNotFound:
                self._forget(model_id)
                raise
        return found

    def _keep(self, model: LoadedModel) -> LoadedModel:
        with self._lock:
            if model.id not in self._kept:
                self._kept[model.id] = model
                self._bytes += model.coef.nbytes
            while self._bytes > self._most_bytes:
                self._drop(next(iter(self._kept)))
        return model

    def _forget(self, model_id: str) -> None:
        with self._lock:
            if model_id in self._kept:
                self._drop(model_id)

    def _drop(self, model_id: str) -> None:
        self._bytes -= self._kept.pop(model_id).coef.nbytes
