"""Training on the R factor is training on the rows: the same history, whatever n is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.problems import CATALOGUE, RegressionProblem, random_problem
from tests.workers.training.trained import Trained, problem_of, train, train_batch
from workers import training

STEADY = {
    "sgd": {},
    "momentum": {"momentum": 0.8},
    "nesterov": {"momentum": 0.5, "nesterov": True},
    "lasso": {"l1": 0.05},
    "ridge": {"l2": 0.1},
    "raw columns": {"standardize": False},
    "no intercept": {"fit_intercept": False},
    "held out": {"validation_fraction": 0.2, "seed": 3},
    "torch's weights": {"init": "torch", "seed": 4},
}


def factored(problem: training.Problem) -> training.Problem:
    """Put the R factors of a problem's rows in their place."""

    def factor_of(rows: training.Sample | None) -> training.Factored | None:
        if rows is None:
            return None
        assert isinstance(rows, training.Rows)
        return training.Factored(training.factor([(rows.X, rows.Y, rows.omega)]))

    trained = factor_of(problem.trained)
    assert trained is not None
    return replace(problem, trained=trained, held=factor_of(problem.held))


def both(rows: RegressionProblem, **asked: object) -> tuple[Trained, Trained]:
    problem = problem_of(rows, **asked)
    return train_batch([problem])[0], train_batch([factored(problem)])[0]


def conditioned(
    condition: float, *, n_targets: int = 2, weighted: bool = False
) -> RegressionProblem:
    """200 rows whose columns have this condition number, beside the mean."""
    generator = np.random.default_rng(7)
    left, _ = np.linalg.qr(generator.normal(size=(200, 6)))
    right, _ = np.linalg.qr(generator.normal(size=(6, 6)))
    X = left @ np.diag(np.geomspace(1, 1 / condition, 6)) @ right * 14 + generator.normal(size=6)
    Y = X @ generator.normal(size=(6, n_targets)) + generator.normal(size=(200, n_targets))
    omega = generator.uniform(0.1, 3, 200) if weighted else None
    return RegressionProblem("conditioned", X, Y, omega)


def far(one: Trained, other: Trained, *, until: int | None = None) -> float:
    """Largest difference of two histories, as a part of the first loss."""
    pairs = ((one.history, other.history),)
    losses = [(a.train_loss[:until], b.train_loss[:until]) for a, b in pairs]
    if np.isfinite(one.history.eval_loss).all():
        losses += [(a.eval_loss[:until], b.eval_loss[:until]) for a, b in pairs]
    return max(float(np.abs(a - b).max()) for a, b in losses) / one.history.train_loss[0]


@pytest.mark.parametrize("way", STEADY)
@pytest.mark.parametrize("condition", [1e2, 1e4, 1e6, 1e8, 1e10])
@pytest.mark.parametrize("weighted", [False, True])
def test_histories_agree_at_every_condition(way: str, condition: float, *, weighted: bool) -> None:
    rows = conditioned(condition, weighted=weighted)

    eager, compressed = both(rows, **STEADY[way], max_epochs=1000, tol=0)

    assert (eager.outcome.engine, compressed.outcome.engine) == ("eager", "compressed")
    assert far(eager, compressed) <= 1e-12


@pytest.mark.parametrize("condition", [1e2, 1e6, 1e10])
def test_adam_agrees_until_the_gap_is_a_millionth(condition: float) -> None:
    rows = conditioned(condition)

    eager, compressed = both(rows, optimizer="adam", max_epochs=2000, tol=0)

    gap = eager.history.gap
    near = np.flatnonzero(gap <= 1e-6 * gap[0])
    assert far(eager, compressed, until=int(near[0]) if len(near) else None) <= 1e-12


@pytest.mark.parametrize("condition", [1e2, 1e4, 1e6, 1e8, 1e10])
def test_lbfgs_is_no_farther_than_the_order_of_the_rows_takes_it(condition: float) -> None:
    """It amplifies rounding: the same rows in other orders, uncompressed, end as far apart.

    One order may happen to end much closer: at a condition of 1e4 the reverse is 2e-5 away, nine
    others 9e-5 to 5e-4, and the compressed run 6e-4.
    """
    rows = conditioned(condition)
    rng = np.random.default_rng(0)
    orders = [np.arange(len(rows.X))[::-1], *(rng.permutation(len(rows.X)) for _ in range(4))]
    asked = {"optimizer": "lbfgs", "max_epochs": 60, "tol": 0}

    eager, compressed = both(rows, **asked)
    others = [train(replace(rows, X=rows.X[one], Y=rows.Y[one]), **asked) for one in orders]

    assert far(eager, compressed, until=14) <= 1e-12
    assert far(eager, compressed) <= 4 * max(far(eager, reordered) for reordered in others)


