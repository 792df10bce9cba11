"""Numbers at the ends of float64: each ends in what is right, or in a refusal that names it."""

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descend.errors import InvalidInput
from descend.hyperparameters import InitialWeights
from descend.jobs import JobKind, StopReason
from tests.workers.extremes import Drawn, as_float, assigned, drawn, ended
from tests.workers.tables import assignment, written
from workers.answers import answer
from workers.loading import load_problem
from workers.reports import Entry

SEEDS = range(140)
EPS = float(np.finfo(np.float64).eps)
RAMP = [[1.0], [2.0], [3.0], [4.0]]
BENT = [1.0, 2.0, 3.0, 4.5]


def solved(tmp_path: Path, X: object, y: object, **asked: Any) -> Entry:
    weights = {"sample_weight": asked.pop("sample_weight")} if "sample_weight" in asked else {}
    body = {
        "dataset": {"X": X, "y": y} | weights,
        "hyperparameters": {"optimizer": "exact"} | asked,
    }
    return ended(assigned(body), tmp_path)


def entries(tmp_path: Path) -> Iterator[tuple[int, Drawn, Entry]]:
    """Every drawn job that is not refused."""
    for seed in SEEDS:
        job = drawn(seed)
        with suppress(InvalidInput):
            yield seed, job, ended(assigned(job.body), tmp_path)


def test_drawn_trainings_end_by_name_and_tell_no_false_number(tmp_path: Path) -> None:
    counted = {"checked": 0, "converged": 0}

    for seed, job, entry in entries(tmp_path):
        assert entry.error is None or entry.error.code in {"diverged", "invalid_input"}, seed
        squared = job.hyperparameters.get("loss", "squared") == "squared"
        if entry.coef is None or not squared or "validation_fraction" in job.hyperparameters:
            continue
        counted["checked"] += 1
        check(seed, job, entry)
        counted["converged"] += bool(entry.metrics and entry.metrics.converged)

    assert counted["checked"] > 35
    assert counted["converged"] > 12


def check(seed: int, job: Drawn, entry: Entry) -> None:
    """Hold the losses, R2 and `converged` against rational arithmetic."""
    assert entry.coef is not None
    assert entry.intercept is not None
    assert entry.metrics is not None
    metrics, coef, intercept = entry.metrics, entry.coef.tolist(), entry.intercept.tolist()
    true, variance = job.loss(coef, intercept), as_float(job.variance())
    size = max(max(map(abs, row)) for row in job.Y)
    terms = [abs(w) * abs(x) for row in job.X for w, x in zip(coef[0], row, strict=True)]
    single = job.hyperparameters.get("dtype") == "float32"
    noise = ((1e-6 if single else 1e-13) * max(size, *terms, *map(abs, intercept))) ** 2
    assert metrics.train_loss == pytest.approx(as_float(true), rel=1e-6, abs=noise), seed
    if "l1" in job.hyperparameters or "l2" in job.hyperparameters:
        return
    least = as_float(job.least_loss())
    if metrics.min_loss is not None:
        assert metrics.min_loss == pytest.approx(least, rel=1e-5, abs=noise), seed
    if metrics.converged:
        first = metrics.initial_loss or 0.0
        allowed = (1 + 2e-6) * least + 1e-8 * (variance or first) + noise
        assert as_float(true) <= allowed, seed


@pytest.mark.parametrize("kind", [JobKind.PLAN, JobKind.GRADIENTS, JobKind.DIAGNOSTICS])
def test_drawn_questions_end_by_name(kind: JobKind, tmp_path: Path) -> None:
    answered = 0

    for seed in SEEDS[:80]:
        with suppress(InvalidInput):
            job = replace(assigned(drawn(seed).body), kind=kind)
            if kind is JobKind.DIAGNOSTICS:
                h = job.hyperparameters
                coef = [[0.5] * len(job.features) for _ in job.targets]
                init = InitialWeights(coef=coef, features=list(job.features))
                job = replace(job, hyperparameters=h.model_copy(update={"init": init}))
            entry = answer(job, alive=lambda: None, scratch=tmp_path)
            assert entry.result is not None
            json.loads(entry.result, parse_constant=pytest.fail)
            answered += 1

    assert answered > 20


