"""A reel's turns are the function's own, bit for bit, wherever results lie and come from."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from tests.problems import notebook
from tests.workers.training.trained import problem_of
from workers import training
from workers.training.reel import Reel, Slab
from workers.training.state import TrainingState

Step = Callable[[Tensor, Tensor, Tensor], Sequence[Tensor]]

N = 4
SQUARE = torch.randn(3, N, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 3
ROW = torch.linspace(-1, 1, N, dtype=torch.float64)


# Each leads from (a, b) of shapes (3, 4, 4) with a turn's number c to (a, b) and what it tells.


def element_by_element(a: Tensor, b: Tensor, c: Tensor) -> Sequence[Tensor]:
    row = ROW.to(a.dtype)
    return a * 0.9 - b / 3 + row, -b + c * row, a + b


def roots(a: Tensor, b: Tensor, c: Tensor) -> Sequence[Tensor]:
    return a.sqrt() + 0.1, (b * b + 0.3).sqrt(), a / (b.sqrt() + 1e-8)


def products(a: Tensor, b: Tensor, c: Tensor) -> Sequence[Tensor]:
    square = SQUARE.to(a.dtype)
    onto_constant = torch.baddbmm(square, square, a)
    onto_moving = torch.baddbmm(a, square, b, alpha=0.5)
    onto_a_part = torch.baddbmm(b[:, :1], square, a)
    return onto_constant, onto_moving, square.mT @ onto_a_part


def products_of_one(a: Tensor, b: Tensor, c: Tensor) -> Sequence[Tensor]:
    square = SQUARE[0].to(a.dtype)
    column = torch.addmv(square[0], square, a[0, 0])
    return torch.addmm(square, square, a[0]).expand(3, N, N) / 2, b, column


def views(a: Tensor, b: Tensor, c: Tensor) -> Sequence[Tensor]:
    return a.mT * b[:, :1], (a + b).mT, (a * 2)[:, 1].reshape(-1)


def an_input_for_an_output(a: Tensor, b: Tensor, c: Tensor) -> Sequence[Tensor]:
    return b, a, a


def one_output_twice(a: Tensor, b: Tensor, c: Tensor) -> Sequence[Tensor]:
    total = a + b * c
    return total, total, total


def a_constant_output(a: Tensor, b: Tensor, c: Tensor) -> Sequence[Tensor]:
    return a + 1, b, ROW.to(a.dtype) * 2


def operations_without_a_place_to_write(a: Tensor, b: Tensor, c: Tensor) -> Sequence[Tensor]:
    return torch.where(a > 0, a, b), b.clamp(-c, c), torch.sgn(a).sum(-1)


def numbers_that_overflow(a: Tensor, b: Tensor, c: Tensor) -> Sequence[Tensor]:
    return a * 1e30, b / 0.0, a - a * 1e30


def autograd(a: Tensor, b: Tensor, c: Tensor) -> Sequence[Tensor]:
    weights = a.detach().requires_grad_()
    with torch.enable_grad():
        loss = (torch.baddbmm(b, SQUARE.to(a.dtype), weights)).square().sum()
    (gradient,) = torch.autograd.grad(loss, weights)
    return a - c * gradient, b, gradient


STEPS: tuple[Step, ...] = (
    element_by_element,
    roots,
    products,
    products_of_one,
    views,
    an_input_for_an_output,
    one_output_twice,
    a_constant_output,
    operations_without_a_place_to_write,
    numbers_that_overflow,
    autograd,
)


def state_of(dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(3, N, N, generator=generator, dtype=dtype) for _ in "ab"]


def recorded(step: Step, dtype: torch.dtype) -> Reel:
    ones = torch.ones(3, N, N, dtype=dtype)
    reel = Reel.record(step, ones, ones * 2, torch.ones((), dtype=dtype), carried=2)
    assert reel is not None
    return reel


def bits(tensors: Sequence[Tensor]) -> list[bytes]:
    """Of any NaN the same: hardware gives it either sign."""
    return [torch.where(one.isnan(), 0.5, one).numpy().tobytes() for one in tensors]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_turns_are_those_of_the_function(step: Step, dtype: torch.dtype) -> None:
    begun, turns = state_of(dtype), torch.linspace(0.1, 0.9, 9, dtype=dtype)
    here, expected = begun, []
    for turn in turns:
        *after, told = step(*here, turn)
        expected.append([here[-1], told])
        here = after

    ended, told = recorded(step, dtype).run(begun, [turns], len(turns))

    assert bits(ended) == bits(here)
    for found, wanted in zip(told, zip(*expected, strict=True), strict=True):
        assert bits(list(found)) == bits(wanted)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_replay_is_a_turn_from_anywhere(step: Step) -> None:
    inputs = [*state_of(torch.float64), torch.tensor(0.25, dtype=torch.float64)]

    assert bits(recorded(step, torch.float64).replay(*inputs)) == bits(step(*inputs))


def test_what_a_run_returned_stays_when_the_reel_turns_on() -> None:
    reel, turns = recorded(element_by_element, torch.float64), torch.ones(3, dtype=torch.float64)
    begun = state_of(torch.float64)

    ended, told = reel.run(begun, [turns], 3)
    before = bits([*begun, *ended, *told])
    reel.run(ended, [turns * 2], 3)

    assert bits([*begun, *ended, *told]) == before


def test_ends_of_several_dtypes_have_no_memory_in_common() -> None:
    def mixed(a: Tensor) -> Sequence[Tensor]:
        return a * 2, a.double()

    assert Reel.record(mixed, torch.ones(3), carried=1) is None


def test_a_function_that_has_no_tape_has_no_reel() -> None:
    def asking_the_host(a: Tensor) -> Sequence[Tensor]:
        return (a * a.sum().item(),)

    assert Reel.record(asking_the_host, torch.ones(3), carried=1) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_tensor_of_a_slab_begins_where_torch_would_have_it(dtype: torch.dtype) -> None:
    models = [torch.empty(shape, dtype=dtype) for shape in [(3,), (), (5, 7), (8, 2, 1)]]

    slab = Slab.like(models)

    assert [one.shape for one in slab.tensors] == [one.shape for one in models]
    assert [one.data_ptr() % 64 for one in slab.tensors] == [0] * 4
    for k, one in enumerate(slab.tensors):
        one.fill_(k)
    assert [one.unique().tolist() for one in slab.tensors] == [[0], [1], [2], [3]]


@pytest.mark.parametrize("way", [{}, {"momentum": 0.9, "l2": 0.1}, {"optimizer": "adam"}], ids=str)
def test_an_epoch_makes_no_tensor(way: dict[str, object]) -> None:
    """What makes it quick: each result has its place before the first turn."""
    problem = problem_of(notebook(), max_epochs=100, tol=0, **way)
    state, _ = training.advance(training.start([problem], "cpu", [None]), 50)
    assert isinstance(state, TrainingState)
    assert state.reel is not None
    inputs = [one.clone() for one in state.reel.inputs]

    first = [one.data_ptr() for one in state.reel.replay(*inputs)]
    with torch.profiler.profile(profile_memory=True) as profile:
        second = [one.data_ptr() for one in state.reel.replay(*inputs)]

    assert first == second
    assert not any(event.self_cpu_memory_usage for event in profile.events())
