"""Training in mini-batches: one model, whose rows may be larger than memory.

An epoch is a row of small units: first the held-out rows, a chunk a unit, with the weights at the
epoch's start; then one step for each batch. `advance` counts units, so that whoever drives it is
back soon however many rows an epoch has. Every position between two units can be saved.

Under squared loss the factor of the rows stands beside them: it knows the scaling, the minimum that
every epoch's gap is measured from, and the losses in the end, without a pass over the rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from descend.errors import InvalidInput
from descend.history import History
from descend.jobs import StopReason
from workers.training import schedules
from workers.training.certificate import excess
from workers.training.compressed import Factored, factor_of
from workers.training.forms import factor_pays
from workers.training.gathering import Group, Source
from workers.training.judge import Limits, Readings, judge
from workers.training.ledger import Segment
from workers.training.losses import Criterion, Loss
from workers.training.mapped import Mapped
from workers.training.objective import SUM_ROWS, Matrices, added_product, arrange
from workers.training.optimizers import Optimizer, Slots, optimizer_of
from workers.training.permutation import Order
from workers.training.problem import Problem
from workers.training.progress import Progress
from workers.training.samples import Floats, Rows, Sample
from workers.training.setup import Setup, prepare
from workers.training.state import load, restore
from workers.training.tape import TAPED_STEPS, Derive, Tape, trusted

__all__ = ["StreamedState", "advance", "drop", "start"]


# train_loss, eval_loss, learning_rate, grad_norm, gap
Row = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class Position:
    """Where in an epoch training stands, and what the epoch has come to so far.

    Attributes:
        unit: units done.
        loss: sum over the batches done of their losses, each by its part in all weights.
        held_loss: the same over the held-out rows.
        penalty: l2 and l1 terms at the epoch's start.
        norm: of the last batch's gradient.
        gap: of the objective to its minimum at the epoch's start; NaN where none is known.
    """

    unit: int = 0
    loss: float = 0.0
    held_loss: float = 0.0
    penalty: float = 0.0
    norm: float = 0.0
    gap: float = np.nan

    def tensors(self) -> dict[str, Tensor]:
        sums = torch.tensor(
            [self.loss, self.held_loss, self.penalty, self.norm, self.gap], dtype=torch.float64
        )
        return {"unit": torch.tensor([self.unit]), "sums": sums}

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor]) -> "Position":
        return cls(int(tensors["unit"]), *tensors["sums"].tolist())


@dataclass(frozen=True, eq=False)
class StreamedState:
    """A model in training on mini-batches; the names it shares with TrainingState mean the same."""

    setups: tuple[Setup, ...]
    device: str
    live: tuple[int, ...]
    source: Source
    whole: Matrices | None  # what gaps are measured with; None where no minimum is known
    held: Sample | None
    criterion: Criterion | None
    l2_root: Tensor | None
    l1: Tensor | None
    optimizer: Optimizer
    params: Tensor
    slots: Slots
    progress: Progress
    limits: Limits
    position: Position
    stops: Mapping[int, StopReason]
    final: Mapping[int, Tensor]
    replay: bool
    tape: Tape | None = None
    lanes: tuple[int, ...] = (0,)

    @property
    def setup(self) -> Setup:
        return self.setups[0]

    @property
    def epoch(self) -> int:
        return int(self.progress.epoch[0])

    @property
    def held_units(self) -> int:
        if isinstance(self.held, Mapped):
            return -(-self.held.n // self.held.chunk_rows)
        return 0 if self.held is None else 1

    def extra(self) -> dict[str, Tensor]:
        return self.position.tensors()


def start(
    problems: Sequence[Problem],
    device: str,
    checkpoints: Sequence[bytes | None],
    *,
    replay: bool = True,
) -> StreamedState:
    """Set up one model, fresh or from a checkpoint (see loop.start)."""
    if len(problems) != 1:
        raise InvalidInput("a problem with batch_size trains alone")
    problem = _drawn_from(problems[0])
    setup, arranged = prepare(problem)
    # One row: of the design only the penalties and the loss's parameter are wanted.
    row = Matrices(arranged.A[:1], arranged.B[:1], arranged.A[:0], arranged.B[:0])
    design = arrange([(setup.problem, row)], [0], device=device)
    outputs = design.minus_goal.shape[2]
    begin = np.pad(setup.start, ((0, 0), (0, outputs - setup.problem.n_targets)))
    params = torch.from_numpy(begin).to(device, design.A.dtype)[None]
    optimizer = optimizer_of([(setup.hyperparameters, setup.rate)], design, params)
    state = StreamedState(
        setups=(setup,),
        device=device,
        live=(0,),
        whole=None if setup.certificate is None else arranged,
        held=problem.held,
        source=Source.of(setup.problem, setup.scaling, outputs=outputs, device=device),
        criterion=None if design.criterion is None else design.criterion.scalar(),
        l2_root=None if design.l2_root is None else design.l2_root[0, 0, 0],
        l1=design.l1,
        optimizer=optimizer,
        params=params,
        slots=optimizer.slots(params),
        progress=Progress.fresh(1),
        limits=Limits.of([setup]),
        position=Position(),
        stops={},
        final={},
        replay=replay and device == "cpu",
    )
    return state if checkpoints[0] is None else _resumed(state, checkpoints[0])


def advance(state: StreamedState, units: int) -> tuple[StreamedState, list[Segment]]:
    """Train for up to `units` units: steps, and chunks of held-out rows.

    Returns:
        The state after them and what was done: the epochs that were completed, which may be none.

    Notes:
        Deterministic, and bitwise independent of how units are portioned into calls.
        Cost: some 15 tensor operations a step, one host sync a group of steps.
    """
    if not state.live:
        return state, []
    state = replace(state, progress=state.progress.copy())
    begun, rows = state.epoch, []
    while state.live and units > 0:
        before = state.position.unit
        if before < state.held_units:
            state = _evaluated(state)
        else:
            state = _stepped(state, min(units, state.source.group_batches))
        units -= state.position.unit - before
        ended = state.position.unit == state.held_units + state.source.n_batches
        if ended or not np.isfinite(state.position.loss):
            state, row = _settled(state)
            rows.append(row)
    return state, [_segment(state, begun, rows)]


def drop(state: StreamedState, index: int) -> StreamedState:
    """Take the model out of training."""
    return replace(state, live=tuple(model for model in state.live if model != index))


def _settled(state: StreamedState) -> tuple[StreamedState, Row]:
    """Judge the epoch; it may have ended early, on a loss that is no number."""
    at, h = state.position, state.setup.hyperparameters
    finite = np.isfinite(at.norm) and bool(torch.isfinite(state.params).all())
    readings = Readings(
        loss=np.array([[at.loss]]),
        objective=np.array([[at.loss + at.penalty]]),
        held_loss=None if state.held is None else np.array([[at.held_loss]]),
        norm=np.array([[at.norm]]),
        gap=None if state.whole is None else np.array([[at.gap]]),
        finite=np.array([[finite]]),
    )
    rate = state.setup.rate * float(schedules.factors(h, state.progress.epoch)[0])
    row = (at.loss, np.nan if state.held is None else at.held_loss, rate, at.norm, at.gap)
    verdicts = judge(
        readings,
        np.array([0]),
        progress=state.progress,
        limits=state.limits,
        setups=state.setups,
    )
    state = replace(state, position=Position(), stops=verdicts.stops)
    if not verdicts.stops:
        return state, row
    return replace(state, live=(), final={0: state.params[0].cpu()}), row


def _segment(state: StreamedState, begun: int, rows: Sequence[Row]) -> Segment:
    columns = np.array(rows, dtype=np.float64).reshape(-1, 5).T
    history = History(
        epoch=np.arange(begun, begun + len(rows), dtype=np.int64),
        train_loss=columns[0],
        eval_loss=columns[1],
        learning_rate=columns[2],
        grad_norm=columns[3],
        gap=columns[4],
        total=state.epoch,
    )
    return Segment(0, history, state.stops.get(0))


def _evaluated(state: StreamedState) -> StreamedState:
    """Take one chunk of the held-out rows into the sum, or their factor as a whole."""
    setup, position, held = state.setup, state.position, state.held
    assert held is not None  # noqa: S101 - held_units is 0 otherwise
    part, share = held, 1.0
    if isinstance(held, Mapped):
        begin = position.unit * held.chunk_rows
        rows = held.part(begin, begin + held.chunk_rows)
        weight = rows.n if rows.omega is None else float(rows.omega.sum())
        part, share = rows, weight / held.total_weight
    told = position.held_loss
    if share > 0:
        coef, intercept = setup.original(_params(state))
        with np.errstate(over="ignore", invalid="ignore"):
            told += share * part.loss(coef, intercept, Loss.of(setup.hyperparameters))
    return replace(state, position=replace(position, unit=position.unit + 1, held_loss=told))


def _begun(state: StreamedState) -> Position:
    """Take what is told of the weights at the epoch's start."""
    setup, position = state.setup, replace(state.position, penalty=_penalty(state))
    if state.whole is None or setup.certificate is None:
        return position
    gap = excess(setup.problem, state.whole, setup.certificate, _params(state))
    return replace(position, gap=gap)