@pytest.mark.parametrize("unit", [1e300, 2.0**1019, 1e-323, 5e-310, 1e150])
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"l2": 0.1},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "batch_size": 2, "max_epochs": 20},
    ],
    ids=str,
)
def test_only_the_ratio_of_weights_counts(
    unit: float, asked: dict[str, Any], tmp_path: Path
) -> None:
    plain = [1.0, 2.0, 3.0, 9.0]

    scaled = solved(tmp_path, RAMP, BENT, sample_weight=[w * unit for w in plain], **asked)

    usual = solved(tmp_path, RAMP, BENT, sample_weight=plain, **asked)
    near = 0.5 if unit == 5e-324 else 1e-9 if unit > 1e-300 else 0.02
    assert scaled.coef == pytest.approx(usual.coef, rel=near)
    assert scaled.intercept == pytest.approx(usual.intercept, rel=near)
    assert scaled.metrics is not None
    assert usual.metrics is not None
    assert scaled.metrics.train_loss == pytest.approx(usual.metrics.train_loss, rel=0.1)
    assert scaled.metrics.r2 == pytest.approx(usual.metrics.r2, rel=1e-3)


def test_figures_of_extreme_weights_are_in_their_own_unit(tmp_path: Path) -> None:
    plain, unit = [1.0, 2.0, 3.0, 9.0], 2.0**1018

    scaled = solved(tmp_path, RAMP, BENT, sample_weight=[w * unit for w in plain])

    usual = solved(tmp_path, RAMP, BENT, sample_weight=plain)
    assert scaled.statistics is not None
    assert usual.statistics is not None
    one, other = scaled.statistics.targets[0], usual.statistics.targets[0]
    assert one.std_errors == {k: pytest.approx(v, rel=1e-9) for k, v in other.std_errors.items()}
    assert other.residual_sd is not None
    assert one.residual_sd == pytest.approx(other.residual_sd * 2.0**509, rel=1e-9)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-9)
    assert scaled.covariance is not None
    assert usual.covariance is not None
    roots = [np.frombuffer(entry.covariance or b"")[-4:] for entry in (scaled, usual)]
    np.testing.assert_allclose(roots[0] * 2.0**509, roots[1], rtol=1e-9)


def test_a_kept_factor_remembers_the_unit_of_its_weights(tmp_path: Path) -> None:
    weights = [1e300, 2e300, 3e300, 9e300]
    path = written(tmp_path / "t.arrow", {"x": [1.0, 2, 3, 4], "y": BENT, "w": weights})
    job = assignment(path, ("x",), weight="w", factors=tmp_path / "factors")

    first, second = load_problem(job), load_problem(job)

    assert list((tmp_path / "factors").glob("*.factor"))
    assert first.problem.weight_unit == second.problem.weight_unit == 2.0**998
    np.testing.assert_array_equal(
        first.problem.trained.digest(), second.problem.trained.digest(), strict=True
    )


@pytest.mark.parametrize("asked", [{}, {"loss": "huber"}, {"batch_size": 2}], ids=str)
def test_rows_to_validate_on_that_all_weigh_nothing_leave_eval_loss_empty(
    asked: dict[str, Any], tmp_path: Path
) -> None:
    data = {
        "X": [[float(x)] for x in range(6)],
        "y": [1, 2, 3, 4, 5, 6.5],
        "sample_weight": [1, 1, 1, 0, 0, 0],
    }
    held = {"validation_fraction": 0.17, "seed": 1}

    entry = ended(assigned({"dataset": data, "hyperparameters": held | asked}), tmp_path)

    assert entry.metrics is not None
    assert entry.metrics.eval_loss is None
    assert "every row to validate on has weight 0: eval_loss is empty" in entry.warnings
    assert not any("too few rows" in warning for warning in entry.warnings)


@pytest.mark.parametrize("asked", [{}, {"loss": "huber"}, {"batch_size": 2}], ids=str)
def test_rows_to_train_on_that_all_weigh_nothing_are_refused_with_the_cure(
    asked: dict[str, Any], tmp_path: Path
) -> None:
    data = {"X": [[1], [2], [3]], "y": [1, 2, 4], "sample_weight": [0, 1, 0]}
    held = {"validation_fraction": 0.33, "seed": 2}
    job = assigned({"dataset": data, "hyperparameters": held | asked})

    with pytest.raises(InvalidInput, match="every row left to train on has weight 0") as refused:
        ended(job, tmp_path)

    assert "another seed" in refused.value.message
    assert refused.value.param == "hyperparameters.validation_fraction"


