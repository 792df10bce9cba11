"""The closed form against the epochs: a million exact losses, and the autograd loop on R.

    python -m benchmarks.oracle [--json FILE] [--looped 20000]

Both start from 100,000 rows of 10 columns, reduced to their R factor. The loop is what anybody
would write on R: a forward pass, backward() and a step in each epoch, its loss read as the
notebook reads it. It runs `looped` epochs, and its time for a million is that times their ratio:
an epoch costs the same at any place. The closed form is timed with its singular value
decomposition and the minimum. They must agree to 1e-9 of the first loss in every epoch looped.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from descend.jobs import Hyperparameters
from workers import training
from workers.training.modes import course, modes_of
from workers.training.setup import Setup, prepare
from workers.training.spectrum import dynamics

EPOCHS = 1_000_000
ROUNDS = 5


def problem() -> training.Problem:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100_000, 10)) @ np.diag(np.geomspace(1, 0.05, 10))
    Y = X @ rng.normal(size=(10, 1)) + 1 + rng.normal(size=(len(X), 1))
    asked = Hyperparameters(standardize=False, tol=0, max_epochs=EPOCHS).resolved(0)
    names = tuple(f"x{place}" for place in range(10))
    return training.compress(
        training.Problem.of_rows(X, Y, None, features=names, targets=("y",), hyperparameters=asked)
    )


def closed_form(setup: Setup) -> np.ndarray:
    arranged = setup.matrices()
    modes = modes_of(setup.problem, arranged, setup.start, setup.certificate)
    assert modes is not None
    return course(modes, rate=setup.rate, epochs=EPOCHS)


def loop(setup: Setup, epochs: int) -> np.ndarray:
    arranged = setup.matrices()
    A, B = torch.from_numpy(arranged.A), torch.from_numpy(arranged.B)
    theta = torch.from_numpy(setup.start.copy()).requires_grad_()
    optimizer, criterion = torch.optim.SGD([theta], lr=setup.rate), torch.nn.MSELoss()
    losses = []
    for _ in range(epochs):
        loss = criterion(A @ theta, B)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


def engine(setup: Setup, epochs: int) -> np.ndarray:
    state = training.start([setup.problem], "cpu", [None])
    _, segments = training.advance(state, epochs)
    return segments[0].history.train_loss


def seconds(run: object, *given: object) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    found = run(*given)  # type: ignore[operator]
    return time.perf_counter() - started, found


def measure(looped: int) -> dict[str, float]:
    torch.set_num_threads(1)
    setup, arranged = prepare(problem())
    closed_form(setup), loop(setup, 100)
    exact, script = [], []
    for _ in range(ROUNDS):
        script.append(seconds(loop, setup, looped // ROUNDS)[0] * ROUNDS)
        exact.append(seconds(closed_form, setup)[0])
    losses = closed_form(setup)
    trained = loop(setup, looped)
    ours_seconds, ours = seconds(engine, setup, looped)
    steps = np.arange(0, EPOCHS, 1000, dtype=np.float64)
    other = dynamics(
        setup.problem, arranged, start=setup.start, rate=setup.rate, epochs=steps
    ).train_loss
    scale = trained[0]
    ratios = [a * (EPOCHS / looped) / b for a, b in zip(script, exact, strict=True)]
    engines = ours_seconds * (EPOCHS / looped) / statistics.median(exact)
    return {
        "epochs": EPOCHS,
        "epochs_looped": looped,
        "loop_us_per_epoch": statistics.median(script) / looped * 1e6,
        "engine_us_per_epoch": ours_seconds / looped * 1e6,
        "closed_form_ms": statistics.median(exact) * 1e3,
        "ratio_loop_over_closed_form": statistics.median(ratios),
        "ratio_engine_over_closed_form": engines,
        "largest_difference_from_loop": float(np.abs(losses[:looped] - trained).max() / scale),
        "largest_difference_from_engine": float(np.abs(losses[:looped] - ours).max() / scale),
        "largest_difference_from_dynamics": float(np.abs(losses[::1000] - other).max() / scale),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--looped", type=int, default=20_000)
    given = parser.parse_args()
    found = measure(given.looped)
    assert found["largest_difference_from_loop"] <= 1e-9
    assert found["largest_difference_from_engine"] <= 1e-9
    for name, value in found.items():
        print(f"{name:36} {value:,.6g}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
