"""A constant that no intercept gives but the columns do: R2, F and df are statsmodels' then."""

import numpy as np
import pytest
import statsmodels.api as sm

from tests.problems import Floats, RegressionProblem
from tests.workers.training.trained import problem_of
from workers import training
from workers.training.constant import holds_constant
from workers.training.factor import factor
from workers.training.mapped import Mapped
from workers.training.samples import Rows
from workers.training.setup import prepare
from workers.training.statistics import Inference, infer

RNG = np.random.default_rng(17)
LEVELS = RNG.integers(0, 4, 60)
SHARES = RNG.dirichlet(np.ones(40), 200)
FAR = 1e6 + RNG.normal(size=(60, 1))

DESIGNS: dict[str, tuple[Floats, bool]] = {
    "all dummies": (np.eye(4)[LEVELS], True),
    "dummies but one": (np.eye(4)[LEVELS][:, 1:], False),
    "a column of ones": (np.column_stack([RNG.normal(size=60), np.ones(60)]), True),
    "a column of one large value": (np.column_stack([RNG.normal(size=60), np.full(60, 3e7)]), True),
    "shares of a whole": (SHARES, True),
    "shares but one": (SHARES[:, 1:], False),
    "columns far from 0": (np.column_stack([FAR, RNG.normal(size=60)]), False),
    "two that differ by 2": (np.column_stack([FAR, FAR + 2]), True),
    "a column of zeros": (np.zeros((5, 1)), False),
    "scales far apart": (np.eye(4)[LEVELS] * [1e-9, 1, 1e6, 1e12], True),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", DESIGNS)
def test_a_constant_among_the_columns_is_found_in_every_form(name: str, *, weighted: bool) -> None:
    X, constant = DESIGNS[name]
    Y, omega = X[:, :1] + 1, np.linspace(0, 2, len(X)) if weighted else None
    rows = Rows(X, Y, omega)

    assert holds_constant(rows) is constant
    assert holds_constant(training.Factored(factor([(X, Y, omega)]))) is constant
    assert holds_constant(Mapped(X, Y, omega).observed) is constant


def test_rows_beyond_the_sample_have_their_say() -> None:
    X = np.column_stack([np.ones(100), np.linspace(0, 1, 100)])
    hole = X.copy()
    hole[33, 0] = 0.5

    assert holds_constant(Mapped(X, X, None, thin_rows=8))
    assert not holds_constant(Mapped(hole, hole, None, thin_rows=8))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["all dummies", "a column of ones", "shares of a whole"])
def test_figures_about_a_hidden_constant_equal_statsmodels(name: str, *, weighted: bool) -> None:
    X, _ = DESIGNS[name]
    y = 100 + RNG.normal(size=len(X))
    omega = RNG.uniform(0.5, 2, len(X)) if weighted else None

    found = infer(factor([(X, y[:, np.newaxis], omega)]), fit_intercept=False)

    assert isinstance(found, Inference)
    fit = (sm.OLS(y, X) if omega is None else sm.WLS(y, X, weights=omega)).fit()
    (target,) = found.targets
    assert fit.model.k_constant == 1
    assert (found.df_model, found.df_residual) == (fit.df_model, fit.df_resid)
    assert target.r2 == pytest.approx(fit.rsquared, rel=1e-6)
    assert target.adjusted_r2 == pytest.approx(fit.rsquared_adj, rel=1e-6)
    assert target.f == pytest.approx(fit.fvalue, rel=1e-6)
    assert target.f_p == pytest.approx(fit.f_pvalue, rel=1e-6)


def test_a_constant_alone_has_no_f() -> None:
    y = 100 + RNG.normal(size=(9, 1))

    found = infer(factor([(np.ones((9, 1)), y, None)]), fit_intercept=False)

    assert isinstance(found, Inference)
    assert found.df_model == 0
    assert found.targets[0].r2 == pytest.approx(0, abs=1e-12)
    assert found.targets[0].f is None
    assert found.targets[0].f_p is None


@pytest.mark.parametrize("asked", [{}, {"loss": "huber"}, {"batch_size": 4}], ids=str)
def test_r2_of_a_training_compares_with_the_same(asked: dict[str, object]) -> None:
    X, y = np.eye(4)[LEVELS], 100 + RNG.normal(size=(60, 1))
    hidden = RegressionProblem("dummies", X, y)
    none = RegressionProblem("one dummy less", X[:, 1:], y)

    about_mean, _ = prepare(problem_of(hidden, fit_intercept=False, **asked))
    about_zero, _ = prepare(problem_of(none, fit_intercept=False, **asked))

    assert about_mean.baseline == pytest.approx(y.var())
    assert about_zero.baseline == pytest.approx(np.square(y).mean())


def test_what_varies_in_its_last_digit_alone_has_no_r2() -> None:
    y = np.array([[1e9], [1e9], [np.nextafter(1e9, 2e9)], *[[1e9]] * 60])

    setup, _ = prepare(problem_of(RegressionProblem("flat", np.arange(63.0)[:, None], y)))

    assert setup.baseline == 0
    assert setup.variance > 0
