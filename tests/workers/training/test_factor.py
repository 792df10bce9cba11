"""The factor of weighted [1 X Y] stands for its rows, however they come and wherever they lie."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from descend.errors import CorruptArtefact, InvalidInput
from tests.problems import CATALOGUE, Floats
from workers.training.factor import (
    Accumulator,
    Factor,
    factor,
    from_bytes,
    loss_of,
    matrices_of,
    merge,
    moments_of,
    scaling_of,
    select,
    to_bytes,
)
from workers.training.householder import FAN_IN, Tree, tile_rows
from workers.training.scaling import fit_scaling

Rows = tuple[Floats, Floats, Floats | None]


@st.composite
def rows(draw: st.DrawFn, least: int = 1) -> Rows:
    """Rows of any shape, some columns constant, dependent, far from 0, large or small."""
    n, d, t = draw(st.integers(least, 60)), draw(st.integers(1, 6)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    X, Y = rng.normal(size=(n, d)), rng.normal(size=(n, t))
    for j in range(d):
        kind = draw(st.sampled_from(["plain", "constant", "dependent", "far", "large", "small"]))
        if kind == "constant":
            X[:, j] = 0.1
        elif kind == "dependent":
            X[:, j] = X[:, 0] - X[:, j - 1]
        else:
            X[:, j] *= {"plain": 1, "far": 1, "large": 1e8, "small": 1e-8}[kind]
            X[:, j] += 1e6 if kind == "far" else 0
    omega = rng.uniform(0.5, 4, size=n) * rng.integers(0, 2, size=n)
    omega[0] = 1
    return X, Y, omega if draw(st.booleans()) else None


def dense(X: Floats, Y: Floats, omega: Floats | None, f: Factor) -> Floats:
    """The matrix that f is the factor of."""
    V = (np.concatenate([X, Y], axis=1) - f.shift) / f.size
    V = np.concatenate([np.ones((len(X), 1)), V], axis=1)
    return V if omega is None else np.sqrt(omega)[:, np.newaxis] * V


def assert_same_rows(a: Floats, b: Floats, tolerance: float = 1e-12) -> None:
    """Equal Gram matrices, in units of each column's norm."""
    norms = np.maximum(np.linalg.norm(a, axis=0), 1e-300)
    np.testing.assert_allclose(a.T @ a / norms / norms[:, None], b.T @ b / norms / norms[:, None],
                               atol=tolerance)  # fmt: skip


@given(rows())
def test_the_factor_is_triangular_and_has_the_gram_matrix_of_its_rows(drawn: Rows) -> None:
    f = factor([drawn])

    columns = 1 + f.n_features + f.n_targets
    assert f.R.shape == (columns, columns)
    assert (np.tril(f.R, -1) == 0).all()
    assert (np.diagonal(f.R) >= 0).all()
    assert (f.R[len(drawn[0]) :] == 0).all()
    assert_same_rows(dense(*drawn, f), f.R)


@given(rows(least=2), st.data())
def test_two_parts_merge_to_the_factor_of_the_whole(drawn: Rows, data: st.DataObject) -> None:
    X, Y, omega = drawn
    cut = data.draw(st.integers(1, len(X) - 1))
    ends = (slice(0, cut), slice(cut, None))
    parts = [factor([(X[e], Y[e], None if omega is None else omega[e])]) for e in ends]

    merged = merge(*parts)

    whole = factor([drawn])
    assert_same_rows(dense(*drawn, merged), merged.R)
    for name in ("n_rows", "n_observations", "weighted"):
        assert getattr(merged, name) == getattr(whole, name)
    assert merged.weight_sum == pytest.approx(whole.weight_sum, rel=1e-14)
    assert merged.log_weight_sum == pytest.approx(whole.log_weight_sum, rel=1e-12, abs=1e-12)
    np.testing.assert_array_equal(merged.low, whole.low)
    np.testing.assert_array_equal(merged.high, whole.high)


