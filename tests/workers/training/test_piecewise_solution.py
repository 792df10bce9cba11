"""`optimizer: exact` under huber, absolute and quantile loss, as the worker solves it."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from pydantic import ValidationError

from descend.jobs import Hyperparameters, StopReason
from tests.problems import CATALOGUE, RegressionProblem, outliers, random_problem
from tests.workers.training.trained import problem_of
from workers import training
from workers.training.losses import Loss
from workers.training.outcome import unproved
from workers.training.plan import plan
from workers.training.setup import prepare

LOSSES: dict[str, dict[str, object]] = {
    "huber": {"loss": "huber", "huber_delta": 0.7},
    "absolute": {"loss": "absolute"},
    "quantile": {"loss": "quantile", "quantile": 0.2},
}
WAYS: dict[str, dict[str, object]] = {
    "defaults": {},
    "as it is": {"standardize": False},
    "no intercept": {"fit_intercept": False},
    "held out": {"validation_fraction": 0.25},
}


def solved(rows: RegressionProblem, **asked: object) -> training.TrainingOutcome:
    history, outcome = training.solve_exactly(problem_of(rows, optimizer="exact", **asked))
    assert len(history) == history.total == 1
    assert history.train_loss[0] == outcome.metrics.train_loss
    return outcome


@pytest.mark.parametrize("scale", [1e-3, 1e6])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_perfect_fits_rounding_is_not_said_to_be_far_from_the_minimum(
    loss: str, scale: float
) -> None:
    rng = np.random.default_rng(7)
    X = rng.normal(size=(60, 4))
    y = scale * (X @ rng.normal(size=4)) + 1e4

    outcome = solved(RegressionProblem("perfect", X, y[:, None]), **LOSSES[loss])

    assert outcome.metrics.converged is not False
    assert outcome.metrics.converged or "the fit is perfect" in " ".join(outcome.warnings)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_unproved_loss_is_no_minimum_unless_it_is_rounding(loss: str) -> None:
    """Whether the proof of a perfect fit succeeds depends on how a kernel rounds."""
    X = np.random.default_rng(7).normal(size=(60, 4))
    perfect = RegressionProblem("perfect", X, 1e-3 * X[:, :1] + 1e4)

    setup, _ = prepare(problem_of(perfect, **LOSSES[loss]))

    assert unproved(setup, 0.0) is None
    assert unproved(setup, setup.rounding) is None
    assert unproved(setup, 2 * setup.rounding) is False


PAIRS = [(name, "defaults") for name in CATALOGUE] + [
    (name, way) for name in ("weighted", "rank deficient") for way in WAYS if way != "defaults"
]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("name", "way"), PAIRS)
def test_every_problem_is_solved_and_proved(name: str, loss: str, way: str) -> None:
    rows = CATALOGUE[name]()
    outcome = solved(rows, **LOSSES[loss], **WAYS[way])

    metrics = outcome.metrics
    assert outcome.stop_reason is StopReason.SOLVED
    assert outcome.engine == "exact"
    assert metrics.converged
    assert metrics.min_loss is not None
    assert metrics.train_loss is not None
    assert metrics.gap is not None
    rounding = 1e-13 * np.abs(rows.Y).max() ** (2 if loss == "huber" else 1)
    assert metrics.train_loss - metrics.min_loss <= 1e-9 * metrics.train_loss + rounding
    assert (metrics.eval_loss is None) == (metrics.n_eval_samples == 0)
    dependent = any("the columns are dependent" in told for told in outcome.warnings)
    assert dependent == (metrics.rank < rows.X.shape[1] + (way != "no intercept"))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_offsets_and_scales_of_the_target_leave_the_minimum_found(
    scale: float, offset: float, loss: str
) -> None:
    plain = outliers()
    rows = replace(plain, Y=plain.Y * scale + offset)
    asked = dict(LOSSES[loss])
    if loss == "huber":
        asked["huber_delta"] = 0.7 * scale

    found = solved(rows, **asked).metrics

    unit = scale**2 if loss == "huber" else scale
    known = solved(plain, **LOSSES[loss]).metrics
    assert found.converged
    assert found.train_loss == pytest.approx((known.train_loss or 0) * unit, rel=1e-6)
    # of 1e6 the last digit is 1e-10
    near = 1e-9 if offset <= 1e3 * scale else 1e-7
    assert (found.gap or 0) <= near * (found.min_loss or 0)


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.9])
def test_quantiles_are_not_above_those_of_statsmodels(quantile: float) -> None:
    rows = outliers()
    peer = sm.QuantReg(rows.Y[:, 0], sm.add_constant(rows.X, prepend=False)).fit(q=quantile)

    outcome = solved(rows, loss="quantile", quantile=quantile)

    loss = Loss("quantile", quantile=quantile)
    theirs = loss.values(sm.add_constant(rows.X, prepend=False) @ peer.params - rows.Y[:, 0]).mean()
    assert outcome.metrics.train_loss is not None
    assert outcome.metrics.train_loss <= theirs
    assert outcome.metrics.train_loss == pytest.approx(theirs, rel=1e-4)
    np.testing.assert_allclose(outcome.coef[0], peer.params[:-1], atol=0.02)


def test_huber_is_statsmodels_rlm_at_its_scale() -> None:
    rows = outliers()
    A = sm.add_constant(rows.X, prepend=False)
    model = sm.RLM(rows.Y[:, 0], A, M=sm.robust.norms.HuberT(t=2.0))
    peer = model.fit(update_scale=False, tol=1e-13, maxiter=500)

    outcome = solved(rows, loss="huber", huber_delta=2.0 * float(peer.scale))

    np.testing.assert_allclose(outcome.coef[0], peer.params[:-1], rtol=1e-7)
    assert outcome.intercept[0] == pytest.approx(peer.params[-1], rel=1e-7)


def test_a_range_of_minimisers_is_told_with_the_point_that_is_given() -> None:
    X, Y = np.repeat([[1.0], [2.0]], 2, axis=0), np.array([[0.0], [1.0], [5.0], [6.0]])
    rows = RegressionProblem("interval", X, Y)

    range_of = solved(rows, loss="absolute").warnings
    alone = solved(outliers(), loss="absolute").warnings
    apart = solved(rows, loss="huber", huber_delta=0.1).warnings
    two = solved(replace(rows, Y=np.column_stack([Y, X]), targets=("a", "b")), loss="absolute")

    assert [told for told in range_of if "a corner, where 2 rows are fitted exactly" in told]
    assert alone == ()
    assert [told for told in apart if "raise huber_delta" in told]
    assert [told for told in two.warnings if told.startswith("the least loss of a is")]


@pytest.mark.parametrize(
    ("asked", "named", "cure"),
    [
        ({"loss": "huber", "l1": 0.1}, "l1", {"l2": 0.1, "l1": 0}),
        ({"loss": "absolute", "l2": 0.1}, "l2", {"l1": 0.1, "l2": 0}),
        ({"loss": "quantile", "l2": 0.1}, "l2", {"optimizer": "adam"}),
    ],
)
def test_a_penalty_without_a_proof_is_refused_with_a_cure_that_is_taken(
    asked: dict[str, object], named: str, cure: dict[str, object]
) -> None:
    given = {"optimizer": "exact", **asked}

    with pytest.raises(ValidationError, match=f"exact solves .* not with {named}"):
        Hyperparameters.model_validate(given)

    assert Hyperparameters.model_validate(given | cure)


def test_repeated_columns_are_named_with_a_remedy_that_exact_takes() -> None:
    plain = random_problem("twins", seed=4)
    X = np.column_stack([plain.X, plain.X[:, 0] + 1e-9 * plain.X[:, 1]])
    rows = RegressionProblem("twins", X, plain.Y)

    told = " ".join(solved(rows, loss="absolute").warnings)

    assert "repeat each other" in told
    assert "add l1" in told
    assert "l2" not in told
    assert solved(rows, loss="absolute", l1=0.01).metrics.converged


@pytest.mark.parametrize("loss", LOSSES)
def test_a_plan_of_exact_knows_the_minimum(loss: str) -> None:
    problem = problem_of(outliers(), optimizer="exact", **LOSSES[loss])

    told = plan(problem, "cpu")

    assert told.min_loss == pytest.approx(solved(outliers(), **LOSSES[loss]).metrics.train_loss)
    assert told.minimum_refused is None
    assert told.modes == []
