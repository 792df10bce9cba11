"""The training loop: blocks of epochs without a host sync, judged once each.

A block keeps what every epoch produced. At its end the losses, norms and stop conditions of all its
epochs are computed at once; a model that stopped inside a block takes the parameters it had at that
epoch. Nothing that a model computes depends on where blocks end.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from descend.errors import InvalidInput
from descend.jobs import StopReason
from workers.training import schedules
from workers.training.device import batch_key, is_solo
from workers.training.gap import Minimum
from workers.training.judge import Limits, Mask, Readings, judge
from workers.training.lbfgs import Lbfgs
from workers.training.ledger import Ledger, Segment
from workers.training.objective import (
    Design,
    arrange,
    differentiate,
    held_values,
    padded_targets,
    values,
)
from workers.training.optimizers import Slots, optimizer_of
from workers.training.problem import Floats, Problem
from workers.training.progress import Progress
from workers.training.reel import Reel
from workers.training.setup import Setup, prepare
from workers.training.state import TrainingState, load, restore, select
from workers.training.tape import TAPED_STEPS, Derive, trusted

__all__ = ["advance", "drop", "start"]

# A block's memory for what its epochs produced: more gains nothing, less reads the host oftener.
BLOCK_BYTES = 8 * 2**20
BLOCK_EPOCHS = 1024
# Of a method that reads the host in every step: what a block takes beyond a model's end is lost.
HOST_EPOCHS = 16
SHORT_SUM = 16


def start(
    problems: Sequence[Problem],
    device: str,
    checkpoints: Sequence[bytes | None],
    *,
    replay: bool = True,
) -> TrainingState:
    """Set up a batch, fresh or from checkpoints.

    Args:
        problems: at least one, all of one `batch_key`.
        device: "cpu" or "cuda".
        checkpoints: for each problem the bytes of `save`, or None to begin at epoch 0.
        replay: whether epochs may replay what autograd did, bit for bit (see tape), instead of
            a backward pass each; on the CPU only.

    Returns:
        The state before the first of the epochs to come; models may be at different epochs.

    Raises:
        InvalidInput: when the problems do not fit together.
        CheckpointMismatch: when a checkpoint is damaged or of another problem.
    """
    if len({batch_key(problem, device) for problem in problems}) != 1:
        raise InvalidInput("problems of one batch must have equal batch keys")
    if device != "cpu":
        torch.set_float32_matmul_precision("highest")  # no TF32: float32 means float32
    prepared = [prepare(problem) for problem in problems]
    setups = tuple(setup for setup, _ in prepared)
    lanes = _lanes(range(len(problems)), solo=is_solo(problems[0], device))
    data = [(setup.problem, arranged) for setup, arranged in prepared]
    design = arrange(data, lanes, device=device)
    params = torch.stack([_padded(setups[model]) for model in lanes]).to(device)
    hyperparameters = [(setups[model].hyperparameters, setups[model].rate) for model in lanes]
    optimizer = optimizer_of(hyperparameters, design, params)
    state = TrainingState(
        setups=setups,
        device=device,
        lanes=tuple(lanes),
        live=tuple(range(len(problems))),
        design=design,
        minimum=_minimum([setups[model] for model in lanes], design, params),
        optimizer=optimizer,
        params=params,
        slots=optimizer.slots(params),
        progress=Progress.fresh(len(problems)),
        limits=Limits.of(setups),
        stops={},
        final={},
        replay=replay and device == "cpu",
    )
    return _resume(state, checkpoints)


def advance(state: TrainingState, epochs: int) -> tuple[TrainingState, list[Segment]]:
    """Train every live model for up to `epochs` epochs.

    Args:
        state: left as it is.
        epochs: at most so many; a model that stops has fewer.

    Returns:
        The state after them and, for each model that was live, what it did.

    Notes:
        Deterministic, and bitwise independent of how epochs are portioned into calls and of the
        other models in the batch (on one machine and torch version).
        Cost: 7 calls an epoch of plain gradient descent, each in memory prepared for it (see reel),
        and one host sync a block.
    """
    state = replace(state, progress=state.progress.copy())
    ledger = Ledger(state.live, state.progress, room=min(epochs, _remaining(state)))
    while state.live and ledger.room:
        steps = min(ledger.room, _block_epochs(state))
        block, state = _run(state, steps)
        state = _settle(state, block, ledger)
        del block  # its memory, still in the cache, is the next one's
    return state, ledger.segments(state)


def drop(state: TrainingState, index: int) -> TrainingState:
    """Take a model out of training (cancelled, say); the others go on bitwise undisturbed."""
    return _compacted(_without(state, {index}))


@dataclass(frozen=True, eq=False)
class Block:
    """What a block's epochs produced, still on the device, (epochs, lanes, ...) each.

    Attributes:
        params, residuals, gradients, held: before each step; `held` are the held-out residuals.
        after: the parameters after the last step.
    """

    params: Tensor
    residuals: Tensor
    gradients: Tensor
    held: Tensor | None
    after: Tensor


def _run(state: TrainingState, steps: int) -> tuple[Block, TrainingState]:
    """Take `steps` epochs: forward, backward, update. No host sync."""
    begun, lanes = state.progress.epoch, state.lanes
    factors = schedules.of_lanes(state.setups, lanes, begun, steps)
    turns = state.optimizer.turns(begun, lanes, steps, factors)
    here = [*state.slots.values(), state.params]
    state = _with_reel(state, [*here, *(turn[0] for turn in turns)], steps)
    if state.reel is not None and steps >= TAPED_STEPS:
        here, told = state.reel.run(here, turns, steps)
    else:
        here, told = _by_backward(state, here, turns, steps)
    params, residuals, gradients, *held = told
    block = Block(params, residuals, gradients, held[0] if held else None, here[-1])
    slots = dict(zip(state.slots, here, strict=False))
    return block, replace(state, params=here[-1], slots=slots)


def _with_reel(state: TrainingState, inputs: Sequence[Tensor], steps: int) -> TrainingState:
    """Record a reel of an epoch where there is none; hold it to autograd where a block begins."""
    if not state.replay or steps < TAPED_STEPS:
        return state
    derive: Derive = partial(_epoch, state)
    example = [torch.ones_like(value) for value in inputs]
    record = partial(Reel.record, derive, *example, carried=len(state.slots) + 1)
    reel = trusted(state.reel, record, derive, *inputs)
    return replace(state, reel=reel, replay=reel is not None)


def _by_backward(
    state: TrainingState, here: list[Tensor], turns: Sequence[Tensor], steps: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Take steps with a backward pass each; return what `Reel.run` does."""
    carried, told = len(here), []
    for k in range(steps):
        found = _epoch(state, *here, *(turn[k] for turn in turns))
        told.append([here[-1], *found[carried:]])
        here = found[:carried]
    return here, [torch.stack(values) for values in zip(*told, strict=True)]


