"""Descend: linear regressions over HTTP. The contract and the client.

`Client` is loaded when first named (PEP 562), so that `import descend` costs no HTTP stack.
"""

from typing import TYPE_CHECKING, Any

from descend.datasets import Dataset
from descend.errors import DescendError
from descend.history import History
from descend.jobs import Hyperparameters, Job, JobSpec, JobState, StopReason
from descend.models import LinearModel

if TYPE_CHECKING:
    from descend.client import Client

__all__ = [
    "Client",
    "Dataset",
    "DescendError",
    "History",
    "Hyperparameters",
    "Job",
    "JobSpec",
    "JobState",
    "LinearModel",
    "StopReason",
]


def __getattr__(name: str) -> Any:
    if name == "Client":
        from descend.client import Client

        return Client
    raise AttributeError(f"module 'descend' has no attribute {name!r}")
