"""The engine: linear models trained by gradient descent, many side by side.

torch, numpy, scipy and descend only; no I/O, no clock, no logging. Who drives it decides about
reporting, checkpoints and stopping:

    state = training.start(problems, "cpu", checkpoints)
    while state.live:
        state, segments = training.advance(state, 1000)
    training.outcome(state, 0).coef
"""

from workers.training.compressed import Factored, compress
from workers.training.device import batch_key, choose_device
from workers.training.engine import advance, drop, start
from workers.training.errors import CheckpointMismatch, DeviceUnavailable
from workers.training.factor import Accumulator, Factor, factor, merge
from workers.training.factor import from_bytes as factor_from_bytes
from workers.training.factor import to_bytes as factor_to_bytes
from workers.training.forms import choose_form, factor_pays
from workers.training.inference import statistics_of
from workers.training.ledger import Segment
from workers.training.mapped import Mapped
from workers.training.outcome import TrainingOutcome, outcome
from workers.training.problem import Problem, held_out
from workers.training.samples import Rows, Sample
from workers.training.solution import solve_exactly
from workers.training.state import TrainingState, save

__all__ = [
    "Accumulator",
    "CheckpointMismatch",
    "DeviceUnavailable",
    "Factor",
    "Factored",
    "Mapped",
    "Problem",
    "Rows",
    "Sample",
    "Segment",
    "TrainingOutcome",
    "TrainingState",
    "advance",
    "batch_key",
    "choose_device",
    "choose_form",
    "compress",
    "drop",
    "factor",
    "factor_from_bytes",
    "factor_pays",
    "factor_to_bytes",
    "held_out",
    "merge",
    "outcome",
    "save",
    "solve_exactly",
    "start",
    "statistics_of",
]