def _epoch(state: TrainingState, *inputs: Tensor) -> list[Tensor]:
    """Take a step.

    Args:
        state: its slots and parameters are not read.
        inputs: slots, parameters, and what the optimizer has for the epoch.

    Returns:
        Slots and parameters after it; residuals, gradient and held-out residuals before it.
    """
    design, count = state.design, len(state.slots)
    params, turn = inputs[count], inputs[count + 1 :]
    residuals, gradient = differentiate(design, params)
    told = [residuals, gradient]
    if design.held_rows is not None and design.minus_held_goal is not None:
        told.append(torch.baddbmm(design.minus_held_goal, design.held_rows, params))
    slots = dict(zip(state.slots, inputs, strict=False))
    params, slots = state.optimizer.step(params, gradient, slots, turn)
    return [*slots.values(), params, *told]


def _settle(state: TrainingState, block: Block, ledger: Ledger) -> TrainingState:
    """Judge a block: note its history, freeze the models that stopped in it."""
    lanes = _live_lanes(state)
    models = np.array(state.live, dtype=np.int64)
    readings = _readings(block, state, lanes)
    verdicts = judge(
        readings, models, progress=state.progress, limits=state.limits, setups=state.setups
    )
    ledger.enter(models, readings, verdicts)
    if not verdicts.stops:
        return state
    stops, final = dict(state.stops), dict(state.final)
    for place, reason in verdicts.stops.items():
        model = state.live[place]
        stops[model] = reason
        count = int(verdicts.counts[place])
        params = block.after if count == len(block.params) else block.params[count]
        final[model] = params[lanes[place]].cpu().clone()  # a view would keep the block's memory
    return _compacted(_without(replace(state, stops=stops, final=final), stops.keys()))


