"""Fitted models: their weights are float64 bytes in the row."""

import json

import numpy as np
from sqlalchemy import Connection, RowMapping, bindparam, insert, select

from descend.encoding import Encoding
from descend.errors import ModelNotFound
from descend.jobs import Page
from descend.models import LinearModel, Provenance, Receipt
from storage.dialects import instant, now
from storage.tables import models

__all__ = ["ModelRepository"]

_ADD = insert(models).values(created_at=now())
_BY_ID = select(models).where(models.c.id == bindparam("my_id"))
_BY_JOB = select(models).where(models.c.job_id == bindparam("my_id"))


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

    def get(self, model_id: str) -> LinearModel:
        """Read one model; ModelNotFound where there is none."""
        row = self._connection.execute(_BY_ID, {"my_id": model_id}).mappings().first()
        if row is None:
            raise ModelNotFound(f"there is no model {model_id}")
        return _model_of(row)

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
