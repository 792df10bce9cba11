"""What autograd computes, taken down once and computed again without its bookkeeping.

A backward pass through a small problem takes some 60 us, of which the arithmetic is 8. Which
operations autograd calls, on which layouts of memory and in which order, is the same in every
epoch. A tape holds them as autograd called them, so replaying it gives autograd's bits; what
depends on no input, the transposed design say, is computed once. A tape is trusted only while it
is proven: see `trusted`.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import itemgetter
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["QUICK", "TAPED_STEPS", "Derive", "Line", "Place", "Tape", "trusted"]

Derive = Callable[..., Sequence[Tensor]]
Place = int

# Fewer steps do not gain what recording and proving a tape costs.
TAPED_STEPS = 32

# Called by these names, an operation starts a microsecond sooner than by its overload.
QUICK: dict[Any, Callable[..., Tensor]] = {
    torch.ops.aten.add.Tensor: torch.add,
    torch.ops.aten.addmm.default: torch.addmm,
    torch.ops.aten.addmv.default: torch.addmv,
    torch.ops.aten.baddbmm.default: torch.baddbmm,
    torch.ops.aten.bmm.default: torch.bmm,
    torch.ops.aten.clamp.Tensor: torch.clamp,
    torch.ops.aten.div.Tensor: torch.div,
    torch.ops.aten.dot.default: torch.dot,
    torch.ops.aten.mm.default: torch.mm,
    torch.ops.aten.mul.Tensor: torch.mul,
    torch.ops.aten.mv.default: torch.mv,
    torch.ops.aten.neg.default: torch.neg,
    torch.ops.aten.sqrt.default: torch.sqrt,
    torch.ops.aten.sub.Tensor: torch.sub,
    torch.ops.aten.sum.dim_IntList: torch.sum,
    torch.ops.aten.view.default: torch.Tensor.view,
}


@dataclass(frozen=True)
class Call:
    """An operation: `pick` takes its arguments from the shelf; its result is laid at `result`."""

    operation: Callable[..., Tensor]
    pick: Callable[[list[Any]], Any]
    result: Place


@dataclass(frozen=True, eq=False)
class Tape:
    """The operations that lead from a function's inputs to its outputs.

    Attributes:
        lines: in order.
        shelf: inputs first, then constants and results, as recorded or last replayed.
        outputs: where the outputs lie.
    """

    lines: tuple["Line", ...]
    shelf: list[Any]
    outputs: tuple[Place, ...]

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        return tuple(line.call() for line in self.lines)

    @classmethod
    def record(cls, derive: Derive, *inputs: Tensor) -> "Tape | None":
        """Call derive(*inputs) and take down what it does.

        Args:
            derive: a function of tensors; it may call autograd, and what else it reads must stay.
            inputs: of the shapes to come.

        Returns:
            The tape; None where a replay could differ: an operation changed a tensor in place,
            returned a number to the host or several tensors, or took a list of them.
        """
        with Listener() as listener:
            outputs = derive(*inputs)
        if not all(_is_repeatable(one) for one in listener.heard):
            return None
        script = Script()
        script.moving.update([script.place(value) for value in inputs])
        for one in listener.heard:
            script.enter(one)
        ends = tuple(script.place(value) for value in outputs)
        return cls(script.leading_to(ends), script.shelf, ends)

    def replay(self, *inputs: Tensor) -> list[Tensor]:
        """Compute the outputs for other inputs of the recorded shapes, that require no gradient."""
        shelf = self.shelf
        shelf[: len(inputs)] = inputs
        for call in self.calls:
            shelf[call.result] = call.operation(*call.pick(shelf))
        return [shelf[place] for place in self.outputs]


@runtime_checkable
class Replay(Protocol):
    """What computes a function's outputs without calling it."""

    def replay(self, *inputs: Tensor) -> Sequence[Tensor]: ...


Known = TypeVar("Known", bound=Replay)