@torch.no_grad()
def _readings(block: Block, state: TrainingState, lanes: list[int]) -> Readings:
    """Bring a block's figures to the host: the one sync of the block."""
    design, minimum = state.design, state.minimum
    params, gradients = block.params, block.gradients
    figures = {"loss": _sums(values(design, block.residuals)) * design.share}
    if design.held_share is not None and block.held is not None:
        figures["held_loss"] = _sums(held_values(design, block.held)) * design.held_share
    if design.l1 is not None or design.l2_root is not None:
        figures["objective"] = figures["loss"] + _penalties(design, params)
    if minimum is not None:
        figures["gap"] = _gaps(design, minimum, params, gradients)
    figures["norm"] = _sums(gradients.square_()).sqrt_()
    whole = len(lanes) == gradients.shape[1]
    host = {name: figure.double().cpu().numpy() for name, figure in figures.items()}
    told = host if whole else {name: figure[:, lanes] for name, figure in host.items()}
    if design.criterion is not None:
        told |= _above(state, told.get("objective", told["loss"]))
    return Readings(
        loss=told["loss"],
        objective=told.get("objective", told["loss"]),
        held_loss=told.get("held_loss"),
        norm=told["norm"],
        gap=told.get("gap"),
        finite=_finite(block, lanes, told["loss"], told["norm"]),
    )


def _above(state: TrainingState, objective: Floats) -> dict[str, Floats]:
    """Compute the gaps under another loss than squared, whose gradient does not tell them."""
    known = [state.setups[model].certificate for model in state.live]
    if not any(known):
        return {}
    least = [np.nan if one is None else one.objective for one in known]
    return {"gap": np.maximum(objective - np.array(least), 0)}


def _gaps(design: Design, minimum: Minimum, params: Tensor, gradients: Tensor) -> Tensor:
    """Compute every epoch's gap (see Minimum); rounding may not make it negative."""
    above = None
    if minimum.norm is not None and design.l1 is not None:
        above = _sums(design.l1 * params.abs()).sub_(minimum.norm)
    smooth = _sums(minimum.products(params, gradients)).mul_(0.5)
    return (smooth if above is None else smooth.add_(above)).clamp_(min=0)


@np.errstate(over="ignore", invalid="ignore")
def _finite(block: Block, lanes: list[int], loss: Floats, norm: Floats) -> Mask | None:
    """Whether each epoch left numbers; None where all did, which the last parameters show.

    Parameters that are not finite make the next loss so: only the block's last need a look.
    """
    last = block.after
    last = last if len(lanes) == len(last) else last[lanes]
    # A sum is finite only if all its terms are.
    if np.isfinite(loss.sum() + norm.sum() + last.double().sum().item()):
        return None
    told = np.isfinite(loss) & np.isfinite(norm)
    after = torch.cat([block.params[1:], block.after[None]])[:, lanes]
    return np.asarray(told & torch.isfinite(after).flatten(2).all(-1).cpu().numpy())


def _penalties(design: Design, params: Tensor) -> Tensor:
    total = torch.zeros(params.shape[:2], dtype=params.dtype, device=params.device)
    if design.l2_root is not None:
        total += _sums((design.l2_root * params).square())
    if design.l1 is not None:
        total += _sums(design.l1 * params.abs())
    return total


