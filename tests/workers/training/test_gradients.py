"""The gradient three ways, against torch alone and against certified numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from descend.errors import InvalidInput
from descend.gradients import Gradients
from tests.problems import CATALOGUE, RegressionProblem, notebook, random_problem
from tests.workers.training.trained import problem_of
from workers.training.gradients import gradients

AT = {"coef": [[0.5]], "intercept": [-1.0]}


def found(rows: RegressionProblem, **asked: object) -> Gradients:
    return gradients(problem_of(rows, **asked))


def of_linear(
    rows: RegressionProblem, coef: list[list[float]], intercept: list[float]
) -> np.ndarray:
    """What nn.Linear and MSELoss say: a row for each target, the bias last."""
    model = torch.nn.Linear(rows.X.shape[1], rows.Y.shape[1], dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(coef, dtype=torch.float64))
        model.bias.copy_(torch.tensor(intercept, dtype=torch.float64))
    loss = torch.nn.MSELoss()(model(torch.from_numpy(rows.X)), torch.from_numpy(rows.Y))
    loss.backward()
    assert model.weight.grad is not None
    assert model.bias.grad is not None
    return np.column_stack([model.weight.grad.numpy(), model.bias.grad.numpy()])


def test_all_three_are_the_gradient_of_linear_and_mse() -> None:
    rows = random_problem("any", n_targets=2)
    coef, intercept = np.arange(8.0).reshape(2, 4).tolist(), [0.5, -2.0]

    told = found(rows, standardize=False, init={"coef": coef, "intercept": intercept})

    expected = of_linear(rows, coef, intercept)
    for one in (told.autograd, told.by_hand, told.finite_differences):
        np.testing.assert_allclose(one, expected, rtol=1e-11)
    assert told.coordinates == "original"
    assert told.weights == np.column_stack([coef, intercept]).tolist()


@pytest.mark.parametrize("asked", [{}, {"l2": 0.3}, {"standardize": False}])
@pytest.mark.parametrize("name", CATALOGUE)
def test_the_three_agree(name: str, asked: dict[str, object]) -> None:
    told = found(CATALOGUE[name](), **asked)

    assert told.by_hand_difference.relative < 1e-12
    assert told.finite_differences_difference.relative < 1e-9


def test_float32_shows_its_rounding_and_no_more() -> None:
    told = found(random_problem("any"), dtype="float32")

    assert 1e-12 < told.by_hand_difference.relative < 1e-5


def test_the_lesson_has_its_minimum_and_modes() -> None:
    told = found(notebook(), standardize=False)

    assert told.loss == pytest.approx(18.666666666666668, rel=1e-14)
    assert told.minimum is not None
    assert told.minimum.coef[0] == pytest.approx([2.0], abs=1e-13)
    assert told.minimum.intercept == pytest.approx([0.0], abs=1e-13)
    assert told.eigenvalues == pytest.approx([11.0929, 0.2404], abs=5e-5)
    total = sum(mode.excess for mode in told.modes)
    assert told.minimum.objective + total == pytest.approx(told.objective, rel=1e-13)
    design = np.column_stack([notebook().X, np.ones(3)])
    for mode in told.modes:
        assert mode.vector is not None
        hessian = 2 / 3 * design.T @ design
        np.testing.assert_allclose(hessian @ mode.vector, np.multiply(mode.eigenvalue, mode.vector))


def test_the_jacobian_of_the_predictions_is_the_design_also_of_weighted_rows() -> None:
    rows = CATALOGUE["weighted"]()

    told = found(rows, standardize=False)

    assert told.jacobian is not None
    np.testing.assert_array_equal(told.jacobian, np.column_stack([rows.X, np.ones(len(rows.X))]))


def test_weighted_rows_have_the_gradient_of_the_weighted_mean() -> None:
    rows = CATALOGUE["weighted"]()
    told = found(rows, standardize=False)

    omega = rows.sample_weight
    assert omega is not None
    design = np.column_stack([rows.X, np.ones(len(rows.X))])
    expected = -2 * design.T @ (omega[:, None] * rows.Y) / omega.sum()
    np.testing.assert_allclose(told.autograd, expected.T, rtol=1e-12)


@pytest.mark.parametrize("standardize", [True, False])
def test_the_first_rows_are_shown_as_training_sees_them(*, standardize: bool) -> None:
    rows = random_problem("any", n_targets=2)
    at = {"coef": np.arange(8.0).reshape(2, 4).tolist(), "intercept": [0.5, -2.0]}

    told = found(rows, standardize=standardize, init=at)

    back = np.array([one.x for one in told.samples]) * told.scale + told.center
    np.testing.assert_allclose(back, rows.X[:5], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal([one.actual for one in told.samples], rows.Y[:5])
    expected = rows.X[:5] @ np.array(at["coef"]).T + at["intercept"]
    np.testing.assert_allclose([one.predicted for one in told.samples], expected, rtol=1e-12)
    assert (told.scale == [1.0] * 4) is not standardize


def test_a_large_jacobian_is_left_out_with_the_reason() -> None:
    told = found(random_problem("any", n_samples=3000))

    assert told.jacobian is None
    assert told.refused is not None
    assert "10000" in told.refused


def test_numbers_beyond_the_dtype_are_refused() -> None:
    rows = notebook()
    huge = replace(rows, X=rows.X * 1e200, Y=rows.Y * 1e200)

    with pytest.raises(InvalidInput, match="range"):
        found(huge, standardize=False)


def test_many_rows_are_rotated_before_they_are_differenced() -> None:
    told = found(random_problem("any", n_samples=30_000, n_features=50), l2=0.1)

    assert told.finite_differences_difference.relative < 1e-9