def test_rows_without_weights_merge_with_weighted_ones_as_rows_of_weight_1() -> None:
    X, Y, _ = _normal_rows(12)
    omega = np.linspace(0, 2, 12)
    omega[:5] = 1

    merged = merge(factor([(X[:5], Y[:5], None)]), factor([(X[5:], Y[5:], omega[5:])]))

    assert merged.weighted
    assert merged.weight_sum == pytest.approx(omega.sum())
    assert_same_rows(dense(X, Y, omega, merged), merged.R)


@given(rows(), st.data())
def test_selected_columns_are_those_of_a_factor_of_these_columns(
    drawn: Rows, data: st.DataObject
) -> None:
    X, Y, omega = drawn
    features = data.draw(st.permutations(range(X.shape[1])))[: data.draw(st.integers(1, 6))]
    targets = [data.draw(st.integers(0, Y.shape[1] - 1))]

    chosen = select(factor([drawn]), features, targets)

    assert (chosen.n_features, chosen.n_targets) == (len(features), 1)
    assert chosen.R.shape == (2 + len(features), 2 + len(features))
    assert_same_rows(dense(X[:, features], Y[:, targets], omega, chosen), chosen.R)


@pytest.mark.parametrize("columns", [4, 60])
@pytest.mark.parametrize("threads", [1, 3])
def test_cuts_memory_order_and_threads_change_no_bit(columns: int, threads: int) -> None:
    n = 20 * tile_rows(columns + 2) + 77
    rng = np.random.default_rng(0)
    X, Y, omega = rng.normal(size=(n, columns)), rng.normal(size=(n, 1)), rng.uniform(size=n)
    whole = factor([(X, Y, omega)])

    def blocks(*cuts: int) -> Sequence[Any]:
        edges = [0, *cuts, n]
        return [
            (list(X[a:b].T.copy()), np.asfortranarray(Y[a:b]), omega[a:b])
            for a, b in itertools.pairwise(edges)
        ]

    cut = factor(blocks(1, 100, 101, n // 2, n - 3), threads=threads)

    assert (cut.n_rows, cut.n_observations, cut.n_features) == (n, n, columns)
    np.testing.assert_array_equal(cut.low, np.append(X.min(axis=0), Y.min()))
    np.testing.assert_array_equal(cut.high, np.append(X.max(axis=0), Y.max()))
    assert cut.R.tobytes() == whole.R.tobytes()
    assert factor([(X, Y, omega)], threads=threads).R.tobytes() == whole.R.tobytes()


def test_a_factor_may_be_taken_before_all_rows_have_come() -> None:
    X, Y, _ = _normal_rows(30)
    accumulator = Accumulator()
    accumulator.add(X[:20], Y[:20])

    early = accumulator.factor()
    accumulator.add(X[20:], Y[20:])

    assert early.R.tobytes() == factor([(X[:20], Y[:20], None)]).R.tobytes()
    assert accumulator.factor().R.tobytes() == factor([(X, Y, None)]).R.tobytes()


def test_a_tree_of_many_factors_keeps_every_row() -> None:
    tree = Tree()
    pushed = [np.full((1, 1), float(k)) for k in range(FAN_IN**2 + FAN_IN + 3)]

    for R in pushed:
        tree.push(R)

    assert tree.root()[0, 0] ** 2 == pytest.approx(sum(R[0, 0] ** 2 for R in pushed), rel=1e-14)


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
def test_scaling_and_matrices_stand_for_the_rows(
    name: str, *, intercept: bool, standardize: bool
) -> None:
    problem = CATALOGUE[name]()
    X, Y, omega = problem.X, problem.Y, problem.sample_weight
    expected = fit_scaling(X, omega, standardize=standardize, fit_intercept=intercept)
    f = factor([(X, Y, omega)])

    scaling = scaling_of(f, standardize=standardize, fit_intercept=intercept)
    A, B = matrices_of(f, scaling, intercept=intercept)

    np.testing.assert_allclose(scaling.scale, expected.scale, rtol=1e-14 * 100)
    np.testing.assert_allclose(scaling.mean, expected.mean, atol=1e-14 * np.abs(X).max())
    Z = scaling.apply(X)
    Z = np.concatenate([Z, np.ones((len(X), 1))], axis=1) if intercept else Z
    share = np.ones(len(X)) if omega is None else omega * len(X) / omega.sum()
    both = np.sqrt(share)[:, np.newaxis] * np.concatenate([Z, Y], axis=1)
    assert A.shape == (len(f.R), Z.shape[1])
    assert_same_rows(both, np.concatenate([A, B], axis=1), 2e-13)


def test_a_constant_column_is_centred_to_exactly_0() -> None:
    X = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 4.0]])
    f = factor([(X[:1], X[:1], None), (X[1:], X[1:], None)])

    scaling = scaling_of(f, standardize=True, fit_intercept=True)
    A, _ = matrices_of(f, scaling, intercept=True)

    assert scaling.mean[0] == 0.1
    assert scaling.scale[0] == 1
    assert (A[:, 0] == 0).all()


