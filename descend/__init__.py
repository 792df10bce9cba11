"""Descend: linear regressions over HTTP. The contract and the client.

`Client` is loaded when first named (PEP 562), so that `import descend` costs no HTTP stack.
"""

from typing import TYPE_CHECKING, Any

from descend.datasets import Dataset
from descend.diagnostics import Diagnostics
from descend.errors import DescendError
from descend.gradients import Gradients
from descend.history import History
from descend.jobs import Hyperparameters, Job, JobSpec, JobState, StopReason
from descend.models import LinearModel
from descend.plans import Plan
from descend.statistics import Summary

if TYPE_CHECKING:
    from descend.client import Client

__all__ = [
    "Client",
    "Dataset",
    "DescendError",
    "Diagnostics",
    "Gradients",
    "History",
    "Hyperparameters",
    "Job",
    "JobSpec",
    "JobState",
    "LinearModel",
    "Plan",
    "StopReason",
    "Summary",
]


def __getattr__(name: str) -> Any:
    if name == "Client":
        from descend.client import Client

        return Client
    raise AttributeError(f"module 'descend' has no attribute {name!r}")
