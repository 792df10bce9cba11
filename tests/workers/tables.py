"""Canonical files in record batches of any size, and jobs on them as a worker is given them."""

from pathlib import Path
from typing import Any

import polars as pl

from descend.jobs import Hyperparameters
from workers.orders import Assignment

__all__ = ["assignment", "written"]


def written(path: Path, columns: dict[str, Any], *, rows: int = 4) -> Path:
    """Write a canonical file with `rows` rows in a record batch."""
    frame = pl.DataFrame(columns)
    frame.write_ipc(path, compat_level=pl.CompatLevel.oldest(), record_batch_size=rows)
    return path


def assignment(
    data: Path | bytes,
    features: tuple[str, ...],
    targets: tuple[str, ...] = ("y",),
    *,
    hyperparameters: dict[str, Any] | None = None,
    **more: Any,
) -> Assignment:
    """Make a job on a file; whole rows, no factors kept, unless `more` says so."""
    asked = {
        "weight": None,
        "missing": "error",
        "categorical": "one_hot",
        "validation": None,
        "factors": None,
        "parent_factors": None,
        "parent_rows": 0,
        "checkpoint": None,
        "epochs_done": 0,
    }
    return Assignment(
        job_id="job_1",
        fence=1,
        attempt=1,
        hyperparameters=Hyperparameters.model_validate(hyperparameters or {}).resolved(seed=0),
        device="cpu",
        features=features,
        targets=targets,
        data=data,
        **{**asked, **more},
    )
