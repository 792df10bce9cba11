"""Where a problem trains, and which problems may train side by side."""

from collections.abc import Hashable

import torch

from workers.training.errors import DeviceUnavailable
from workers.training.objective import padded_targets
from workers.training.problem import Problem
from workers.training.schedules import falls

__all__ = ["batch_key", "choose_device", "is_solo"]

# A batched matrix-vector product takes a slower path than a single one: measured 7 times slower
# at 3,000 x 11. Up to here (elements of the design) the cost of launching operations dominates.
SOLO_ELEMENTS = 2**13
# Multiplications per epoch below which a lone problem is launch-bound on CUDA: each of the dozen
# kernels of an epoch costs some 5 microseconds, as much as a core does in 50,000 multiplications.
CUDA_PAYS = 5_000_000


def is_solo(problem: Problem, device: str) -> bool:
    """Whether a problem trains in a batch of its own, unpadded; it depends on the problem alone.

    On CUDA always: whether cuBLAS rounds alike whatever the number of models is not known.
    """
    h = problem.hyperparameters
    if h.optimizer in {"lbfgs", "exact"} or h.batch_size is not None:
        return True
    elements = problem.trained.design_rows * (problem.n_features + 1) * padded_targets(problem)
    return device != "cpu" or elements > SOLO_ELEMENTS


def batch_key(problem: Problem, device: str) -> Hashable:
    """Name the batch a problem belongs to: problems with equal keys can train side by side.

    A lane's bits must not depend on its neighbours, hence everything that shapes the program is
    in the key: shapes, dtype, optimizer, and which terms there are. It depends on the problem and
    the device alone.
    """
    h = problem.hyperparameters
    held = 0 if problem.held is None else problem.held.design_rows
    shape = (problem.trained.design_rows, held, problem.n_features, problem.n_targets)
    terms = (
        h.loss,
        falls(h),
        h.fit_intercept,
        h.l1 > 0,
        h.l2 > 0,
        bool(h.momentum),
        bool(h.nesterov),
    )
    alone = id(problem) if is_solo(problem, device) else None
    return (device, h.dtype, h.optimizer, shape, terms, alone)


def choose_device(problem: Problem, wanted: str) -> tuple[str, str]:
    """Choose "cpu" or "cuda" and say why.

    Args:
        problem: what is to be trained.
        wanted: "auto", "cpu" or "cuda".

    Returns:
        The device and the reason, a sentence for the job's owner.

    Raises:
        DeviceUnavailable: when "cuda" is wanted and there is none.
    """
    if wanted == "cpu":
        return "cpu", "cpu was asked for"
    if problem.hyperparameters.optimizer == "exact":
        return "cpu", "exact solves from a factor, which is small"
    available = torch.cuda.is_available()
    if wanted == "cuda":
        if not available:
            raise DeviceUnavailable("no CUDA device on this worker", param="device")
        return "cuda", "cuda was asked for"
    if not available:
        return "cpu", "this worker has no CUDA device"
    rows = min(problem.trained.design_rows, problem.hyperparameters.batch_size or 2**62)
    work = 4 * rows * (problem.n_features + 1) * problem.n_targets
    if work < CUDA_PAYS:
        return "cpu", f"a step takes {work} multiplications: too few to gain from CUDA"
    return "cuda", f"a step takes {work} multiplications"