def trusted(
    known: Known | None, record: Callable[[], Known | None], derive: Derive, *inputs: Tensor
) -> Known | None:
    """Return what gives, for these inputs, the bits that the function itself gives.

    Args:
        known: the replay there is.
        record: makes one where there is none; of other inputs, so that what it wrongly takes for
            constant shows up.
        derive: what it must equal.
        inputs: where it is held against `derive`. A new one is so somewhere else too: weights of 0,
            where training begins, do not show how a product is rounded.

    Returns:
        None where there is no such replay.
    """
    found = known or record()
    if found is None:
        return None
    places = [inputs] if known else [inputs, [_uneven(value) for value in inputs]]
    pairs = (zip(found.replay(*place), derive(*place), strict=True) for place in places)
    return found if all(_same_bits(a, b) for pair in pairs for a, b in pair) else None


def _uneven(like: Tensor) -> Tensor:
    return torch.linspace(0.1, 0.9, like.numel(), dtype=like.dtype).view(like.shape)


@dataclass(frozen=True, eq=False)
class Heard:
    """One operation below autograd, with its tensors."""

    function: Any  # torch's OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any


class Listener(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hears every operation below autograd; it keeps all tensors, so that none reuses memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.heard: list[Heard] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Any = (),
        kwargs: Any = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.heard.append(Heard(func, args, kwargs or {}, result))
        return result

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise its first use imports torch._dynamo: 1.1 s and 70 MiB


@dataclass(frozen=True, eq=False)
class Line:
    """A call as the script has it: what it takes and leaves, by place."""

    function: Any
    args: tuple[Place, ...]
    kwargs: dict[str, Any]
    result: Place

    def call(self) -> Call:
        operation = QUICK.get(self.function, self.function)
        if self.kwargs:
            operation = partial(operation, **self.kwargs)
        # Of one place, itemgetter would give the value itself.
        picked = self.args if len(self.args) > 1 else (slice(self.args[0], self.args[0] + 1),)
        return Call(operation, itemgetter(*picked), self.result)


@dataclass(eq=False)
class Script:
    """What was heard, by places: equal memory is one place, and equal calls are one line."""

    shelf: list[Any] = field(default_factory=list)
    places: dict[Hashable, Place] = field(default_factory=dict)
    moving: set[Place] = field(default_factory=set)  # what depends on an input
    lines: dict[Hashable, Line] = field(default_factory=dict)

    def place(self, value: Any) -> Place:
        key = _memory(value) if isinstance(value, Tensor) else repr(value)
        if key not in self.places:
            self.places[key] = len(self.shelf)
            self.shelf.append(value)
        return self.places[key]

    def enter(self, heard: Heard) -> None:
        args = tuple(self.place(value) for value in heard.args)
        if _memory(heard.result) in self.places:
            return  # a view of all of it: nothing was computed
        equal = (heard.function, args, repr(sorted(heard.kwargs.items())))
        if equal in self.lines:
            self.places[_memory(heard.result)] = self.lines[equal].result
            return
        result = self.place(heard.result)
        if not self.moving.isdisjoint(args):
            self.moving.add(result)
            self.lines[equal] = Line(heard.function, args, heard.kwargs, result)

    def leading_to(self, ends: Sequence[Place]) -> tuple[Line, ...]:
        """Return the lines that these places need."""
        needed, kept = set(ends), []
        for line in reversed(self.lines.values()):
            if line.result in needed:
                needed.update(line.args)
                kept.append(line)
        return tuple(reversed(kept))


def _is_repeatable(heard: Heard) -> bool:
    placed = [value for value in (*heard.args, heard.result) if isinstance(value, Tensor)]
    lists = [value for value in heard.args if isinstance(value, list | tuple)]
    elsewhere = [*heard.kwargs.values(), *(one for values in lists for one in values)]
    return (
        isinstance(heard.result, Tensor)
        and not any(isinstance(value, Tensor) for value in elsewhere)
        and not heard.function._schema.is_mutable  # noqa: SLF001 - torch has no other name
        and all(value.numel() for value in placed)  # without elements they would share one memory
    )


def _same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal in every bit, signs of zeros too; any NaN is like another."""
    if a.numpy().tobytes() == b.numpy().tobytes():
        return True
    equal = (a == b) & (a.signbit() == b.signbit()) | (a.isnan() & b.isnan())
    return bool(equal.all())


def _memory(value: Tensor) -> Hashable:
    return value.data_ptr(), value.shape, value.stride(), value.dtype