def _params(state: StreamedState) -> Floats:
    params = state.params[0].detach().double().cpu().numpy()
    return np.asarray(params[:, : state.setup.problem.n_targets])


def _stepped(state: StreamedState, count: int) -> StreamedState:
    """Take up to `count` steps of this epoch, in one group of batches."""
    source, setup = state.source, state.setup
    h = setup.hyperparameters
    first = state.position.unit - state.held_units
    count = min(count, source.n_batches - first)
    position = _begun(state) if first == 0 else state.position
    order = Order(source.sample.n, setup.problem.seed, state.epoch, shuffle=bool(h.shuffle))
    group = source.gather(order, first, count)
    factor = schedules.factors(h, state.progress.epoch) if schedules.falls(h) else None
    turns = state.optimizer.turns(
        np.array([state.epoch * source.n_batches + first]),
        [0],
        count,
        None if factor is None else np.repeat(factor[:, None], count, axis=1),
    )
    params, slots, losses = state.params, state.slots, []
    state = _taped(state, group, first)
    derive: Derive = partial(_differentiate, state) if state.tape is None else state.tape.replay
    for k in range(count):
        if len(group.Z[k]) < source.batch_size:  # the epoch's last: no tape has its shape
            derive = partial(_differentiate, state)
        loss, *parts = derive(params, *group.batch(k))
        gradient = torch.cat(parts).view(params.shape)
        losses.append(loss)
        params, slots = state.optimizer.step(params, gradient, slots, [turn[k] for turn in turns])
    told = position.loss
    for loss, part in zip(torch.stack(losses).double().tolist(), group.parts, strict=True):
        told += part * loss
    return replace(
        state,
        params=params,
        slots=slots,
        position=replace(
            position,
            unit=position.unit + count,
            loss=told,
            norm=float(torch.linalg.vector_norm(gradient)),
        ),
    )