def _sums(values: Tensor) -> Tensor:
    """Sum over all but the first two axes, in an order that depends on those axes alone.

    torch.sum spends 20 ns on each sum, however short: short ones are added up term by term.
    """
    flat = values.flatten(2)
    if flat.shape[2] > SHORT_SUM:
        return flat.sum(-1)
    if flat.shape[2] == 1:
        return flat[:, :, 0]
    total = flat[:, :, 0] + flat[:, :, 1]
    for term in range(2, flat.shape[2]):
        total += flat[:, :, term]
    return total


def _without(state: TrainingState, gone: Collection[int]) -> TrainingState:
    return replace(state, live=tuple(model for model in state.live if model not in gone))


def _compacted(state: TrainingState) -> TrainingState:
    """Drop dead lanes once they are half: until then they cost less than copying the data."""
    width = 2 if len(state.live) == 1 and len(state.lanes) > 1 else len(state.live)
    if not state.live or 2 * width > len(state.lanes) or width == len(state.lanes):
        return state
    lanes = _live_lanes(state)
    return select(state, lanes * 2 if len(lanes) < width else lanes)


def _live_lanes(state: TrainingState) -> list[int]:
    """The lane of each live model: increasing, since models keep their order."""
    if state.lanes == state.live:
        return list(range(len(state.live)))
    lane_of = {model: lane for lane, model in reversed(list(enumerate(state.lanes)))}
    return [lane_of[model] for model in state.live]


def _resume(state: TrainingState, checkpoints: Sequence[bytes | None]) -> TrainingState:
    params = state.params
    slots: Slots = dict(state.slots)
    progress = state.progress
    for model, data in enumerate(checkpoints):
        if data is None:
            continue
        fresh = {name: values[0] for name, values in slots.items()}
        checkpoint = load(data, state.setups[model], params[0], fresh)
        restore(progress, model, checkpoint)
        for lane in (at for at, of in enumerate(state.lanes) if of == model):
            params[lane] = checkpoint.params
            for name, slot in checkpoint.slots.items():
                slots[name][lane] = slot
    return _without_finished(state)


def _without_finished(state: TrainingState) -> TrainingState:
    """Stop models whose checkpoint was taken after their last epoch."""
    done = state.progress.epoch >= state.limits.max_epochs
    finished = [model for model in state.live if done[model]]
    stops = dict.fromkeys(finished, StopReason.MAX_EPOCHS)
    final = {model: state.params[state.lanes.index(model)].cpu() for model in finished}
    return _without(replace(state, stops=stops, final=final), finished)


def _minimum(setups: Sequence[Setup], design: Design, params: Tensor) -> Minimum | None:
    """Of squared loss, whose gaps the gradient tells."""
    if design.criterion is not None:
        return None
    return Minimum.of([setup.certificate for setup in setups], design, params)


def _lanes(models: Sequence[int], *, solo: bool) -> list[int]:
    """A lone model stands in two lanes, unless it always trains alone."""
    return [models[0]] * 2 if len(models) == 1 and not solo else list(models)


def _padded(setup: Setup) -> Tensor:
    extra = padded_targets(setup.problem) - setup.problem.n_targets
    start = np.pad(setup.start, ((0, 0), (0, extra))) if extra else setup.start
    return torch.from_numpy(start).to(getattr(torch, setup.hyperparameters.dtype))


def _remaining(state: TrainingState) -> int:
    left = [state.limits.max_epochs[m] - state.progress.epoch[m] for m in state.live]
    return int(max(left, default=0))


def _block_epochs(state: TrainingState) -> int:
    design = state.design
    held = 0 if design.minus_held_goal is None else design.minus_held_goal.numel()
    elements = design.minus_goal.numel() + held + 2 * state.params.numel()
    most = HOST_EPOCHS if isinstance(state.optimizer, Lbfgs) else BLOCK_EPOCHS
    return max(1, min(most, BLOCK_BYTES // (elements * state.params.element_size())))
