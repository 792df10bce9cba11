"""Rates that fall, against torch.optim.lr_scheduler, epoch for epoch."""

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from descend.jobs import StopReason
from tests.problems import CATALOGUE, notebook, random_problem
from tests.workers.training.peers import Peer, Scheduler, by_torch
from tests.workers.training.trained import problem_of, train, train_batch
from workers import training

EPOCHS = 90
SCHEDULES: dict[str, tuple[dict[str, object], Scheduler]] = {
    "step": (
        {"type": "step", "every": 20, "factor": 0.3},
        lambda o: lr_scheduler.StepLR(o, 20, gamma=0.3),
    ),
    "cosine": (
        {"type": "cosine", "floor": 0.1},
        lambda o: lr_scheduler.CosineAnnealingLR(
            o, T_max=EPOCHS, eta_min=0.1 * o.param_groups[0]["lr"]
        ),
    ),
    "inverse": (
        {"type": "inverse", "decay": 0.05},
        lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + 0.05 * epoch)),
    ),
    "constant": ({"type": "constant"}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
}
PEERS: dict[str, tuple[dict[str, object], Peer]] = {
    "sgd": ({"learning_rate": 0.3}, lambda p: torch.optim.SGD(p, lr=0.3)),
    "momentum": (
        {"learning_rate": 0.1, "momentum": 0.8},
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8),
    ),
    "nesterov": (
        {"learning_rate": 0.1, "momentum": 0.8, "nesterov": True},
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True),
    ),
    "adam": (
        {"optimizer": "adam", "learning_rate": 0.02},
        lambda p: torch.optim.Adam(p, lr=0.02),
    ),
    "adamw": (
        {"optimizer": "adamw", "learning_rate": 0.02, "weight_decay": 0.1, "fit_intercept": True},
        lambda p: torch.optim.AdamW(
            [{"params": [w], "weight_decay": 0.1 * (w.ndim > 1)} for w in p], lr=0.02
        ),
    ),
}


@pytest.mark.parametrize("optimizer", PEERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_is_torchs_step_for_step(schedule: str, optimizer: str) -> None:
    rows = CATALOGUE["several targets"]()
    asked, peer = PEERS[optimizer]
    wanted, scheduler = SCHEDULES[schedule]

    history = train(rows, **asked, schedule=wanted, max_epochs=EPOCHS, tol=0).history

    course = by_torch(rows, peer, epochs=EPOCHS, scheduler=scheduler)
    assert np.abs(history.train_loss - course.losses).max() <= 1e-12 * course.losses[0]
    np.testing.assert_allclose(history.learning_rate, course.rates, rtol=1e-12)


@pytest.mark.parametrize("asked", [{}, {"momentum": 0.5}, {"optimizer": "adam", "l1": 0.1}])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_in_two_halves_has_the_rates_of_the_run_in_one(
    schedule: str, asked: dict[str, object]
) -> None:
    wanted, _ = SCHEDULES[schedule]
    problem = problem_of(random_problem("any"), **asked, schedule=wanted, max_epochs=60, tol=0)
    first, before = training.advance(training.start([problem], "cpu", [None]), 25)

    second = training.start([problem], "cpu", [training.save(first, 0)])
    second, after = training.advance(second, 60)

    whole = train_batch([problem])[0]
    assert training.outcome(second, 0).coef.tobytes() == whole.outcome.coef.tobytes()
    halves = [before[0].history.learning_rate, after[0].history.learning_rate]
    assert np.concatenate(halves).tobytes() == whole.history.learning_rate.tobytes()


def test_each_model_of_a_batch_has_its_own_schedule() -> None:
    schedules = [{"type": "inverse", "decay": d} for d in (0.01, 1.0)] + [{"type": "cosine"}]
    problems = [
        problem_of(random_problem("any"), schedule=s, max_epochs=40, tol=0) for s in schedules
    ]

    together = train_batch(problems)

    for problem, in_batch in zip(problems, together, strict=True):
        alone = train_batch([problem])[0]
        assert alone.outcome.coef.tobytes() == in_batch.outcome.coef.tobytes()
    assert len({trained.outcome.coef.tobytes() for trained in together}) == 3


def test_what_falls_trains_apart_from_what_does_not() -> None:
    keys = [
        training.batch_key(problem_of(notebook(), schedule=schedule), "cpu")
        for schedule in (None, {"type": "constant"}, {"type": "cosine"}, {"type": "inverse"})
    ]

    assert keys[0] == keys[1]
    assert keys[2] == keys[3]
    assert keys[0] != keys[2]


def test_a_loss_that_rose_while_the_rate_was_high_is_forgiven_once_it_is_below_the_bound() -> None:
    raw = {"standardize": False, "learning_rate": 0.2, "tol": 0}
    dropping = {"type": "step", "every": 3, "factor": 0.1}

    steady = train(notebook(), **raw).outcome
    falling = train(notebook(), **raw, schedule=dropping).outcome

    assert steady.stop_reason is StopReason.DIVERGED
    assert falling.stop_reason is StopReason.MAX_EPOCHS
