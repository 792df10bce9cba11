"""The engine's entrance: full batches, many models side by side, or one model in mini-batches."""

from collections.abc import Sequence

from workers.training import loop, minibatch
from workers.training.ledger import Segment
from workers.training.minibatch import StreamedState
from workers.training.problem import Problem
from workers.training.state import TrainingState

__all__ = ["State", "advance", "drop", "start"]

State = TrainingState | StreamedState


def start(
    problems: Sequence[Problem],
    device: str,
    checkpoints: Sequence[bytes | None],
    *,
    replay: bool = True,
) -> State:
    """Set up a batch, fresh or from checkpoints.

    Args:
        problems: at least one, all of one `batch_key`.
        device: "cpu" or "cuda".
        checkpoints: for each problem the bytes of `save`, or None to begin at epoch 0.
        replay: whether steps may replay what autograd did, bit for bit (see tape), instead of a
            backward pass each; on the CPU only.

    Returns:
        The state before the first of the steps to come.

    Raises:
        InvalidInput: when the problems do not fit together.
        CheckpointMismatch: when a checkpoint is damaged or of another problem.
    """
    if problems and problems[0].hyperparameters.batch_size is not None:
        return minibatch.start(problems, device, checkpoints, replay=replay)
    return loop.start(problems, device, checkpoints, replay=replay)


def advance(state: State, steps: int) -> tuple[State, list[Segment]]:
    """Train every live model for up to `steps` steps: epochs, or with mini-batches parts of one.

    Args:
        state: left as it is.
        steps: at most so many; a model that stops has fewer.

    Returns:
        The state after them and, for each model that was live, the epochs it completed.
    """
    if isinstance(state, StreamedState):
        return minibatch.advance(state, steps)
    return loop.advance(state, steps)


def drop(state: State, index: int) -> State:
    """Take a model out of training (cancelled, say); the others go on bitwise undisturbed."""
    if isinstance(state, StreamedState):
        return minibatch.drop(state, index)
    return loop.drop(state, index)
