"""Fitted models: their weights are float64 bytes in the row."""

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select

from descend.encoding import Encoding
from descend.errors import ModelNotFound
from descend.jobs import Page
from descend.models import LinearModel, Provenance, Receipt
from descend.statistics import INTERCEPT, Statistics
from storage.dialects import instant, now
from storage.tables import model_statistics, models

__all__ = ["KnownStatistics", "ModelRepository", "Spread"]

_ADD = insert(models).values(created_at=now())
_BY_ID = select(models).where(models.c.id == bindparam("my_id"))
_EXISTS = select(models.c.id).where(models.c.id == bindparam("my_id"))
_BY_JOB = select(models).where(models.c.job_id == bindparam("my_id"))
_DELETE = delete(models).where(models.c.id == bindparam("my_id"))
_ADD_STATISTICS = insert(model_statistics)
_STATISTICS = (
    select(models.c.id, model_statistics.c.data, model_statistics.c.covariance)
    .outerjoin(model_statistics, model_statistics.c.model_id == models.c.id)
    .where(models.c.id == bindparam("my_id"))
)


Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spread:
    """How far a prediction's mean strays, in parts of residual_sd: sqrt(leverage).

    v = [(x - mean) / scale, 1], without the 1 where there is no intercept; leverage = ||v root||^2.
    """

    mean: Floats
    scale: Floats
    root: Floats

    @classmethod
    def of(cls, data: bytes, statistics: Statistics) -> "Spread":
        """Read the three, which stand one after the other; ValueError where they do not fit."""
        numbers = np.frombuffer(data, "<f8")
        size = len(statistics.names)
        width = size - (INTERCEPT in statistics.names[-1:])
        if len(numbers) != 2 * width + size**2:
            raise ValueError(f"{len(numbers)} numbers for {size} weights")
        mean, scale, root = np.split(numbers, [width, 2 * width])
        return cls(mean, scale, root.reshape(size, size))

    def leverage(self, X: Floats) -> Floats:
        """Compute the leverage of each row of X, shape (n,)."""
        V = (X - self.mean) / self.scale
        reach = V @ self.root[: V.shape[1]]
        if len(self.root) > V.shape[1]:
            reach = reach + self.root[-1]
        return np.asarray(np.square(reach).sum(axis=1))


@dataclass(frozen=True, eq=False)
class KnownStatistics:
    """A model's statistics, and the spread of its predictions where it is kept."""

    statistics: Statistics
    spread: Spread | None


class ModelRepository:
    """Models of one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, model: LinearModel, *, model_id: str, job_id: str) -> None:
        """Store the model that a job made."""
        self._connection.execute(
            _ADD,
            {
                "id": model_id,
                "job_id": job_id,
                "features": json.dumps(model.features),
                "targets": json.dumps(model.targets),
                "metrics": json.dumps(model.metrics),
                "provenance": model.provenance.model_dump_json() if model.provenance else None,
                "encoding": model.encoding.model_dump_json() if model.encoding else None,
                "receipt": model.receipt.model_dump_json() if model.receipt else None,
                "intercept": np.asarray(model.intercept, "<f8").tobytes(),
                "coef": np.asarray(model.coef, "<f8").tobytes(),
            },
        )

    def add_statistics(
        self, model_id: str, statistics: Statistics, *, spread: bytes | None = None
    ) -> None:
        """Store what is known of a model."""
        values = {
            "model_id": model_id,
            "data": statistics.model_dump_json(),
            "covariance": spread,
        }
        self._connection.execute(_ADD_STATISTICS, values)

    def statistics(self, model_id: str) -> KnownStatistics | None:
        """Read a model's statistics; None where it has none.

        Raises:
            ModelNotFound: when there is no such model.
        """
        row = self._connection.execute(_STATISTICS, {"my_id": model_id}).first()
        if row is None:
            raise ModelNotFound(f"there is no model {model_id}")
        if row.data is None:
            return None
        statistics = Statistics.model_validate_json(row.data)
        spread = None if row.covariance is None else Spread.of(row.covariance, statistics)
        return KnownStatistics(statistics, spread)

    def delete(self, model_id: str) -> None:
        """Forget a model, with its statistics; ModelNotFound where there is none."""
        if self._connection.execute(_DELETE, {"my_id": model_id}).rowcount == 0:
            raise ModelNotFound(f"there is no model {model_id}")

    def get(self, model_id: str) -> LinearModel:
        """Read one model; ModelNotFound where there is none."""
        row = self._connection.execute(_BY_ID, {"my_id": model_id}).mappings().first()
        if row is None:
            raise ModelNotFound(f"there is no model {model_id}")
        return _model_of(row)

    def require(self, model_id: str) -> None:
        """Do nothing where there is such a model; ModelNotFound where there is none."""
        if self._connection.execute(_EXISTS, {"my_id": model_id}).first() is None:
            raise ModelNotFound(f"there is no model {model_id}")

    def of_job(self, job_id: str) -> LinearModel:
        """Read the model that a job made; ModelNotFound where it made none."""
        row = self._connection.execute(_BY_JOB, {"my_id": job_id}).mappings().first()
        if row is None:
            raise ModelNotFound(f"job {job_id} has no model")
        return _model_of(row)

    def page(self, *, after: str | None = None, limit: int = 20) -> Page[LinearModel]:
        """List models, newest first, from below the id `after`."""
        statement = select(models).order_by(models.c.id.desc()).limit(limit + 1)
        if after is not None:
            statement = statement.where(models.c.id < after)
        rows = self._connection.execute(statement).mappings().all()
        data = [_model_of(row) for row in rows[:limit]]
        return Page(data=data, has_more=len(rows) > limit, last_id=data[-1].id if data else None)


def _model_of(row: RowMapping) -> LinearModel:
    features, targets = json.loads(row["features"]), json.loads(row["targets"])
    coef = np.frombuffer(row["coef"], "<f8").reshape(len(targets), len(features))
    here = f"/v1/models/{row['id']}"
    return LinearModel.model_construct(
        id=row["id"],
        features=features,
        targets=targets,
        coef=coef.tolist(),
        intercept=np.frombuffer(row["intercept"], "<f8").tolist(),
        metrics=json.loads(row["metrics"]),
        provenance=Provenance.model_validate_json(row["provenance"]) if row["provenance"] else None,
        encoding=Encoding.model_validate_json(row["encoding"]) if row["encoding"] else None,
        receipt=Receipt.model_validate_json(row["receipt"]) if row["receipt"] else None,
        created_at=instant(row["created_at"]),
        urls={"self": here, "predict": f"{here}/predict"},
    )
