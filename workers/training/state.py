"""The state of a batch in training, and its bytes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from descend.errors import InvalidInput
from descend.jobs import StopReason
from workers.training.errors import CheckpointMismatch
from workers.training.gap import Minimum
from workers.training.judge import Limits
from workers.training.objective import Design, take
from workers.training.optimizers import Optimizer, Slots
from workers.training.problem import Floats
from workers.training.progress import Ints, Progress
from workers.training.reel import Reel
from workers.training.setup import Setup

__all__ = ["Checkpoint", "TrainingState", "load", "restore", "save", "select"]

FORMAT = "descend-training-2"


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A batch in training; `advance` returns the next one and leaves this one as it is.

    Attributes:
        setups: one per model, in the order they were given.
        lanes: which model stands in each lane of the tensors. A lone model stands in two: a batch
            of one takes another path through BLAS and rounds differently.
        minimum: of every lane's objective; None where one of them is not known.
        live: models still training.
        stops: why each of the others stopped; a dropped model has none.
        final: parameters of stopped models, (columns, outputs), on the CPU.
        replay: whether epochs may be replayed.
        reel: of these lanes' epochs; it changes no number.
    """

    setups: tuple[Setup, ...]
    device: str
    lanes: tuple[int, ...]
    live: tuple[int, ...]
    design: Design
    minimum: Minimum | None
    optimizer: Optimizer
    params: Tensor
    slots: Slots
    progress: Progress
    limits: Limits
    stops: Mapping[int, StopReason]
    final: Mapping[int, Tensor]
    replay: bool
    reel: Reel | None = None

    def extra(self) -> dict[str, Tensor]:
        """Tensors that a checkpoint holds besides: none, between two epochs."""
        return {}


@runtime_checkable
class Savable(Protocol):
    """What `save` reads of a state of either kind."""

    @property
    def setups(self) -> tuple[Setup, ...]: ...
    @property
    def lanes(self) -> tuple[int, ...]: ...
    @property
    def live(self) -> tuple[int, ...]: ...
    @property
    def params(self) -> Tensor: ...
    @property
    def slots(self) -> Slots: ...
    @property
    def progress(self) -> Progress: ...
    def extra(self) -> dict[str, Tensor]: ...


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """One model's state, read back."""

    params: Tensor
    slots: Slots
    counters: Ints  # epoch, stale, best_epoch
    losses: Floats  # first, first_gap, previous, best
    extra: dict[str, Tensor]


def save(state: Savable, index: int) -> bytes:
    """Serialise one live model's training state as safetensors.

    The bytes hold all that is needed to go on bit for bit in any batch of its key: parameters,
    optimizer slots, epoch, the counters of tol, the best loss, and a hash of problem and
    hyperparameters.

    Args:
        state: a state as `advance` returned it.
        index: the model.

    Raises:
        InvalidInput: when the model is not live, or its parameters are not finite.
    """
    from safetensors.torch import save as to_bytes

    if index not in state.live:
        raise InvalidInput(f"model {index} is not in training: nothing to save")
    lane = state.lanes.index(index)
    tensors = {"params": state.params[lane]}
    tensors |= {f"slots.{name}": values[lane] for name, values in state.slots.items()}
    if not all(bool(torch.isfinite(values).all()) for values in tensors.values()):
        raise InvalidInput(f"the state of model {index} is not finite: it cannot be resumed")
    p = state.progress
    counters = [p.epoch[index], p.stale[index], p.best_epoch[index]]
    losses = [p.first[index], p.first_gap[index], p.previous[index], p.best[index]]
    whole = {name: values.detach().cpu().contiguous().clone() for name, values in tensors.items()}
    whole["counters"] = torch.tensor(counters, dtype=torch.int64)
    whole["losses"] = torch.tensor(losses, dtype=torch.float64)
    whole |= state.extra()
    # One entry: several would come in random order, and equal states give equal bytes.
    about = {FORMAT: state.setups[index].fingerprint()}
    return bytes(to_bytes(whole, metadata=about))


def load(
    data: bytes,
    setup: Setup,
    like: Tensor,
    slots: Slots,
    *,
    extra: Mapping[str, Tensor] = MappingProxyType({}),
) -> Checkpoint:
    """Read a checkpoint and hold it against its problem.

    Args:
        data: bytes from `save`. Only tensors are read: nothing in them is executed.
        setup: the problem they must belong to.
        like: a model's parameters, for shape and dtype.
        slots: a model's fresh optimizer slots, for names and shapes.
        extra: a state's other tensors, the same.

    Raises:
        CheckpointMismatch: when the bytes are damaged, or of another problem, hyperparameters,
            data, shape or dtype.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    try:
        tensors = from_bytes(data)
        about = _metadata(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointMismatch("the checkpoint is damaged") from error
    numbers = {"params": like, **{f"slots.{name}": v for name, v in slots.items()}}
    figures = {"counters": torch.empty(3, dtype=torch.int64)}
    figures |= {"losses": torch.empty(4, dtype=torch.float64), **extra}
    if about.get(FORMAT) != setup.fingerprint():
        raise CheckpointMismatch("the checkpoint belongs to another problem")
    if tensors.keys() != numbers.keys() | figures.keys():
        raise CheckpointMismatch(f"the checkpoint holds {sorted(tensors)}")
    for name, model in (numbers | figures).items():
        found = tensors[name]
        if found.shape != model.shape or found.dtype != model.dtype:
            raise CheckpointMismatch(f"{name} is {tuple(found.shape)} of {found.dtype}")
    if not all(bool(torch.isfinite(tensors[name]).all()) for name in numbers):
        raise CheckpointMismatch("the checkpoint holds numbers that are not finite")
    return Checkpoint(
        params=tensors["params"],
        slots={name: tensors[f"slots.{name}"] for name in slots},
        counters=tensors["counters"].numpy(),
        losses=tensors["losses"].numpy(),
        extra={name: tensors[name] for name in extra},
    )


def restore(progress: Progress, index: int, checkpoint: Checkpoint) -> None:
    """Write a checkpoint's counters into a progress that is still being built."""
    p = progress
    p.epoch[index], p.stale[index], p.best_epoch[index] = checkpoint.counters
    losses = checkpoint.losses
    p.first[index], p.first_gap[index], p.previous[index], p.best[index] = losses


def select(state: TrainingState, lanes: list[int]) -> TrainingState:
    """Keep these lanes of the tensors."""
    return replace(
        state,
        lanes=tuple(state.lanes[lane] for lane in lanes),
        design=state.design.select(lanes),
        minimum=None if state.minimum is None else state.minimum.select(lanes),
        optimizer=state.optimizer.select(lanes),
        params=take(state.params, lanes).contiguous(),
        slots={name: take(values, lanes).contiguous() for name, values in state.slots.items()},
        reel=None,
    )


def _metadata(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:8], "little")
    found = json.loads(data[8 : 8 + length])["__metadata__"]
    return {str(key): str(value) for key, value in found.items()}