@given(rows(), st.integers(0, 2**32))
def test_loss_and_moments_are_those_of_the_rows(drawn: Rows, seed: int) -> None:
    X, Y, omega = drawn
    rng = np.random.default_rng(seed)
    f = factor([drawn])
    coef, intercept = rng.normal(size=(f.n_targets, f.n_features)), rng.normal(size=f.n_targets)

    loss, (variance, mean_square) = loss_of(f, coef, intercept), moments_of(f)

    squares = np.square(X @ coef.T + intercept - Y)
    assert loss == pytest.approx(np.average(squares, axis=0, weights=omega).mean(), rel=1e-9)
    expected = np.average(np.square(Y), axis=0, weights=omega).mean()
    assert mean_square == pytest.approx(expected, rel=1e-12)
    deviation = Y - np.average(Y, axis=0, weights=omega)
    expected = np.average(np.square(deviation), axis=0, weights=omega).mean()
    assert variance == pytest.approx(expected, rel=1e-11, abs=1e-14)


def test_a_loss_keeps_its_digits_beside_a_large_mean() -> None:
    x = 1e9 + np.arange(50.0)
    residuals = np.where(np.arange(50) % 2, 0.25, -0.25)
    f = factor([(x[:, np.newaxis], (3 * x + residuals)[:, np.newaxis], None)])

    loss = loss_of(f, np.array([[3.0]]), np.array([0.0]))

    assert loss == pytest.approx(0.0625, rel=1e-13)


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e150, 1e300, 1.7e308])
@pytest.mark.parametrize("weight", [1e-300, 1.0, 1e300])
@pytest.mark.parametrize("late", [True, False])
def test_values_near_the_ends_of_the_range_are_factored(
    size: float, weight: float, *, late: bool
) -> None:
    room = tile_rows(3)
    X, Y, _ = _normal_rows(2 * room, d=1)
    X = np.clip(X, -1, 1)
    scales = np.ones(2 * room)
    scales[room if late else 0 :] = size
    omega = np.full(2 * room, weight)

    f = factor([(X * scales[:, np.newaxis], Y, omega)])

    shown = scaling_of(f, standardize=True, fit_intercept=True)
    V = X[:, 0] * (scales / max(size, scales[0]))
    assert shown.scale[0] == pytest.approx(V.std() * max(size, scales[0]), rel=1e-12)
    assert f.root_weight == pytest.approx(np.sqrt(weight) * np.sqrt(2 * room), rel=1e-13)
    A, _ = matrices_of(f, shown, intercept=True)
    assert np.linalg.norm(A[:, 0]) == pytest.approx(np.sqrt(2 * room), rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("column", "name"), [(0, "area"), (2, "price")])
def test_a_value_that_is_not_finite_is_refused_by_the_name_of_its_column(
    bad: float, column: int, name: str
) -> None:
    table = np.random.default_rng(0).normal(size=(9, 3))
    table[4, column] = bad

    with pytest.raises(InvalidInput, match=name) as refused:
        factor([(table[:, :2], table[:, 2:], None)], names=("area", "rooms", "price"))

    assert refused.value.param == name


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_weights_that_are_no_weights_are_refused(bad: float) -> None:
    X, Y, _ = _normal_rows(5)

    with pytest.raises(InvalidInput, match="weights"):
        factor([(X, Y, np.array([1, 1, bad, 1, 1]))])