def _taped(state: StreamedState, group: Group, first: int) -> StreamedState:
    """Record a tape of a step where there is none; hold it to autograd where an epoch begins."""
    source = state.source
    due = state.replay and (state.tape is None or first == 0)
    if not due or source.n_batches < TAPED_STEPS or len(group.Z[0]) < source.batch_size:
        return state
    derive = partial(_differentiate, state)
    example = (torch.ones_like(state.params), *group.batch(len(group.Z) // 2))
    record = partial(Tape.record, derive, *example)
    tape = trusted(state.tape, record, derive, state.params, *group.batch(0))
    return replace(state, tape=tape, replay=tape is not None)


def _differentiate(
    state: StreamedState, params: Tensor, Z: Tensor, minus_goal: Tensor, shares: Tensor
) -> tuple[Tensor, ...]:
    """Compute a batch's loss, and by autograd the gradient of it and of the l2 term.

    Weights and intercept are leaves of their own: a column of ones beside Z would have to be
    written for every row, at 20 ns each. One target is a vector: its product is three times as
    fast as a matrix of one column's.

    Returns:
        loss, gradient of the weights and, where there is an intercept, of it.
    """
    vector, n_features, given = minus_goal.ndim == 1, Z.shape[1], params.detach()
    whole = given.view(-1) if vector else given[0]
    leaves = [whole[:n_features].requires_grad_()]
    residuals = added_product(minus_goal, Z, leaves[0])
    if params.shape[1] > n_features:
        leaves.append(whole[n_features:].requires_grad_())
        residuals = residuals + leaves[1]
    criterion = state.criterion
    values = residuals * residuals if criterion is None else criterion.values(residuals)
    terms, parts = [values], [shares]
    if state.l2_root is not None:
        pulled = state.l2_root * leaves[0]
        terms.append(pulled * pulled)
        parts.append(state.l2_root.new_ones(()).expand_as(leaves[0]))
    gradients = torch.autograd.grad(terms, leaves, parts)
    values = values.detach()
    short = vector and len(Z) <= SUM_ROWS
    loss = torch.dot(values, shares) if short else (values * shares).sum()
    return loss, *gradients


def _penalty(state: StreamedState) -> float:
    n_features = state.setup.problem.n_features
    weights, total = state.params[0, :n_features].double(), 0.0
    if state.l2_root is not None:
        total += float(state.setup.hyperparameters.l2 * weights.square().sum())
    if state.l1 is not None:
        total += float(state.setup.hyperparameters.l1 * weights.abs().sum())
    return total


def _drawn_from(problem: Problem) -> Problem:
    """Bring a problem's rows into the forms that batches, minimum and losses are taken from."""
    trained, held, factored = _mapped(problem.trained), problem.held, problem.factored
    sizes = (trained.n, trained.n_features, trained.n_targets)
    if factored is None and factor_pays(*sizes, problem.hyperparameters):
        factored = Factored(factor_of(trained))
    if held is not None and not isinstance(held, Factored):
        held = _mapped(held) if factored is None else Factored(factor_of(held))
    return replace(problem, trained=trained, held=held, factored=factored)


def _mapped(rows: Sample) -> Mapped:
    if isinstance(rows, Mapped):
        return rows
    if not isinstance(rows, Rows):
        raise InvalidInput("batches are made of rows", param="batch_size")
    return Mapped(rows.X, rows.Y, rows.omega)


def _resumed(state: StreamedState, data: bytes) -> StreamedState:
    fresh = {name: values[0] for name, values in state.slots.items()}
    checkpoint = load(data, state.setup, state.params[0], fresh, extra=state.extra())
    restore(state.progress, 0, checkpoint)
    # Copies, in torch's own memory: what is read from bytes may begin within a cache line.
    slots = {name: v[None].to(state.device, copy=True) for name, v in checkpoint.slots.items()}
    params = checkpoint.params[None].to(state.device, copy=True)
    state = replace(state, params=params, slots=slots, position=Position.read(checkpoint.extra))
    if state.epoch < state.limits.max_epochs[0]:
        return state
    final = {0: params[0].cpu()}
    return replace(state, live=(), stops={0: StopReason.MAX_EPOCHS}, final=final)
