"""Imported by the fork server, and by nothing else: out of reach of signals, torch in memory.

Runners are forked from here, so torch's 1.3 s and most of its memory are paid once. Nothing in
this module may touch CUDA or run a backward pass (autograd starts threads where there is an
accelerator), and nothing may start a thread: an OpenMP pool that was started before a fork hangs
the child's first parallel operation for ever.
"""

import gc
import os
import signal
from pathlib import Path

# Imports make much and leave no garbage: looking for it takes a fifth of this server's start.
gc.disable()

# A SIGTERM or Ctrl-C for the worker's process group must not take the server from under a drain.
# Ignored signals stay ignored in the children until runner.main decides about them.
os.setsid()
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)

import torch  # noqa: E402

# The first gradient imports this, and sympy with it: 0.5 to 2 s of every runner's start.
import torch.fx.experimental.symbolic_shapes  # noqa: E402

import workers.kernels  # noqa: E402
import workers.runner  # noqa: E402

torch.set_num_threads(1)

_THREADS = Path("/proc/self/task")


def _tune() -> None:
    """Do once what each child would: set up torch's dispatcher, look which kernels compute."""
    design = torch.ones(2, 3, 2, dtype=torch.float64)
    torch.bmm(design, design.transpose(1, 2)).sum()
    workers.kernels.platform()


_tune()
# What was imported is never garbage; where runners look, they copy the pages that they look at.
gc.freeze()
gc.enable()
if _THREADS.exists() and (n_threads := len(list(_THREADS.iterdir()))) != 1:
    raise SystemExit(f"the fork server has {n_threads} threads; forking it would hang its children")