@pytest.mark.parametrize("size", [1e-300, 1e-170, 2e160, 1e305])
@pytest.mark.parametrize("optimizer", ["exact", "sgd", "adam"])
def test_a_column_beyond_squares_is_named_with_what_to_do(
    size: float, optimizer: str, tmp_path: Path
) -> None:
    X = [[a, b * size] for a, b in [(1, 2), (2, 5), (3, 1), (4, 0), (5, 3)]]
    y = [1.2, 1.9, 3.1, 4.2, 4.8]
    asked = {"optimizer": optimizer, "standardize": False}

    with pytest.raises(InvalidInput, match="squares of column 'x1'") as refused:
        ended(assigned({"dataset": {"X": X, "y": y}, "hyperparameters": asked}), tmp_path)

    assert refused.value.param == "x1"
    exponent = int(refused.value.message.rsplit("1e", 1)[1])
    for cure in (
        asked | {"standardize": True},
        asked | {"X": [[a, b * 10.0**exponent] for a, b in X]},
    ):
        given = {"X": cure.pop("X", X), "y": y}
        entry = ended(assigned({"dataset": given, "hyperparameters": cure}), tmp_path)
        named = entry.error is None or "beyond the range of float64" in entry.error.message
        assert named, entry.error


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute"])
@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_a_target_beyond_squares_is_named_whatever_the_loss(
    size: float, loss: str, tmp_path: Path
) -> None:
    data = {"X": RAMP, "y": [v * size for v in BENT]}

    with pytest.raises(InvalidInput, match=r"column 'y' .*: multiply 'y' by 1e"):
        ended(assigned({"dataset": data, "hyperparameters": {"loss": loss}}), tmp_path)


def test_what_only_float32_cannot_square_is_sent_to_float64(tmp_path: Path) -> None:
    data = {"X": RAMP, "y": [v * 1e25 for v in BENT]}

    with pytest.raises(InvalidInput, match="range of float32: use dtype float64"):
        ended(assigned({"dataset": data, "hyperparameters": {"dtype": "float32"}}), tmp_path)

    assert ended(assigned({"dataset": data}), tmp_path).metrics.converged  # type: ignore[union-attr]


def test_weights_too_small_for_the_units_of_x_are_an_error_that_names_the_column(
    tmp_path: Path,
) -> None:
    entry = solved(tmp_path, [[1e307], [2e307], [3e307]], [1e-12, 2e-12, 4e-12])

    assert entry.stop_reason is StopReason.ERROR
    assert entry.error is not None
    assert entry.error.message.startswith("in the units of X the coefficients of x0 are too small")
    assert entry.error.param == "x0"


def test_exact_says_what_the_units_of_x_cost_it(tmp_path: Path) -> None:
    X = [[9007199254740992.0], [9007199254740996.0], [9007199254741004.0]]

    entry = solved(tmp_path, X, [1, 3, 6])

    assert entry.metrics is not None
    assert entry.metrics.min_loss == pytest.approx(1 / 42)
    assert entry.metrics.train_loss == pytest.approx(1 / 12)
    assert entry.metrics.gap == pytest.approx(1 / 12 - 1 / 42)
    assert not entry.metrics.converged
    (warning,) = [one for one in entry.warnings if "rounding of the weights" in one]
    assert "x0 vary little about values far from 0; subtract a constant" in warning
    moved = solved(tmp_path, [[x[0] - X[0][0]] for x in X], [1, 3, 6])
    assert moved.metrics is not None
    assert moved.metrics.converged


def test_a_refinement_that_makes_it_worse_is_not_taken(tmp_path: Path) -> None:
    """Of weights 1e24 apart twice the precision sees nothing of the lighter rows."""
    x = 6.361473045816787e30
    X = [[x], [x - 4e15], [x - 12e15], [x - 15e15], [x - 9e15], [x - 1e15]]
    y = [18464298.64, 18575306.45, 18482799.94, 18538303.84, 18482799.94, 18427296.04]
    weights = [3.3e161, 5.7e290, 8.6e266, 6e-4, 8.9e-204, 1.9e-293]

    entry = solved(tmp_path, X, y, sample_weight=weights)

    assert entry.metrics is not None
    assert entry.metrics.train_loss is not None
    assert entry.metrics.train_loss < 1e10


def test_a_step_that_ends_beyond_float64_is_a_divergence_not_a_success(tmp_path: Path) -> None:
    data = {"X": [[-1.5e117], [-2.3e117], [-2.4e116]], "y": [4.7e9, -7.4e8, -2.2e9]}
    asked = {"max_epochs": 1, "learning_rate": 0.87, "standardize": False}

    entry = ended(assigned({"dataset": data, "hyperparameters": asked}), tmp_path)

    assert entry.stop_reason is StopReason.DIVERGED
    assert entry.coef is None


def test_null_in_x_or_y_is_a_missing_cell(tmp_path: Path) -> None:
    table = {"columns": {"x0": [1, None, 3, 4, 5], "y": [1, 2, 3, 4.5, None]}}
    arrays = {"X": [[1], [None], [3], [4], [5]], "y": [1, 2, 3, 4.5, None]}
    asked = {"missing": "drop", "hyperparameters": {"optimizer": "exact"}}

    one = ended(assigned({"dataset": arrays} | asked), tmp_path)
    other = ended(assigned({"dataset": table, "target": "y"} | asked), tmp_path)

    assert one.coef is not None
    assert one.coef.tolist() == other.coef.tolist()  # type: ignore[union-attr]
    assert "2 of 5 rows have missing cells and are left out" in one.warnings
    with pytest.raises(InvalidInput, match="has 1 missing cell: set missing to"):
        assigned({"dataset": arrays})