@pytest.mark.parametrize("condition", [2.0, 5.0])
def test_lbfgs_agrees_until_the_gap_is_a_millionth_where_that_is_soon(condition: float) -> None:
    eager, compressed = both(conditioned(condition), optimizer="lbfgs", max_epochs=60, tol=0)

    gap = eager.history.gap
    first = int(np.flatnonzero(gap <= 1e-6 * gap[0])[0])
    assert first > 3
    assert far(eager, compressed, until=first) <= 1e-12


@pytest.mark.parametrize("name", CATALOGUE)
def test_results_agree_in_original_units(name: str) -> None:
    eager, compressed = both(CATALOGUE[name](), max_epochs=200, tol=0)

    one, other = eager.outcome, compressed.outcome
    X, Y = CATALOGUE[name]().X, CATALOGUE[name]().Y
    fitted = X @ one.coef.T + one.intercept
    assert np.abs(fitted - X @ other.coef.T - other.intercept).max() <= 1e-11 * np.abs(Y).max()
    assert one.metrics.train_loss == pytest.approx(other.metrics.train_loss, rel=1e-9, abs=1e-20)
    assert one.metrics.n_samples == other.metrics.n_samples


def test_float32_trains_on_a_factor_made_in_float64() -> None:
    rows = random_problem("shifted", n_samples=300)
    shifted = replace(rows, X=rows.X + 1e6)

    eager = train(shifted, max_epochs=100, tol=0)
    compressed = train_batch(
        [factored(problem_of(shifted, max_epochs=100, tol=0, dtype="float32"))]
    )

    assert far(eager, compressed[0]) <= 1e-5


def test_problems_of_any_number_of_rows_train_side_by_side() -> None:
    tables = [random_problem(str(n), n_samples=n) for n in (20, 57, 400)]
    problems = [factored(problem_of(rows, max_epochs=50)) for rows in tables]

    together = train_batch(problems)

    for problem, trained in zip(problems, together, strict=True):
        alone = train_batch([problem])[0]
        assert alone.history.train_loss.tobytes() == trained.history.train_loss.tobytes()
        assert alone.outcome.coef.tobytes() == trained.outcome.coef.tobytes()


def test_a_checkpoint_of_other_rows_is_refused() -> None:
    rows = random_problem("any", n_samples=90)
    problem = factored(problem_of(rows, max_epochs=50))
    state, _ = training.advance(training.start([problem], "cpu", [None]), 10)
    saved = training.save(state, 0)

    other = factored(problem_of(replace(rows, Y=rows.Y + 1e-9), max_epochs=50))

    training.start([problem], "cpu", [saved])
    with pytest.raises(training.CheckpointMismatch):
        training.start([other], "cpu", [saved])


@st.composite
def designs(draw: st.DrawFn) -> RegressionProblem:
    """Any shape; dependent, constant and far-away columns; weights, some of them 0."""
    n, d, t = draw(st.integers(1, 30)), draw(st.integers(1, 6)), draw(st.integers(1, 3))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    X = generator.normal(size=(n, d)) * 10.0 ** generator.integers(-3, 4, d)
    kinds = draw(
        st.lists(st.sampled_from(["plain", "constant", "copy", "far"]), min_size=d, max_size=d)
    )
    for place, kind in enumerate(kinds):
        if kind == "constant":
            X[:, place] = 3.7
        elif kind == "copy":
            X[:, place] = X[:, 0]
        elif kind == "far":
            X[:, place] += 1e6 * np.abs(X[:, place]).max()
    omega = None
    if draw(st.booleans()):
        omega = generator.integers(0, 4, n).astype(np.float64)
        omega[0] = 1.0
    return RegressionProblem("drawn", X, generator.normal(size=(n, t)), omega)


@settings(deadline=None)  # the first call imports
@given(rows=designs(), way=st.sampled_from(list(STEADY)))
def test_histories_agree_on_any_table(rows: RegressionProblem, way: str) -> None:
    asked = {"standardize": True, **STEADY[way], "max_epochs": 40, "tol": 0}
    if "validation_fraction" in asked or not asked["standardize"]:
        asked = {"max_epochs": 40, "tol": 0}

    eager, compressed = both(rows, **asked)

    # Means of 1e6 spreads leave 1e-10 of a column's spread to the rounding of the rows themselves.
    assert far(eager, compressed) <= 1e-8


