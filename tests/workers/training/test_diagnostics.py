"""Diagnostics against the plain formulas, and against statsmodels where it is installed."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from descend.diagnostics import Diagnostics, ResidualTest
from tests.problems import CATALOGUE, RegressionProblem, longley, random_problem
from workers.training.diagnostics import Block, Fitted, diagnostics
from workers.training.order_statistics import order_statistics

TESTS = ("curvature", "breusch_pagan", "tails")


def fitted(rows: RegressionProblem, *, fit_intercept: bool = True) -> Fitted:
    """Weighted least squares by lstsq."""
    root = 1.0 if rows.sample_weight is None else np.sqrt(rows.sample_weight)[:, None]
    design = design_of(rows) if fit_intercept else rows.X
    theta = np.linalg.lstsq(root * design, root * rows.Y, rcond=None)[0]
    intercept = theta[-1] if fit_intercept else np.zeros(rows.Y.shape[1])
    return Fitted(theta[: rows.X.shape[1]].T, intercept, rows.targets, fit_intercept)


def design_of(rows: RegressionProblem) -> np.ndarray:
    return np.column_stack([rows.X, np.ones(len(rows.X))])


def cut(rows: RegressionProblem, size: int) -> Callable[[], Iterator[Block]]:
    def blocks() -> Iterator[Block]:
        for begin in range(0, len(rows.X), size):
            part = slice(begin, begin + size)
            omega = rows.sample_weight
            yield rows.X[part], rows.Y[part], None if omega is None else omega[part]

    return blocks


def diagnosed(
    rows: RegressionProblem, model: Fitted, *, size: int = 7, **more: object
) -> Diagnostics:
    return diagnostics(cut(rows, size), model, seed=1, **more)  # type: ignore[arg-type]


def bent(n: int = 400) -> RegressionProblem:
    """A target with a square in it, and noise that grows."""
    rng = np.random.default_rng(5)
    X = rng.uniform(0, 3, size=(n, 2))
    noise = rng.standard_t(3, size=(n, 1)) * (0.2 + X[:, :1])
    return RegressionProblem("bent", X, X[:, :1] + 2.0 * X[:, :1] ** 2 - X[:, 1:] + noise)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("name", ["well conditioned", "weighted", "shifted and scaled", "longley"])
def test_rows_have_the_residuals_and_leverages_of_the_hat_matrix(name: str, size: int) -> None:
    rows = CATALOGUE[name]()
    omega = np.ones(len(rows.X)) if rows.sample_weight is None else rows.sample_weight
    whitened = np.sqrt(omega)[:, None] * design_of(rows)
    Q, _ = np.linalg.qr(whitened / np.linalg.norm(whitened, axis=0))
    h = np.square(Q).sum(axis=1)
    model = fitted(rows)
    e = rows.Y[:, 0] - design_of(rows) @ np.append(model.coef[0], model.intercept)
    rank, n = Q.shape[1], int((omega > 0).sum())
    s = np.sqrt((omega * e**2).sum() / (n - rank))
    r = np.sqrt(omega) * e / (s * np.sqrt(1 - h))

    told = diagnosed(rows, model, size=size)

    (target,) = told.targets
    assert (told.rank, told.df_residual, told.n_samples) == (rank, n - rank, len(rows.X))
    assert target.residual_sd == pytest.approx(s, rel=1e-9)
    assert sorted(row.row for row in target.rows) == list(range(1, len(rows.X) + 1))
    for row in target.rows:
        assert row.leverage == pytest.approx(h[row.row - 1], rel=1e-7, abs=1e-12)
        assert row.residual == pytest.approx(e[row.row - 1], rel=1e-7, abs=1e-9 * s)
        if omega[row.row - 1] > 0:
            assert row.std_residual == pytest.approx(r[row.row - 1], rel=1e-6, abs=1e-9)
            cooks = r[row.row - 1] ** 2 * h[row.row - 1] / ((1 - h[row.row - 1]) * rank)
            assert row.cooks == pytest.approx(cooks, rel=1e-6, abs=1e-12)
    assert target.max_cooks == pytest.approx(max(row.cooks or 0 for row in target.rows))
    assert target.max_leverage == pytest.approx(h.max(), rel=1e-7)
    assert target.outliers == (np.abs(r[omega > 0]) > 3).sum()
    assert target.high_leverage == (h > 2 * rank / n).sum()


@pytest.mark.parametrize("rows", [longley(), bent(), random_problem("any", n_samples=200)])
def test_the_tests_are_those_of_statsmodels(rows: RegressionProblem) -> None:
    pytest.importorskip("statsmodels", reason="the oracle is not installed")
    from statsmodels.regression.linear_model import OLS
    from statsmodels.stats.diagnostic import het_breuschpagan, linear_reset
    from statsmodels.stats.outliers_influence import OLSInfluence
    from statsmodels.stats.stattools import jarque_bera

    fit = OLS(rows.Y[:, 0], np.column_stack([np.ones(len(rows.X)), rows.X])).fit()
    reset = linear_reset(fit, power=2, use_f=True)
    expected = {
        "curvature": (float(reset.fvalue), float(reset.pvalue)),
        "breusch_pagan": het_breuschpagan(fit.resid, fit.model.exog)[:2],
        "tails": jarque_bera(fit.resid)[:2],
    }
    model = Fitted(fit.params[None, 1:], fit.params[:1], rows.targets, fit_intercept=True)

    (target,) = diagnosed(rows, model).targets

    assert {test.name for test in target.tests} == set(TESTS)
    for test in target.tests:
        statistic, p = expected[test.name]
        assert test.statistic == pytest.approx(statistic, rel=1e-5), test.name
        assert test.p == pytest.approx(p, rel=1e-4), test.name
    influence = OLSInfluence(fit)
    by_row = sorted(target.rows, key=lambda row: row.row)
    ours = [row.std_residual for row in by_row]
    np.testing.assert_allclose(ours, influence.resid_studentized_internal, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(
        [row.cooks for row in by_row], influence.cooks_distance[0], rtol=1e-6, atol=1e-12
    )


def p_of(name: str, tests: list[ResidualTest]) -> float:
    (found,) = [test.p for test in tests if test.name == name]
    assert found is not None
    return found


def test_each_test_sees_its_effect_and_nothing_where_there_is_none() -> None:
    effects = bent()
    plain = random_problem("plain", n_samples=400, n_features=2)

    (seen,) = diagnosed(effects, fitted(effects)).targets
    (unseen,) = diagnosed(plain, fitted(plain)).targets

    for name in TESTS:
        assert p_of(name, seen.tests) < 1e-3, name
        assert p_of(name, unseen.tests) > 0.05, name


def test_tests_are_the_same_in_any_blocks_and_for_each_of_several_targets() -> None:
    rows = random_problem("any", n_samples=300, n_targets=3)
    together = diagnosed(rows, fitted(rows), size=1000)

    for place in range(3):
        alone = replace(rows, Y=rows.Y[:, [place]], targets=())
        (target,) = diagnosed(alone, fitted(alone), size=13).targets
        for one, other in zip(together.targets[place].tests, target.tests, strict=True):
            assert one.statistic == pytest.approx(other.statistic, rel=1e-8)


def test_held_out_rows_are_told_and_not_counted() -> None:
    rows = random_problem("any", n_samples=60)
    held = np.arange(60) % 4 == 0
    kept = replace(rows, X=rows.X[~held], Y=rows.Y[~held])
    model = fitted(kept)

    told = diagnosed(rows, model, held=held)

    alone = diagnosed(kept, model)
    assert (told.n_samples, told.n_eval_samples) == (45, 15)
    assert told.targets[0].residual_sd == pytest.approx(alone.targets[0].residual_sd)
    told_at, alone_at = told.targets[0].quantiles, alone.targets[0].quantiles
    assert told_at is not None
    assert alone_at is not None
    np.testing.assert_allclose(told_at.std_residual, alone_at.std_residual, rtol=1e-10)
    split = {row.row: row.split for row in told.targets[0].rows}
    assert [split[row] == "eval" for row in range(1, 61)] == held.tolist()
    assert all(row.cooks is None for row in told.targets[0].rows if row.split == "eval")


def test_a_smaller_sample_is_the_beginning_of_a_larger_one() -> None:
    rows = random_problem("any", n_samples=3000)
    model = fitted(rows)

    few = diagnosed(rows, model, size=500, points=100)
    many = diagnosed(rows, model, size=77, points=900)

    assert few.sampled
    assert [row.row for row in few.targets[0].rows] == [r.row for r in many.targets[0].rows][:100]
    thin = many.thinned("mdl_1", 100)
    assert {r.row for r in thin.targets[0].rows} == {r.row for r in few.targets[0].rows}


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_problem_has_diagnostics_that_can_be_written(name: str) -> None:
    rows = CATALOGUE[name]()

    told = diagnosed(rows, fitted(rows))

    assert Diagnostics.model_validate_json(told.model_dump_json()) == told


@pytest.mark.parametrize("kept", [10, 5_000_000])
def test_order_statistics_are_those_of_the_sorted_numbers(kept: int) -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [rng.normal(size=5000), rng.normal(size=300) * 1e300, np.full(400, 0.1), [0.0, -0.0]]
    )
    rng.shuffle(values)
    ranks = np.unique(np.linspace(0, len(values) - 1, 101).astype(int))

    found = order_statistics(lambda: np.array_split(values, 9), ranks.tolist(), kept=kept)

    assert found.tolist() == np.sort(values)[ranks].tolist()


def test_quantiles_out_of_memory_are_those_in_memory() -> None:
    rows = random_problem("any", n_samples=3000)
    model = fitted(rows)

    small = diagnosed(rows, model, size=500, kept=50)

    assert small.targets[0].quantiles == diagnosed(rows, model, size=500).targets[0].quantiles
