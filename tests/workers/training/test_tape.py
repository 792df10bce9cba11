"""Replayed epochs are autograd's epochs, bit for bit; what cannot be replayed is not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import notebook, random_problem
from tests.workers.training.trained import problem_of
from workers import training
from workers.training.engine import State
from workers.training.minibatch import StreamedState
from workers.training.reel import Reel
from workers.training.tape import QUICK, Tape, trusted

WAYS: dict[str, dict[str, object]] = {
    "sgd": {},
    "nesterov with l1 and l2": {"momentum": 0.9, "nesterov": True, "l1": 0.05, "l2": 0.1},
    "adamw in float32": {"optimizer": "adamw", "weight_decay": 0.1, "dtype": "float32"},
    "huber with l2": {"loss": "huber", "huber_delta": 0.7, "l2": 0.01},
    "absolute": {"loss": "absolute"},
    "quantile": {"loss": "quantile", "quantile": 0.8, "validation_fraction": 0.25},
    "falling rate": {"schedule": {"type": "cosine", "floor": 0.1}},
    "no intercept": {"fit_intercept": False},
    "batches": {"max_epochs": 3, "batch_size": 2},
    "batches, huber, l2": {
        "max_epochs": 3,
        "batch_size": 2,
        "loss": "huber",
        "l2": 0.1,
        "fit_intercept": False,
    },
    "batches, quantile, l1": {"max_epochs": 3, "batch_size": 2, "loss": "quantile", "l1": 0.01},
}


def trained(problem: training.Problem, *, replay: bool) -> tuple[State, list[bytes]]:
    """Train to the end; return the last state and every number as bytes."""
    state, parts = training.start([problem], "cpu", [None], replay=replay), []
    while state.live:
        state, segments = training.advance(state, 10**6)
        parts += [segment.history for segment in segments]
    outcome = training.outcome(state, 0)
    told = [h.train_loss.tobytes() + h.eval_loss.tobytes() + h.grad_norm.tobytes() for h in parts]
    return state, [*told, outcome.coef.tobytes(), outcome.intercept.tobytes()]


def replayed(state: State) -> Tape | Reel | None:
    return state.tape if isinstance(state, StreamedState) else state.reel


@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("heaviest", [None, 3.0], ids=["", "weighted"])
@pytest.mark.parametrize("way", WAYS)
def test_replayed_training_is_training_by_backward(
    way: str, heaviest: float | None, n_targets: int
) -> None:
    rows = random_problem("any", n_samples=77, n_features=4, n_targets=n_targets)
    rows = replace(rows, sample_weight=np.linspace(0, heaviest, 77) if heaviest else None)
    problem = problem_of(rows, **{"learning_rate": 0.01, "max_epochs": 100, "tol": 0, **WAYS[way]})

    by_tape, numbers = trained(problem, replay=True)
    by_backward, expected = trained(problem, replay=False)

    assert replayed(by_tape) is not None
    assert replayed(by_backward) is None
    assert numbers == expected


def test_models_that_leave_a_batch_do_not_change_the_replay_of_the_others() -> None:
    several = [problem_of(random_problem(str(k)), max_epochs=100 * (k + 1)) for k in range(5)]

    state = training.start(several, "cpu", [None] * 5)
    while state.live:
        state, _ = training.advance(state, 64)

    for index, problem in enumerate(several):
        alone = trained(problem, replay=False)[1]
        assert training.outcome(state, index).coef.tobytes() == alone[-2]


def test_a_tape_with_other_bits_is_not_used() -> None:
    state = training.start([problem_of(notebook(), max_epochs=100, tol=0)], "cpu", [None])
    wrong = Reel.record(
        lambda params: (params / 2, state.design.minus_goal * 2, params * 3),
        state.params,
        carried=1,
    )
    assert wrong is not None

    state, _ = training.advance(replace(state, reel=wrong), 100)

    assert state.reel is None
    assert (
        training.outcome(state, 0).coef.tobytes()
        == trained(problem_of(notebook(), max_epochs=100, tol=0), replay=False)[1][-2]
    )


def test_weights_of_0_do_not_hide_how_a_product_is_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_behind(room: Tensor, a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
        return out.copy_(room + a.flip(-1) @ b.flip(-2))

    monkeypatch.setitem(QUICK, torch.ops.aten.baddbmm.default, from_behind)
    rows = random_problem("any", n_samples=77, n_features=9)
    problem = problem_of(rows, max_epochs=100, tol=0, learning_rate=0.05)

    state, numbers = trained(problem, replay=True)

    assert replayed(state) is None
    assert numbers == trained(problem, replay=False)[1]


def test_a_model_that_stopped_keeps_its_weights_and_no_more() -> None:
    several = [problem_of(random_problem(str(k)), max_epochs=50 * k, tol=0) for k in (1, 2, 9)]

    state, _ = training.advance(training.start(several, "cpu", [None] * 3), 200)

    assert len(state.final) == 2
    for params in state.final.values():
        assert params.untyped_storage().nbytes() == params.numel() * params.element_size()


def test_numbers_that_are_not_finite_are_replayed_too() -> None:
    problem = problem_of(notebook(), learning_rate=0.19, standardize=False, max_epochs=5000)

    assert trained(problem, replay=True)[1] == trained(problem, replay=False)[1]


def test_what_depends_on_no_input_is_computed_once_and_what_nothing_needs_never() -> None:
    factor = torch.tensor([2.0, 3.0])
    calls: list[str] = []

    def derive(x: Tensor) -> tuple[Tensor]:
        calls.append("")
        doubled = (factor * factor).sqrt() * 2
        x.exp()
        return (x * doubled,)

    tape = Tape.record(derive, torch.ones(2))

    assert tape is not None
    assert len(tape.calls) == 1
    assert tape.replay(torch.tensor([1.0, 10.0]))[0].tolist() == [4.0, 60.0]
    assert len(calls) == 1


def changing_in_place(x: Tensor) -> tuple[Tensor]:
    return (x.clone().mul_(2),)


def asking_the_host(x: Tensor) -> tuple[Tensor]:
    return (x * x.sum().item(),)


def joining(x: Tensor) -> tuple[Tensor]:
    return (torch.cat((x, x)),)


def splitting(x: Tensor) -> tuple[Tensor, ...]:
    return x.split(1)


def emptying(x: Tensor) -> tuple[Tensor]:
    return (x[:0] * 2,)


@pytest.mark.parametrize(
    "derive", [changing_in_place, asking_the_host, joining, splitting, emptying]
)
def test_what_could_differ_when_it_is_repeated_is_not_recorded(
    derive: Callable[..., tuple[Tensor, ...]],
) -> None:
    assert Tape.record(derive, torch.tensor([1.0, 2.0])) is None


def test_what_a_tape_takes_for_constant_must_be() -> None:
    def derive(x: Tensor) -> tuple[Tensor]:
        return (x * torch.from_numpy(x.numpy() + 1),)  # no operation leads to the sum

    inputs = torch.tensor([5.0, 2.0])

    def recorded() -> Tape | None:
        return Tape.record(derive, torch.tensor([1.0, 2.0]))

    assert trusted(None, recorded, derive, inputs) is None
