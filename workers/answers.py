"""Jobs that are no training: a plan, gradients, diagnostics; each ends in one entry."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from descend.diagnostics import Diagnostics
from descend.errors import InvalidDataset, InvalidInput
from descend.gradients import Gradients
from descend.hyperparameters import InitialWeights
from descend.jobs import JobKind, StopReason
from descend.plans import Plan
from workers import training
from workers.batch import cells_of
from workers.loading import load_problem, load_rows, open_rows
from workers.orders import Assignment
from workers.reports import Entry, Fate
from workers.training.diagnostics import Block, Fitted, diagnostics
from workers.training.gradients import gradients
from workers.training.plan import expected_epochs, plan

__all__ = ["answer"]

# The steps that are timed for a plan: some, but no more than about 20 ms of them.
PROBED_STEPS = 64
PROBED_CELLS = 2**24


def answer(job: Assignment, *, alive: Callable[[], None], scratch: Path) -> Entry:
    """Answer a job.

    Args:
        job: of any kind but `train`.
        alive: called between two steps of the work; may raise to end it.
        scratch: a folder for rows that mini-batches are drawn from.

    Raises:
        DescendError: when the data cannot be read, or the question has no answer.
    """
    alive()
    found: Plan | Gradients | Diagnostics
    device = "cpu"
    if job.kind is JobKind.PLAN:
        found = _planned(job, alive, scratch)
        device = found.device
    elif job.kind is JobKind.GRADIENTS:
        found = gradients(load_rows(_on_all_rows(job)).problem)
    else:
        found = _diagnosed(job, alive)
    alive()
    return Entry(
        job.job_id,
        job.fence,
        fate=Fate.SUCCEEDED,
        epochs_done=1,
        stop_reason=StopReason.ANSWERED,
        device=device,
        result=found.model_dump_json().encode(),
    )


def _planned(job: Assignment, alive: Callable[[], None], scratch: Path) -> Plan:
    loaded = load_problem(job, scratch=scratch)
    problem, h = loaded.problem, job.hyperparameters
    device, _ = training.choose_device(problem, job.device)
    alive()
    whole = load_problem(_on_all_rows(job), scratch=scratch).problem if h.batch_size else None
    alive()
    told = plan(problem, device, whole)
    alive()
    warnings = [*loaded.warnings, *told.warnings]
    if h.optimizer == "exact":
        return told.model_copy(update={"warnings": warnings})
    seconds = _epoch_seconds(problem, device) * expected_epochs(told, h)
    return told.model_copy(update={"warnings": warnings, "seconds": seconds})


def _on_all_rows(job: Assignment) -> Assignment:
    """The same job on full batches: its objective is that of all rows, not of a batch of them."""
    h = job.hyperparameters.model_copy(update={"batch_size": None})
    return replace(job, hyperparameters=h)


def _epoch_seconds(problem: training.Problem, device: str) -> float:
    """Time a few steps; the first call is not counted where another can be made."""
    batch_size = problem.hyperparameters.batch_size
    steps = 1 if batch_size is None else math.ceil(problem.n_train / batch_size)
    state = training.start([problem], device, [None])
    started = time.monotonic()
    state, _ = training.advance(state, 1)
    seconds = time.monotonic() - started
    if not state.live:
        return seconds * steps
    # Whole epochs where these are all one step; with mini-batches no step ends the training early.
    most = PROBED_STEPS if batch_size is None else min(PROBED_STEPS, steps)
    probed = max(1, min(most, PROBED_CELLS // max(1, cells_of(problem) // steps)))
    started = time.monotonic()
    _, segments = training.advance(state, probed)
    seconds = time.monotonic() - started
    taken = segments[0].history.total - 1 if batch_size is None else probed
    return seconds / max(1, taken) * steps


def _diagnosed(job: Assignment, alive: Callable[[], None]) -> Diagnostics:
    table, h = open_rows(job), job.hyperparameters
    if not isinstance(h.init, InitialWeights):
        raise InvalidInput("diagnostics are of given weights", param="hyperparameters.init")
    if h.init.features is not None and set(h.init.features) != set(table.features):
        raise InvalidDataset(
            "the data set no longer gives the columns that the model was fitted on"
        )
    order = [(h.init.features or list(table.features)).index(name) for name in table.features]
    coef = np.array(h.init.coef, dtype=np.float64)[:, order]
    intercept = np.array(h.init.intercept or [0.0] * len(coef), dtype=np.float64)

    def blocks() -> Iterator[Block]:
        for X, Y, omega in table.blocks():
            alive()
            yield np.column_stack(X), np.column_stack(Y), omega

    told = diagnostics(
        blocks,
        Fitted(coef, intercept, job.targets, h.fit_intercept),
        seed=h.seed or 0,
        held=training.held_out(table.n_used, h.validation_fraction, seed=h.seed or 0),
    )
    used = sorted({row.row for one in told.targets for row in one.rows})
    return told.numbered(dict(zip(used, table.numbers(used), strict=True)))
