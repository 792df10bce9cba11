import numpy as np
import pytest

from service.downsampling import downsample
from tests.service.conftest import history_of


@pytest.mark.parametrize("n", [2, 3, 10, 1000, 100_000])
@pytest.mark.parametrize("max_points", [2, 3, 7, 500])
def test_points_are_chosen_never_invented(n: int, max_points: int) -> None:
    history = history_of(np.random.default_rng(n).random(n))

    few = downsample(history, max_points)

    assert len(few) == min(n, max_points)
    assert (np.diff(few.epoch) > 0).all()
    assert few.epoch[0] == 0
    assert few.epoch[-1] == n - 1
    assert (few.train_loss == history.train_loss[few.epoch]).all()
    assert (few.grad_norm == history.grad_norm[few.epoch]).all()
    assert few.total == n


def test_a_single_spike_is_kept() -> None:
    losses = np.exp(-np.arange(100_000) / 10_000.0)
    losses[54_321] = 5.0

    few = downsample(history_of(losses), 200)

    assert 54_321 in few.epoch


def test_losses_that_are_not_finite_do_not_hide_the_others() -> None:
    losses = np.exp(np.arange(1000) / 10.0)
    losses[997:] = [np.inf, np.nan, np.inf]

    few = downsample(history_of(losses), 50)

    assert len(few) == 50
    assert few.epoch[-1] == 999


def test_losses_that_are_all_nan_are_thinned_all_the_same() -> None:
    few = downsample(history_of(np.full(100, np.nan)), 10)

    assert len(few) == 10
