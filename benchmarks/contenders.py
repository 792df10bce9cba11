"""Training, a training loop and a solver on the same drawn rows, each in a process of its own.

    python -m benchmarks.contenders NAME ROWS FEATURES [EPOCHS]

A process draws the rows, warms up, and then times its act once for every line that it reads.
Of its own, because threads are process-wide: in one process with ours, whose BLAS is held to one
thread, the loop with two threads took up to 40 times as long as alone, and every ratio was a lie.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from sklearn.linear_model import LinearRegression

from benchmarks.arrow_tables import drawn, names_of
from descend.jobs import Hyperparameters
from workers import training

EPOCHS = 1000
ASKED = {"learning_rate": 0.01, "max_epochs": EPOCHS, "tol": 0, "standardize": False}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Floats = np.ndarray


class Contender:
    """A process that times one act whenever it is asked."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.seconds()  # it answers once before it is timed: ready, and warm

    def seconds(self) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


@contextmanager
def contenders(*acts: tuple[str, ...]) -> Iterator[list[Contender]]:
    """Start processes: each a name, then its arguments; "-1" at the name's end is one thread."""
    with ExitStack() as stack:
        processes = []
        for name, *arguments in acts:
            environment = {k: v for k, v in os.environ.items() if k not in ONE_THREAD}
            if name == "ours" or name.endswith("-1"):
                environment |= ONE_THREAD
            command = [sys.executable, "-m", "benchmarks.contenders", name, *arguments]
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        yield [Contender(process) for process in processes]


def ours(X: Floats, Y: Floats) -> float:
    """Seconds from the rows to the history, in a runner's settings; its threads are over tiles."""
    problem = training.Problem(
        trained=training.Rows(X, Y, None),
        held=None,
        features=names_of(X.shape[1]),
        targets=("y",),
        hyperparameters=Hyperparameters.model_validate(ASKED).resolved(seed=0),
    )
    torch.set_num_threads(1)
    begun = time.perf_counter()
    compressed = training.compress(problem, threads=len(os.sched_getaffinity(0)))
    state = training.start([compressed], "cpu", [None])
    state, (segment,) = training.advance(state, EPOCHS)
    seconds = time.perf_counter() - begun
    assert len(segment.history) == EPOCHS
    return seconds


def loop(X: Floats, Y: Floats, epochs: int) -> float:
    """Seconds of EPOCHS epochs of the usual loop: `epochs` are timed, after one to warm up."""
    inputs, targets = torch.from_numpy(X), torch.from_numpy(Y)
    model = torch.nn.Linear(X.shape[1], 1, dtype=torch.float64)
    criterion, optimizer = torch.nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.01)
    losses, begun = [], 0.0
    for epoch in range(1 + epochs):
        if epoch == 1:
            begun = time.perf_counter()
        loss = criterion(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return (time.perf_counter() - begun) * EPOCHS / epochs


def sklearn(X: Floats, Y: Floats) -> float:
    begun = time.perf_counter()
    LinearRegression().fit(X, Y)
    return time.perf_counter() - begun


def serve(name: str, n: int, d: int, epochs: int) -> None:
    X, Y = drawn(n, d)
    acts: dict[str, Callable[[], float]] = {
        "ours": lambda: ours(X, Y),
        "loop": lambda: loop(X, Y, epochs),
        "sklearn": lambda: sklearn(X, Y),
    }
    for _ in sys.stdin:
        print(acts[name.removesuffix("-1")](), flush=True)


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[2:]]
    serve(sys.argv[1], numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 0)