def test_the_spread_of_a_target_is_not_the_rounding_of_its_mean(tmp_path: Path) -> None:
    y = [42983.93708052884, 42983.93708052905, 42983.93708052914, 42983.93708052901]
    job = Drawn([[0.0]] * 4, [[v] for v in y], [1.0, 1.0, 1.0, 2.0], {"loss": "huber"})

    problem = load_problem(assigned(job.body)).problem

    assert problem.trained.moments()[0] == pytest.approx(float(job.variance()), rel=1e-9)
    assert math.sqrt(problem.trained.moments()[0]) < 100 * EPS * 42983


def test_metrics_and_summary_tell_one_r2(tmp_path: Path) -> None:
    compared = 0
    for seed, _, entry in entries(tmp_path):
        if entry.statistics is None or len(entry.statistics.targets) > 1:
            continue
        assert entry.metrics is not None
        assert entry.statistics.targets[0].r2 == entry.metrics.r2, seed
        compared += entry.metrics.r2 is not None

    assert compared > 20


def test_a_perfect_fit_has_no_errors_t_or_p(tmp_path: Path) -> None:
    entry = solved(tmp_path, [[float(x)] for x in range(7)], [2.0 + 3 * x for x in range(7)])

    told = entry.statistics
    assert told is not None
    assert told.refused is not None
    assert told.refused.startswith("the fit is exact to rounding")
    assert told.robust_refused is None
    (target,) = told.targets
    assert (target.r2, target.std_errors, target.residual_sd) == (1.0, {}, None)
    assert (target.f, target.f_p, target.log_likelihood, target.aic) == (None,) * 4
    assert entry.covariance is None


@pytest.mark.parametrize("noise", [1e-9, 1e-12])
def test_a_fit_that_is_only_very_good_keeps_its_errors(noise: float, tmp_path: Path) -> None:
    bend = [noise, -noise, noise, noise, -noise, 0.0]

    entry = solved(tmp_path, [[x] for x in range(6)], [3.0 * x + b for x, b in enumerate(bend)])

    assert entry.statistics is not None
    assert entry.statistics.refused is None
    assert entry.statistics.targets[0].std_errors["classical"][0]


def test_of_several_targets_only_the_perfect_one_lacks_errors(tmp_path: Path) -> None:
    Y = [[3.0 * x + 1, x**2] for x in range(6)]

    entry = solved(tmp_path, [[x] for x in range(6)], Y)

    assert entry.statistics is not None
    line, parabola = entry.statistics.targets
    assert entry.statistics.refused is None
    assert line.refused is not None
    assert line.std_errors == {}
    assert parabola.refused is None
    assert set(parabola.std_errors) == {"classical", "HC0", "HC1", "HC2", "HC3"}


@pytest.mark.parametrize(
    ("asked", "row"), [({}, 5), ({"validation_fraction": 0.2, "seed": 4}, 5)], ids=str
)
def test_rows_of_leverage_1_are_named_by_their_number_in_the_table(
    asked: dict[str, Any], row: int, tmp_path: Path
) -> None:
    """One dummy is 1 in a single row; a row before it is left out for its missing cell."""
    X = [[float(x % 7), float(x == 4)] for x in range(12)]
    X[1][0] = None  # type: ignore[call-overload]
    y = [x**2 + 0.1 for x in range(12)]
    h = {"optimizer": "exact"} | asked

    entry = ended(
        assigned({"dataset": {"X": X, "y": y}, "missing": "drop", "hyperparameters": h}), tmp_path
    )

    told = entry.statistics
    assert told is not None
    assert told.robust_refused is not None
    assert told.robust_refused.startswith(f"row {row} has leverage 1")
    assert "take HC0 or HC1" in told.robust_refused
    assert set(told.targets[0].std_errors) == {"classical", "HC0", "HC1"}


def test_the_lowest_loss_is_never_above_the_last(tmp_path: Path) -> None:
    compared = 0
    for seed, _, entry in entries(tmp_path):
        metrics = entry.metrics
        if metrics is None or metrics.best_loss is None or metrics.eval_loss is not None:
            continue
        if metrics.train_loss is None:
            continue
        assert metrics.best_loss <= metrics.train_loss, seed
        compared += 1

    assert compared > 30
