"""Descend: linear regressions over HTTP. The contract and the client.

`Client` and `DescendRegressor` are loaded when first named (PEP 562), so that `import descend`
costs no HTTP stack and needs no scikit-learn.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from descend.datasets import Dataset
from descend.diagnostics import Diagnostics
from descend.errors import DescendError
from descend.gradients import Gradients
from descend.history import History
from descend.jobs import Hyperparameters, Job, JobSpec, JobState, StopReason
from descend.models import LinearModel
from descend.plans import Plan
from descend.predictions import Predictions
from descend.statistics import Summary

if TYPE_CHECKING:
    from descend.client import Client
    from descend.estimator import DescendRegressor
    from descend.runs import Run

__all__ = [
    "Client",
    "Dataset",
    "DescendError",
    "DescendRegressor",
    "Diagnostics",
    "Gradients",
    "History",
    "Hyperparameters",
    "Job",
    "JobSpec",
    "JobState",
    "LinearModel",
    "Plan",
    "Predictions",
    "Run",
    "StopReason",
    "Summary",
]


_LATE = {
    "Client": "descend.client",
    "DescendRegressor": "descend.estimator",
    "Run": "descend.runs",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'descend' has no attribute {name!r}")
    try:
        return getattr(import_module(_LATE[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        words = "DescendRegressor needs scikit-learn: pip install 'descend[sklearn]'"
        raise ImportError(words) from error