def metrics_apart(eager: Trained, compressed: Trained) -> dict[str, float]:
    """By figure, how far the metrics are apart, losses as a part of the first loss."""
    one, other = eager.outcome.metrics, compressed.outcome.metrics
    unit = one.initial_loss or 1.0
    names = ["initial_loss", "train_loss", "eval_loss", "objective", "best_loss"]
    names += ["min_loss", "min_objective", "gap"]
    found = {}
    for name in names:
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        found[name] = 0.0 if a is None else abs(a - b) / unit
    return found


@pytest.mark.parametrize("way", STEADY)
@pytest.mark.parametrize("name", [name for name in CATALOGUE if name != "one row"])
def test_metrics_and_certificate_are_those_of_the_rows(name: str, way: str) -> None:
    eager, compressed = both(CATALOGUE[name](), **STEADY[way], max_epochs=60, tol=0)

    one, other = eager.outcome.metrics, compressed.outcome.metrics
    apart = metrics_apart(eager, compressed)
    assert max(apart.values()) <= 1e-11, apart
    for figure in ("n_samples", "n_eval_samples", "epochs", "rank", "converged"):
        assert getattr(one, figure) == getattr(other, figure), figure
    if one.condition_number is None:
        assert other.condition_number is None
    else:
        # Longley's smallest singular value holds few digits as its columns stand.
        assert other.condition_number == pytest.approx(one.condition_number, rel=1e-6)
    if one.r2 is not None:
        assert other.r2 == pytest.approx(one.r2, abs=1e-11)
    assert (one.duality_gap is None) == (other.duality_gap is None)


@settings(deadline=None)
@given(rows=designs())
def test_gaps_and_minima_agree_on_any_table(rows: RegressionProblem) -> None:
    eager, compressed = both(rows, max_epochs=40, tol=0)

    gaps = eager.history.gap, compressed.history.gap
    unit = eager.history.train_loss[0]
    assert np.abs(gaps[0] - gaps[1]).max() <= 1e-8 * unit
    apart = metrics_apart(eager, compressed)
    # Losses of the weights as returned: on the rows their terms cancel, about the mean they do not.
    terms = np.abs(rows.X * eager.outcome.coef[:, np.newaxis]).max(initial=0.0)
    rounding = 64 * np.finfo(np.float64).eps * terms / np.sqrt(unit)
    for name, far_apart in apart.items():
        cancels = name in {"train_loss", "objective", "best_loss"}
        assert far_apart <= 1e-8 + (rounding + rounding**2 if cancels else 0), name
    assert eager.outcome.metrics.n_samples == compressed.outcome.metrics.n_samples == len(rows.X)


@pytest.mark.parametrize("absurd", [1e6, -1e12, 1e100])
def test_rows_of_weight_zero_may_hold_anything(absurd: float) -> None:
    rows = random_problem("weighted", n_samples=30, n_features=3)
    omega = np.ones(30)
    omega[::3] = 0
    X, Y = (np.where(omega[:, None] == 0, absurd, part) for part in (rows.X, rows.Y))
    spoiled = replace(rows, sample_weight=omega, X=X, Y=Y)
    kept = omega > 0
    without = replace(rows, X=rows.X[kept], Y=rows.Y[kept])

    asked = {"max_epochs": 50, "tol": 0}
    weighted = train_batch([factored(problem_of(spoiled, **asked))])[0]
    alone = train_batch([factored(problem_of(without, **asked))])[0]

    assert far(alone, weighted) <= 1e-12
    assert weighted.outcome.metrics.n_samples == 30
    np.testing.assert_allclose(weighted.outcome.coef, alone.outcome.coef, rtol=1e-11)


def test_fewer_rows_than_columns_and_a_constant_column_train_as_the_rows_do() -> None:
    generator = np.random.default_rng(9)
    X = generator.normal(size=(4, 9))
    X[:, 5] = 7.3
    rows = RegressionProblem("wide", X, generator.normal(size=(4, 2)))

    eager, compressed = both(rows, max_epochs=300, tol=0)

    assert far(eager, compressed) <= 1e-12
    np.testing.assert_allclose(compressed.outcome.coef, eager.outcome.coef, atol=1e-11)
    assert (compressed.outcome.coef[:, 5] == 0).all()
    assert compressed.outcome.metrics.rank == eager.outcome.metrics.rank == 4
