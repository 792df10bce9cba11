"""L-BFGS against torch.optim.LBFGS and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, Ridge

from descend.jobs import StopReason
from tests.problems import CATALOGUE, RegressionProblem, longley, random_problem
from tests.workers.training.peers import loss_of, standardised
from tests.workers.training.trained import problem_of, train, train_batch
from workers import training

WAYS: dict[str, dict[str, object]] = {
    "squared": {},
    "l2": {"l2": 0.1},
    "huber": {"loss": "huber", "huber_delta": 0.4},
    "narrow huber": {"loss": "huber", "huber_delta": 1e-3},
    "absolute": {"loss": "absolute"},
    "quantile": {"loss": "quantile", "quantile": 0.1, "l2": 0.0},
    "short memory": {"history_size": 2},
    "float32": {"dtype": "float32"},
    "held-out rows": {"validation_fraction": 0.25},
}


def by_torch(rows: RegressionProblem, name: str, l2: float, epochs: int) -> np.ndarray:
    """One LBFGS object all along, on nn.Linear, in the units that workers.training.lbfgs names."""
    X, Y = torch.from_numpy(standardised(rows)), torch.from_numpy(rows.Y)
    width = 1 if rows.Y.shape[1] == 1 else 8  # that targets have in memory
    _, exponent = np.frexp(np.sqrt(np.square(rows.Y).sum() / (len(rows.Y) * width)))
    unit, gain = 2.0 ** (int(exponent) - 10), 2.0**40
    model = torch.nn.Linear(X.shape[1], Y.shape[1], dtype=torch.float64)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=1, max_eval=26, tolerance_grad=0, tolerance_change=0,
        history_size=10, line_search_fn="strong_wolfe",
    )  # fmt: skip
    criterion, losses = loss_of(name, 0.4), []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        data = criterion(unit * model(X), Y).mean()
        losses.append(data.item())
        loss = (data + l2 * (unit * model.weight).square().sum()) * (gain / unit**2)
        loss.backward()
        return loss

    told = []
    for _ in range(epochs):
        losses.clear()
        optimizer.step(closure)
        told.append(losses[0])
    return np.array(told)


@pytest.mark.parametrize("way", ["squared", "l2", "huber"])
@pytest.mark.parametrize("name", ["well conditioned", "several targets", "larger"])
def test_the_course_is_torchs_step_for_step(name: str, way: str) -> None:
    rows = CATALOGUE[name]()

    history = train(rows, **WAYS[way], optimizer="lbfgs", max_epochs=25, tol=0).history

    if way == "huber":  # residuals are counted from the targets' medians
        middle = np.sort(rows.Y, axis=0)[(len(rows.Y) - 1) // 2]
        rows = replace(rows, Y=rows.Y - middle)
    l2 = 0.1 if way == "l2" else 0.0
    losses = by_torch(rows, "huber" if way == "huber" else "squared", l2, 25)
    assert np.abs(history.train_loss - losses).max() <= 1e-9 * losses[0]
    assert np.abs(history.train_loss - losses)[:8].max() <= 1e-12 * losses[0]


@pytest.mark.parametrize("name", ["well conditioned", "several targets", "weighted", "larger"])
@pytest.mark.parametrize("l2", [0.0, 0.2])
def test_it_ends_at_the_closed_form_within_a_hundred_epochs(name: str, l2: float) -> None:
    rows = CATALOGUE[name]()
    total = len(rows.X) if rows.sample_weight is None else rows.sample_weight.sum()

    trained = train(rows, optimizer="lbfgs", l2=l2, max_epochs=100, tol=1e-14, standardize=False)

    Y = rows.Y[:, 0] if rows.Y.shape[1] == 1 else rows.Y
    peer = Ridge(alpha=total * l2 * rows.Y.shape[1], tol=1e-14) if l2 else LinearRegression()
    coef = np.atleast_2d(peer.fit(rows.X, Y, sample_weight=rows.sample_weight).coef_)
    assert trained.outcome.stop_reason is StopReason.CONVERGED
    assert np.abs(trained.outcome.coef - coef).max() <= 1e-8 * np.abs(coef).max()


def test_nearly_collinear_columns_do_not_stop_it() -> None:
    rows = longley()

    trained = train(rows, optimizer="lbfgs", max_epochs=500, tol=1e-14)

    peer = LinearRegression().fit(rows.X, rows.Y)
    np.testing.assert_allclose(trained.outcome.coef, peer.coef_, rtol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_a_run_in_two_halves_is_the_run_in_one(way: str) -> None:
    rows = random_problem("any", n_samples=80, n_features=12, condition=300)
    problem = problem_of(rows, **WAYS[way], optimizer="lbfgs", max_epochs=40, tol=0)
    whole = train_batch([problem])[0]
    for cut in (1, 2, 17):
        first, before = training.advance(training.start([problem], "cpu", [None]), cut)

        second = training.start([problem], "cpu", [training.save(first, 0)])
        second, after = training.advance(second, 40)

        assert training.outcome(second, 0).coef.tobytes() == whole.outcome.coef.tobytes()
        halves = [before[0].history.train_loss, after[0].history.train_loss]
        assert np.concatenate(halves).tobytes() == whole.history.train_loss.tobytes()


def test_scaling_the_targets_by_a_power_of_two_changes_no_bit_of_the_course() -> None:
    rows = random_problem("any", n_features=6, condition=100)

    plain = train(rows, optimizer="lbfgs", max_epochs=30, tol=0)
    large = train(replace(rows, Y=rows.Y * 2.0**40), optimizer="lbfgs", max_epochs=30, tol=0)

    assert (large.outcome.coef == plain.outcome.coef * 2.0**40).all()


def test_its_history_has_no_rate() -> None:
    trained = train(random_problem("any"), optimizer="lbfgs", max_epochs=5, tol=0)

    assert np.isnan(trained.history.learning_rate).all()
    assert trained.outcome.resolved.learning_rate is None
    assert trained.history.grad_norm[-1] < trained.history.grad_norm[0]


def test_it_trains_alone() -> None:
    problems = [problem_of(random_problem("any"), optimizer="lbfgs") for _ in range(2)]

    assert len({training.batch_key(problem, "cpu") for problem in problems}) == 2


def test_a_perfect_start_stays_where_it_is() -> None:
    rows = RegressionProblem("zeros", np.eye(3), np.zeros((3, 1)))

    trained = train(rows, optimizer="lbfgs")

    assert trained.outcome.stop_reason is StopReason.CONVERGED
    assert (trained.outcome.coef == 0).all()
