"""The engine: linear models trained by gradient descent, many side by side.

torch, numpy, scipy and descend only; no I/O, no clock, no logging. Who drives it decides about
reporting, checkpoints and stopping:

    state = training.start(problems, "cpu", checkpoints)
    while state.live:
        state, segments = training.advance(state, 1000)
    training.outcome(state, 0).coef
"""

from workers.training.device import batch_key, choose_device
from workers.training.engine import advance, drop, start
from workers.training.errors import CheckpointMismatch, DeviceUnavailable
from workers.training.ledger import Segment
from workers.training.outcome import TrainingOutcome, outcome
from workers.training.problem import Problem
from workers.training.state import TrainingState, save

__all__ = [
    "CheckpointMismatch",
    "DeviceUnavailable",
    "Problem",
    "Segment",
    "TrainingOutcome",
    "TrainingState",
    "advance",
    "batch_key",
    "choose_device",
    "drop",
    "outcome",
    "save",
    "start",
]