@pytest.mark.parametrize("junk", [0.0, 7.0, 1e15, 1e200])
@pytest.mark.parametrize("threads", [1, 2])
def test_rows_of_weight_0_leave_no_trace(junk: float, threads: int) -> None:
    """Whatever they hold and wherever they lie: here they fill the first tile and more."""
    X, Y, _ = _normal_rows(3 * tile_rows(5))
    X[:, 1] = 7.3
    omega = np.ones(len(X))
    omega[: len(X) // 2] = 0
    omega[::7] = 0
    seen = omega > 0
    X[~seen] = junk

    f = factor([(X, Y, omega)], threads=threads)
    only = factor([(X[seen], Y[seen], omega[seen])])

    scaling = scaling_of(f, standardize=True, fit_intercept=True)
    assert (scaling.mean[1], scaling.scale[1]) == (7.3, 1.0)
    assert (f.R[:, 2] == 0).all()
    assert f.n_observations == only.n_rows
    assert (f.low == only.low).all()
    assert (f.high == only.high).all()
    told = np.hstack(matrices_of(f, scaling, intercept=True))
    expected = np.hstack(matrices_of(only, scaling, intercept=True))
    assert_same_rows(told, np.sqrt(f.n_rows / only.n_rows) * expected)


def test_a_longer_part_without_weight_does_not_say_where_the_columns_lie() -> None:
    X, Y, _ = _normal_rows(50)
    X[:30, 1], X[30:, 1] = 2019.0, 2025.0
    omega = np.repeat([0.0, 1.0], [30, 20])

    idle, seen = (factor([(X[part], Y[part], omega[part])]) for part in (omega == 0, omega > 0))

    for merged in (merge(idle, seen), merge(seen, idle)):
        scaling = scaling_of(merged, standardize=True, fit_intercept=True)
        assert (scaling.mean[1], scaling.scale[1]) == (2025.0, 1.0)
        assert loss_of(merged, np.zeros((1, 3)), np.zeros(1)) == pytest.approx(
            np.square(Y[30:]).mean(), rel=1e-12
        )


def test_rows_that_do_not_fit_together_are_refused() -> None:
    X, Y, _ = _normal_rows(5)

    with pytest.raises(InvalidInput, match=r"\[4, 5\] rows"):
        factor([(X, Y[:4], None)])
    with pytest.raises(InvalidInput, match="columns"):
        factor([(X, Y, None), (X[:, :2], Y, None)])
    with pytest.raises(InvalidInput, match="no rows"):
        factor([(X[:0], Y[:0], None)])
    with pytest.raises(InvalidInput, match="weight 0"):
        scaling_of(factor([(X, Y, np.zeros(5))]), standardize=True, fit_intercept=True)


@given(rows())
def test_bytes_bring_back_every_bit(drawn: Rows) -> None:
    f = factor([drawn])

    again = from_bytes(to_bytes(f))

    for name, value in vars(f).items():
        if isinstance(value, np.ndarray):
            assert getattr(again, name).tobytes() == value.tobytes()
        else:
            assert getattr(again, name) == value
    assert again.R.shape == f.R.shape


@settings(max_examples=50)
@given(st.data())
def test_damaged_bytes_are_refused(data: st.DataObject) -> None:
    good = bytearray(to_bytes(factor([_normal_rows(9)])))
    place = data.draw(st.integers(0, len(good) - 1))
    damaged = [bytes(good[:place])]
    good[place] ^= 1 << data.draw(st.integers(0, 7))

    for bad in [bytes(good), *damaged]:
        with pytest.raises(CorruptArtefact):
            from_bytes(bad)


def _normal_rows(n: int, d: int = 3) -> tuple[Floats, Floats, None]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, d)), rng.normal(size=(n, 1)), None
